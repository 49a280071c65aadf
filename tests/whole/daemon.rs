//! The real binary with a configuration of its own, on a port of its own.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// How long a test waits for what must come. Long, as only a failure takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const PASSWORD: &str = "test-source-secret";
pub(crate) const ADMIN_PASSWORD: &str = "test-admin-secret";

/// The binary under test: `SILVACAST_BINARY`, or the one that was built with the tests.
pub(crate) fn binary() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_silvacast"));
    std::env::var_os("SILVACAST_BINARY").map_or_else(built, PathBuf::from)
}

/// Starts it.
pub(crate) fn silvacast() -> Command {
    unmanaged(Command::new(binary()))
}

/// A command without what a service manager or a station may have set for this process.
fn unmanaged(mut command: Command) -> Command {
    for variable in [
        "SILVASONIC_ICECAST_PORT",
        "CREDENTIALS_DIRECTORY",
        "LISTEN_FDS",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "JOURNAL_STREAM",
    ] {
        command.env_remove(variable);
    }
    command
}

const FILE: &str = "silvacast.toml";

/// A configuration file, which goes with its directory. Whoever the process becomes can read it.
pub(crate) fn configuration(
    port: u16,
    password: &str,
    top: &str,
    sections: &str,
) -> (TempDir, PathBuf) {
    holding(&text(port, password, top, sections))
}

/// A configuration file of this text.
fn holding(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let file = directory.path().join(FILE);
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

fn text(port: u16, password: &str, top: &str, sections: &str) -> String {
    const DEFAULTS: &str = "[mount-defaults]\n";
    let rest = if sections.contains(DEFAULTS) { "" } else { DEFAULTS };
    let mut sections = format!("{sections}\n{rest}");
    if !sections.contains("gap") {
        sections = sections.replace(DEFAULTS, "[mount-defaults]\ngap_after = \"5m\"\n");
    }
    format!(
        "listen = [\"127.0.0.1:{port}\"]\n{top}\n[auth]\nsource_password = \"{password}\"\n\
         admin_password = \"{ADMIN_PASSWORD}\"\n{sections}\n"
    )
}

/// A running server; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub port: u16,
    log: Arc<Log>,
    directory: TempDir,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Daemon {
    /// Starts with the defaults.
    pub(crate) fn start() -> Self {
        Self::with("", "")
    }

    /// Starts with further top-level keys and further sections. Sources made by hand pause as long as
    /// a test takes to look at what came of it, so a gap is none unless a test wants it to be.
    pub(crate) fn with(top: &str, sections: &str) -> Self {
        Self::on(0, PASSWORD, top, sections)
    }

    /// Starts on a port that an earlier one had, or any (0), with the password that sources need.
    pub(crate) fn on(port: u16, password: &str, top: &str, sections: &str) -> Self {
        let files = configuration(port, password, top, sections);
        Self::start_with(silvacast(), files)
    }

    /// Starts by a command of the test's own, which is given the configuration.
    pub(crate) fn of(command: Command, port: u16, top: &str, sections: &str) -> Self {
        Self::start_with(unmanaged(command), configuration(port, PASSWORD, top, sections))
    }

    /// The same, with the command's own standard output.
    pub(crate) fn of_with_output(command: Command, top: &str, sections: &str) -> Self {
        Self::launch(unmanaged(command), configuration(0, PASSWORD, top, sections))
    }

    /// Starts with a whole configuration of the test's own, on any port.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut command = silvacast();
        command.env("SILVASONIC_ICECAST_PORT", "0");
        Self::start_with(command, holding(text))
    }

    /// Starts by a command of the test's own, with a whole configuration of its own.
    #[allow(dead_code, reason = "for tests/hostile")]
    pub(crate) fn of_command_with_text(command: Command, text: &str) -> Self {
        Self::start_with(unmanaged(command), holding(text))
    }

    /// Whether the process still runs.
    #[allow(dead_code, reason = "for tests/hostile")]
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn start_with(mut command: Command, files: (TempDir, PathBuf)) -> Self {
        command.stdout(Stdio::null());
        Self::launch(command, files)
    }

    fn launch(mut command: Command, (directory, file): (TempDir, PathBuf)) -> Self {
        command.arg("--config").arg(&file);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lines.lock().unwrap().push(line);
                sink.more.notify_all();
            }
        });
        let mut daemon = Self { child, port: 0, log, directory };
        let ready = daemon.wait_for_line(&["event=\"ready\""]);
        let address = ready.split("listen=[").nth(1).unwrap().split([',', ']']).next().unwrap();
        daemon.port = address.rsplit(':').next().unwrap().parse().unwrap();
        daemon
    }

    /// Writes its configuration anew, for it to be read again.
    pub(crate) fn configure(&self, password: &str, top: &str, sections: &str) {
        let text = text(0, password, top, sections);
        std::fs::write(self.directory.path().join(FILE), text).unwrap();
    }

    /// Its configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The URL that an encoder pushes to.
    pub(crate) fn push_url(&self, mount: &str) -> String {
        format!("icecast://source:{PASSWORD}@127.0.0.1:{}{mount}", self.port)
    }

    /// Waits for a log line that holds all of these.
    pub(crate) fn wait_for_line(&self, parts: &[&str]) -> String {
        self.wait_for_lines(parts, 1).pop().unwrap()
    }

    /// Waits for so many log lines that hold all of these.
    pub(crate) fn wait_for_lines(&self, parts: &[&str], count: usize) -> Vec<String> {
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            let found: Vec<_> =
                lines.iter().filter(|l| parts.iter().all(|p| l.contains(p))).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let (guard, waited) = self.log.more.wait_timeout(lines, PATIENCE).unwrap();
            lines = guard;
            if waited.timed_out() {
                drop(lines);
                panic!("no {count} lines with {parts:?}");
            }
        }
    }

    /// How many log lines hold all of these by now.
    pub(crate) fn count_lines(&self, parts: &[&str]) -> usize {
        self.lines().iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid().cast_signed()), signal)
            .unwrap();
    }

    /// Waits for its end and gives its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Resident memory that no file backs, in bytes: what the program itself has allocated.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server said: {:#?}", self.lines());
        }
    }
}
