//! A systemd and a journal of a test's own: `tests/pen`, and this build installed in it as the package would.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{PASSWORD, PATIENCE};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// A running pen; ended when dropped, or when this process is no more.
pub(crate) struct Pen {
    state: TempDir,
}

impl Pen {
    pub(crate) fn start() -> Self {
        let pen = Self { state: tempfile::tempdir().unwrap() };
        let output = pen.tool("start").arg(std::process::id().to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        pen
    }

    fn tool(&self, action: &str) -> Command {
        let mut tool = Command::new(Path::new(REPOSITORY).join("tests/pen"));
        tool.arg(action).arg(self.state.path());
        tool
    }

    /// A command that will run in it, and end when the child that it becomes here is killed.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut tool = self.tool("exec");
        tool.args(line);
        tool
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub(crate) fn ok(&self, line: &[&str]) -> String {
        let output = self.run(line);
        let (said, complaints) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line:?}: {}\n{said}{complaints}", output.status);
        said.into_owned()
    }

    /// Writes a file.
    pub(crate) fn put(&self, path: &str, bytes: &[u8], mode: u32) {
        let mut tool = self.tool("put");
        let mut child =
            tool.arg(path).arg(format!("{mode:o}")).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(child.wait().unwrap().success(), "{path} cannot be written");
    }

    /// The journal's entries for these arguments of journalctl, the oldest first.
    pub(crate) fn journal(&self, arguments: &[&str]) -> Vec<Value> {
        // Until then the journal may not have read what was sent to it.
        self.ok(&["journalctl", "--sync"]);
        let line = [&["journalctl", "--no-pager", "--output=json"], arguments].concat();
        self.ok(&line).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&["systemctl", "show", "--value", "--property", name, unit]).trim().to_owned()
    }

    /// Looks again and again until there is something to see.
    pub(crate) fn wait_for<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            assert!(Instant::now() < end, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a thread of this process finds out in the pen's network.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.init())).unwrap();
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(network, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn init(&self) -> String {
        std::fs::read_to_string(self.state.path().join("init")).unwrap().trim().to_owned()
    }

    /// The number that a process of the pen has outside of it.
    pub(crate) fn outside(&self, process: &str) -> u32 {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid"));
        let pen = namespace(&self.init()).unwrap();
        let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let mut all = all.filter_map(|name| name.to_str().map(ToOwned::to_owned));
        let is_it = |pid: &String| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let number = numbers.and_then(|numbers| numbers.split_whitespace().last());
            number == Some(process) && namespace(pid).is_ok_and(|its| its == pen)
        };
        all.find(is_it).expect("no such process in the pen").parse().unwrap()
    }

    /// Puts this build, its units, its configuration and two passwords where the package has them.
    pub(crate) fn install(&self) {
        let read = |path: &Path| std::fs::read(path).unwrap();
        self.put("/usr/bin/silvacast", &read(Path::new(env!("CARGO_BIN_EXE_silvacast"))), 0o755);
        for file in std::fs::read_dir(Path::new(REPOSITORY).join("systemd")).unwrap() {
            let file: PathBuf = file.unwrap().path();
            let name = file.file_name().unwrap().to_str().unwrap();
            let place = match file.extension().and_then(|extension| extension.to_str()) {
                Some("service" | "socket") => "/usr/lib/systemd/system",
                Some("catalog") => "/usr/lib/systemd/catalog",
                Some("toml") => "/etc/silvacast",
                _ => continue,
            };
            self.put(&format!("{place}/{name}"), &read(&file), 0o644);
        }
        self.put("/etc/silvacast/source-password", PASSWORD.as_bytes(), 0o600);
        self.put("/etc/silvacast/admin-password", b"test-admin-secret", 0o600);
        self.ok(&["journalctl", "--update-catalog"]);
        self.ok(&["systemctl", "daemon-reload"]);
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        if thread::panicking() {
            let said = self.run(&["journalctl", "--no-pager", "--output=short-monotonic"]);
            eprintln!("the pen's journal:\n{}", String::from_utf8_lossy(&said.stdout));
        }
        let _ = self.tool("stop").status();
    }
}
