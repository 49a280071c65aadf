//! A Podman of the test's own, and the static binary that its images are made of.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

/// Cargo's target folder, where what was fetched or built once is found again.
pub(crate) fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_silvacast")).ancestors().nth(2).unwrap()
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A static silvacast for an image that has no libraries; the reason why there is none, else.
pub(crate) fn static_binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("SILVACAST_STATIC") {
        return Ok(PathBuf::from(path));
    }
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let run = |command: &mut Command| {
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let said = text(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{command:?} failed: {said}")) }
    };
    run(Command::new("rustup").args(["target", "add", &triple]))?;
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bin", "silvacast", "--target", &triple, "--target-dir"])
        .arg(target())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTFLAGS", "-C linker=rust-lld"))?;
    Ok(target().join(triple).join("debug/silvacast"))
}

/// A Podman with namespaces, storage and a network of its own: nothing of the machine's Podman is seen or changed, and all
/// of it is gone with the process that holds the namespaces.
pub(crate) struct Podman {
    holder: Child,
    directory: TempDir,
}

impl Podman {
    /// What the holder does: mounts first, then it stays until its input ends.
    const HOLD: &str = "set -e
        mount -t tmpfs tmpfs /run
        mount -t tmpfs tmpfs /sys/fs/cgroup
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mkdir \"$1/storage\"
        mount -t tmpfs tmpfs \"$1/storage\"
        ip link set lo up
        echo ready
        exec cat";

    /// Starts it; the reason why this machine cannot, else.
    pub(crate) fn start() -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", Self::HOLD, "sh"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        if holder.stdout.as_mut().unwrap().read_exact(&mut ready).is_err() {
            return Err(text(holder.wait_with_output().unwrap().stderr.trim_ascii()));
        }
        let podman = Self { holder, directory };
        let place = podman.place("storage");
        podman.write(
            "containers.conf",
            &format!(
                "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"{place}/tmp\"\n\
                 [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{place}/networks\"\n"
            ),
        );
        podman.write(
            "storage.conf",
            &format!(
                "[storage]\ndriver = \"overlay\"\nrunroot = \"{place}/run\"\ngraphroot = \"{place}/graph\"\n"
            ),
        );
        Ok(podman)
    }

    pub(crate) fn place(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.place(name), text).unwrap();
    }

    fn namespace(&self, name: &str) -> String {
        format!("/proc/{}/ns/{name}", self.holder.id())
    }

    /// A command in its namespaces.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        for (kind, name) in [("mount", "mnt"), ("net", "net"), ("pid", "pid_for_children")] {
            command.arg(format!("--{kind}={}", self.namespace(name)));
        }
        command
            .arg(program)
            .env("CONTAINERS_CONF", self.place("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.place("storage.conf"))
            .current_dir("/");
        command
    }

    /// Runs Podman with these arguments and gives what it prints; it must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.inside("podman").args(arguments).output().unwrap();
        assert!(output.status.success(), "podman {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    pub(crate) fn secret(&self, name: &str, password: &str) {
        let mut create = self.inside("podman");
        create.args(["secret", "create", name, "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut create = create.spawn().unwrap();
        create.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        assert!(create.wait().unwrap().success());
    }

    /// Does something from a thread that has this network.
    pub(crate) fn on_its_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(self.namespace("net")).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(network, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // The first process in there goes with it and takes all others along.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
