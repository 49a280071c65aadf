//! The real binary as a child process, with its own configuration and port.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::port::Port;
use crate::process::Running;
use crate::wait::PATIENCE;

pub(crate) const PASSWORD: &str = "test-source-secret";
pub(crate) const ADMIN_PASSWORD: &str = "test-admin-secret";

/// The binary under test: `SILVACAST_BINARY`, or the one that was built with the tests.
pub(crate) fn binary() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_silvacast"));
    std::env::var_os("SILVACAST_BINARY").map_or_else(built, PathBuf::from)
}

/// A command that starts it.
pub(crate) fn silvacast() -> Command {
    unmanaged(Command::new(binary()))
}

/// Removes the environment variables that a service manager or a station may have set for this process.
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

/// A configuration file; dropping its directory deletes it. The user that the server changes to can read it.
pub(crate) fn configuration(
    port: u16,
    password: &str,
    top: &str,
    sections: &str,
) -> (TempDir, PathBuf) {
    holding(text(port, password, top, sections))
}

/// A configuration file with this text.
fn holding(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
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
    process: Running,
    pub port: u16,
    log: Arc<Log>,
    directory: TempDir,
}

#[derive(Default)]
struct Log {
    text: Mutex<Text>,
    more: Condvar,
}

#[derive(Default)]
struct Text {
    lines: Vec<String>,
    /// No line will follow: the server has closed its standard error.
    ended: bool,
}

impl Daemon {
    /// Starts with the defaults.
    pub(crate) fn start() -> Self {
        Self::with("", "")
    }

    /// Starts with these top-level keys and sections added. Sources that a test drives by hand pause while the test
    /// looks at the result, so `gap_after` is long unless the test sets it.
    pub(crate) fn with(top: &str, sections: &str) -> Self {
        Self::start_with(silvacast(), configuration(0, PASSWORD, top, sections))
    }

    /// Starts on a port that the test has reserved, with this password for sources.
    pub(crate) fn on(port: &Port, password: &str, top: &str, sections: &str) -> Self {
        Self::start_with(silvacast(), configuration(port.number(), password, top, sections))
    }

    /// Starts this command with the configuration.
    pub(crate) fn of(command: Command, top: &str, sections: &str) -> Self {
        Self::start_with(unmanaged(command), configuration(0, PASSWORD, top, sections))
    }

    /// The same, with the standard output that the command has.
    pub(crate) fn of_with_output(command: Command, top: &str, sections: &str) -> Self {
        Self::launch(unmanaged(command), configuration(0, PASSWORD, top, sections))
    }

    /// Starts with this text as the whole configuration, on any port.
    pub(crate) fn of_text(text: impl AsRef<[u8]>) -> Self {
        let mut command = silvacast();
        command.env("SILVASONIC_ICECAST_PORT", "0");
        Self::start_with(command, holding(text))
    }

    /// Starts this command with this text as the whole configuration.
    pub(crate) fn of_command_with_text(command: Command, text: &str) -> Self {
        Self::start_with(unmanaged(command), holding(text))
    }

    /// Whether the process still runs.
    #[allow(dead_code, reason = "for tests/hostile")]
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    fn start_with(mut command: Command, files: (TempDir, PathBuf)) -> Self {
        command.stdout(Stdio::null());
        Self::launch(command, files)
    }

    fn launch(mut command: Command, (directory, file): (TempDir, PathBuf)) -> Self {
        command.arg("--config").arg(&file);
        let mut process = Running::start(command.stderr(Stdio::piped()));
        let log = Arc::new(Log::default());
        // Not a pipe with a deadline: a server may have nothing to log for longer.
        let (stderr, sink) = (process.0.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.text.lock().unwrap().lines.push(line);
                sink.more.notify_all();
            }
            sink.text.lock().unwrap().ended = true;
            sink.more.notify_all();
        });
        let mut daemon = Self { process, port: 0, log, directory };
        // In either format: `event="ready" listen="ADDRESSES"` or `"event":"ready","listen":"ADDRESSES"`.
        let ready = daemon.wait_for_line(&["event", "\"ready\"", "listen"]);
        let addresses = ready.split("listen").nth(1).unwrap();
        let address = addresses.split([',', '"']).find(|part| part.len() > 1).unwrap();
        daemon.port = address.rsplit(':').next().unwrap().parse().unwrap();
        daemon
    }

    /// Replaces the text of its configuration file; the server reads it at the next reload.
    pub(crate) fn configure(&self, password: &str, top: &str, sections: &str) {
        let text = text(0, password, top, sections);
        std::fs::write(self.directory.path().join(FILE), text).unwrap();
    }

    /// Its configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The URL that an encoder pushes to.
    pub(crate) fn push_url(&self, mount: &str) -> String {
        format!("icecast://source:{PASSWORD}@127.0.0.1:{}{mount}", self.port)
    }

    /// Waits for a log line that contains all of these parts.
    pub(crate) fn wait_for_line(&self, parts: &[&str]) -> String {
        self.wait_for_lines(parts, 1).pop().unwrap()
    }

    /// Waits until `count` log lines contain all of these parts.
    pub(crate) fn wait_for_lines(&self, parts: &[&str], count: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut text = self.log.text.lock().unwrap();
        loop {
            let matches = |line: &&String| parts.iter().all(|part| line.contains(part));
            let found: Vec<_> = text.lines.iter().filter(matches).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let (ended, left) = (text.ended, end.saturating_duration_since(Instant::now()));
            if ended || left.is_zero() {
                drop(text);
                let why = if ended {
                    "the server closed its log".into()
                } else {
                    format!("waited {PATIENCE:?}")
                };
                panic!(
                    "{why}; wanted {count} lines with {parts:?}, seen {}: {found:#?}",
                    found.len()
                );
            }
            text = self.log.more.wait_timeout(text, left).unwrap().0;
        }
    }

    /// How many log lines contain all of these parts by now.
    pub(crate) fn count_lines(&self, parts: &[&str]) -> usize {
        self.lines().iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.text.lock().unwrap().lines.clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        self.process.signal(signal);
    }

    /// Waits for it to end and returns its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.process.wait(PATIENCE).code()
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Resident memory (`VmRSS`), in bytes.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process.kill();
        if thread::panicking() {
            eprintln!("the server logged: {:#?}", self.lines());
        }
    }
}
