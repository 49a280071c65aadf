//! A systemd and a journal in namespaces of their own (`tests/pen`), with this build installed as the package would
//! install it.

use std::fmt::Display;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::PASSWORD;
use crate::process::Run;
use crate::wait::{PATIENCE, until, when};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// A running pen; it ends when it is dropped or when this process ends.
pub(crate) struct Pen {
    state: TempDir,
}

impl Pen {
    /// Starts one that sees this machine's files.
    pub(crate) fn start() -> Self {
        Self::of(Path::new("/"))
    }

    /// Starts one that sees the files below `root`.
    pub(crate) fn of(root: &Path) -> Self {
        let pen = Self { state: tempfile::tempdir().unwrap() };
        let mut start = pen.tool("start");
        let output = start.arg(std::process::id().to_string()).env("ROOT", root).run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        pen
    }

    fn tool(&self, action: &str) -> Command {
        let mut tool = Command::new(Path::new(REPOSITORY).join("tests/pen"));
        tool.arg(action).arg(self.state.path());
        tool
    }

    /// A command in the pen; it ends when its child process here is killed.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut tool = self.tool("exec");
        tool.args(line);
        tool
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &[&str]) -> Output {
        self.command(line).run()
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub(crate) fn ok(&self, line: &[&str]) -> String {
        let output = self.run(line);
        let (said, complaints) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line:?}: {}\n{said}{complaints}", output.status);
        said.into_owned()
    }

    /// Runs a script, as a person would paste it; each of its commands must succeed. Returns its
    /// standard output.
    pub(crate) fn script(&self, directory: &str, text: &str) -> String {
        self.ok(&["bash", "-e", "-c", &format!("cd {directory}\n{text}")])
    }

    /// Copies files of the repository to a directory.
    pub(crate) fn copy(&self, directory: &str, names: &[impl AsRef<str>]) {
        for name in names.iter().map(AsRef::as_ref) {
            let path = Path::new(REPOSITORY).join(name);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            self.put(&format!("{directory}/{name}"), &std::fs::read(path).unwrap(), mode);
        }
    }

    /// Writes a file.
    pub(crate) fn put(&self, path: &str, bytes: &[u8], mode: u32) {
        let mut tool = self.tool("put");
        let output = tool.arg(path).arg(format!("{mode:o}")).run_with_input(bytes);
        assert!(output.status.success(), "{path} cannot be written: {output:?}");
    }

    /// The journal's entries that journalctl selects with these arguments, the oldest first.
    pub(crate) fn journal(&self, arguments: &[&str]) -> Vec<Value> {
        // Until then the journal may not have read everything that was sent to it.
        self.ok(&["journalctl", "--sync"]);
        let line = [&["journalctl", "--no-pager", "--output=json"], arguments].concat();
        self.ok(&line).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&["systemctl", "show", "--value", "--property", name, unit]).trim().to_owned()
    }

    /// Looks into the pen until `look` returns `Ok`; see [`until`].
    #[track_caller]
    pub(crate) fn wait_for<T, S: Display>(
        &self,
        what: &str,
        look: impl Fn(&Self) -> Result<T, S>,
    ) -> T {
        until(what, PATIENCE, || look(self))
    }

    /// Waits until a unit has been restarted this many times and is active.
    #[track_caller]
    pub(crate) fn wait_for_restarts(&self, unit: &str, count: usize) {
        self.wait_for(&format!("restart {count} of {unit}"), |pen| {
            let seen = ["NRestarts", "ActiveState"].map(|name| pen.property(unit, name));
            when(seen == [count.to_string(), "active".to_owned()], seen)
        });
    }

    /// Runs `work` in a thread that is in the pen's network.
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

    /// The path outside of the pen of a file in the pen.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init()))
    }

    /// The process ID outside of the pen of a process in the pen.
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

    /// Puts this build, its units, its configuration and two passwords where the package puts them.
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
            let journal = ["journalctl", "--no-pager", "--output=short-monotonic"];
            let said = self.command(&journal).try_run(PATIENCE).unwrap();
            eprintln!("the pen's journal:\n{}", String::from_utf8_lossy(&said.stdout));
        }
        let _ = self.tool("stop").try_run(PATIENCE);
    }
}
