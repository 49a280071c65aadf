//! A Podman in namespaces of its own, and the static binary for its images.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use crate::process::{BUILD, Run, Running};

/// Cargo's target folder, which keeps what was fetched or built once.
pub(crate) fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_silvacast")).ancestors().nth(2).unwrap()
}

/// Output of a program as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The path of a static silvacast for an image without libraries, or why it could not be built.
pub(crate) fn static_binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("SILVACAST_STATIC") {
        return Ok(PathBuf::from(path));
    }
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let run = |command: &mut Command| {
        let output = command.try_run(BUILD).map_err(|error| format!("{command:?}: {error}"))?;
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

/// A Podman with namespaces, storage and a network of its own. It neither sees nor changes the machine's Podman, and all
/// of it ends with the process that holds the namespaces.
pub(crate) struct Podman {
    holder: Running,
    directory: TempDir,
}

impl Podman {
    /// The holder's script: it mounts, and then stays until its input ends.
    const HOLD: &str = "set -e
        mount -t tmpfs tmpfs /run
        mount -t tmpfs tmpfs /sys/fs/cgroup
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mkdir \"$1/storage\"
        mount -t tmpfs tmpfs \"$1/storage\"
        ip link set lo up
        echo ready
        exec cat";

    /// Starts it, or returns the reason why this machine cannot.
    pub(crate) fn start() -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", Self::HOLD, "sh"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = Running::start(&mut unshare);
        let mut ready = [0; 6];
        if let Err(error) = holder.stdout().read_exact(&mut ready) {
            holder.kill();
            let mut why = String::new();
            let _ = holder.stderr().read_to_string(&mut why);
            return Err(format!("{error}: {}", why.trim()));
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
        format!("/proc/{}/ns/{name}", self.holder.0.id())
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

    /// Runs Podman with these arguments; it must succeed. Returns its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.inside("podman").args(arguments).run();
        assert!(output.status.success(), "podman {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    pub(crate) fn secret(&self, name: &str, password: &str) {
        let mut create = self.inside("podman");
        create.args(["secret", "create", name, "-"]);
        let output = create.run_with_input(password.as_bytes());
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// Runs `work` in a thread that is in this network.
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
