//! `cross/deploy` to a host with a real systemd and a real sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::needs::{Need, needs};
use crate::pen::Pen;
use crate::process::{Run, Running};
use crate::wait::{PATIENCE, when};

const NEEDS: [Need; 3] = [Need::Root, Need::Systemd, Need::Static];
const UNIT: &str = "silvacast.service";
const UNIT_FILE: &str = "/usr/lib/systemd/system/silvacast.service";

/// A host, and a user who may log in there.
struct Station {
    pen: Pen,
    /// Keys, the configuration of ssh, and the binary.
    home: TempDir,
}

impl Station {
    fn start() -> Self {
        let station = Self { pen: Pen::start(), home: tempfile::tempdir().unwrap() };
        let path = |name: &str| station.home.path().join(name);
        for key in ["user", "host"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key));
            assert!(keygen.run().status.success());
        }
        let read = |name: &str| fs::read_to_string(path(name)).unwrap();
        station.pen.put("/run/ssh/host", read("host").as_bytes(), 0o600);
        station.pen.put("/run/ssh/users", read("user.pub").as_bytes(), 0o600);
        station.pen.put(
            "/run/ssh/config",
            b"HostKey /run/ssh/host\nAuthorizedKeysFile /run/ssh/users\nUsePAM no\nPasswordAuthentication no\n",
            0o600,
        );
        station.pen.ok(&["mkdir", "/run/sshd"]);
        // sshd as inetd runs it: one process per connection, and no port.
        let sshd = station.pen.command(&["/usr/sbin/sshd", "-i", "-f", "/run/ssh/config"]);
        let mut proxy = sshd.get_program().to_str().unwrap().to_owned();
        for argument in sshd.get_args() {
            proxy.extend([" ", argument.to_str().unwrap()]);
        }
        fs::write(path("known"), format!("station {}", read("host.pub"))).unwrap();
        let config = format!(
            "Host station\n User root\n ProxyCommand {proxy}\n IdentityFile {}\n IdentitiesOnly yes\n BatchMode yes\n\
             \u{20}StrictHostKeyChecking yes\n UserKnownHostsFile {}\n",
            path("user").display(),
            path("known").display()
        );
        fs::write(path("config"), config).unwrap();
        // The real ssh with this configuration, which it would not look for in a place that a test can choose.
        let wrapper =
            format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", path("config").display());
        fs::create_dir(path("bin")).unwrap();
        executable(&path("bin/ssh"), wrapper.as_bytes());
        station
    }

    /// The command that deploys a binary.
    fn deployment(&self, binary: &[u8]) -> Command {
        let built = self.home.path().join("target/any/release");
        fs::create_dir_all(&built).unwrap();
        executable(&built.join("silvacast"), binary);
        let mut deploy = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cross/deploy"));
        let path = std::env::var("PATH").unwrap();
        deploy.args(["station", "any"]).env("CARGO_TARGET_DIR", self.home.path().join("target"));
        deploy.env("PATH", format!("{}:{path}", self.home.path().join("bin").display()));
        deploy
    }

    fn deploy(&self, binary: &[u8]) -> Output {
        self.deployment(binary).run()
    }

    fn deploy_well(&self, binary: &[u8]) {
        let output = self.deploy(binary);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).ends_with("is active\n"), "{}", said(&output));
    }

    /// Every file that a deployment may touch, with its mode, owner and content.
    fn files(&self) -> String {
        self.pen.ok(&[
            "sh",
            "-c",
            "find /usr/bin /etc/silvacast /usr/lib/systemd /etc/systemd -name '*silvacast*' -o -path '/etc/silvacast/*' | sort | \
             while read -r file; do stat -c '%n %a %U %F' $file; [ -d $file ] || sha256sum < $file; done",
        ])
    }

    fn health(&self, port: u16) -> String {
        let url = format!("http://127.0.0.1:{port}/healthz");
        let said = self.pen.ok(&["curl", "--silent", "--show-error", "--fail", &url]);
        said.trim().to_owned()
    }

    fn read(&self, path: &str) -> Vec<u8> {
        self.pen.run(&["cat", path]).stdout
    }

    /// The temporary folder in which a deployment unpacks its files.
    fn temporary(&self) -> String {
        self.pen.ok(&["find", "/tmp", "-name", "tmp.*"])
    }

    fn active(&self) -> bool {
        self.pen.property(UNIT, "ActiveState") == "active"
    }

    /// The program that the service runs; empty if it does not run.
    fn running(&self) -> Vec<u8> {
        self.read(&format!("/proc/{}/exe", self.pen.property(UNIT, "MainPID")))
    }
}

fn executable(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn good() -> Vec<u8> {
    fs::read(PathBuf::from(std::env::var_os("SILVACAST_STATIC").unwrap())).unwrap()
}

/// Another version: bytes after the last section change nothing.
fn better() -> Vec<u8> {
    [&good()[..], b"better"].concat()
}

/// A program that accepts every configuration and then ends instead of serving.
const BAD: &[u8] = b"#!/bin/sh\n[ \"$1\" != --config ]\n";

#[test]
fn the_first_deployment_creates_missing_files_and_the_next_keeps_them() {
    if !needs(&NEEDS) {
        return;
    }
    let station = Station::start();
    station.deploy_well(&good());
    assert_eq!(station.health(8080), "ok");
    assert_eq!(station.pen.property(UNIT, "FragmentPath"), UNIT_FILE);
    assert_eq!(station.pen.ok(&["systemctl", "is-enabled", UNIT]).trim(), "enabled");
    let passwords = ["/etc/silvacast/source-password", "/etc/silvacast/admin-password"];
    for path in passwords {
        assert_eq!(station.pen.ok(&["stat", "-c", "%a %U", path]).trim(), "600 root");
        assert_eq!(station.read(path).len(), 25);
    }
    assert_ne!(station.read(passwords[0]), station.read(passwords[1]));

    let changed = "listen = [\"127.0.0.1:8081\"]\n";
    station.pen.put("/etc/silvacast/silvacast.toml", changed.as_bytes(), 0o644);
    station.pen.put(passwords[0], b"chosen by a person", 0o600);
    let admin = station.read(passwords[1]);
    station.deploy_well(&better());
    assert_eq!(station.health(8081), "ok");
    assert_eq!(station.read("/etc/silvacast/silvacast.toml"), changed.as_bytes());
    assert_eq!(station.read(passwords[0]), b"chosen by a person");
    assert_eq!(station.read(passwords[1]), admin);
    assert!(station.active() && station.running() == better(), "the old version runs");
    assert!(station.read("/usr/bin/silvacast.old") == good(), "the old version is not kept");
    assert!(!station.files().contains(".new"), "{}", station.files());
}

#[test]
fn a_version_that_refuses_the_configuration_is_not_deployed() {
    if !needs(&NEEDS) {
        return;
    }
    let station = Station::start();
    station.deploy_well(&good());
    station.pen.put("/etc/silvacast/silvacast.toml", b"workers = 0\n", 0o644);
    let (files, pid) = (station.files(), station.pen.property(UNIT, "MainPID"));
    let output = station.deploy(&better());
    assert!(!output.status.success());
    assert!(said(&output).contains("invalid value 0 for `workers`"), "{}", said(&output));
    assert!(
        said(&output).ends_with("not deployed: the previous state is restored\n"),
        "{}",
        said(&output)
    );
    assert_eq!(station.files(), files);
    assert_eq!(station.pen.property(UNIT, "MainPID"), pid, "the service was restarted");
}

#[test]
fn a_version_that_does_not_start_is_rolled_back() {
    if !needs(&NEEDS) {
        return;
    }
    let station = Station::start();
    station.deploy_well(&good());
    station.deploy_well(&better());
    // A unit of another version.
    let unit = [&station.read(UNIT_FILE)[..], b"# Not the new one.\n"].concat();
    station.pen.put(UNIT_FILE, &unit, 0o644);
    station.pen.ok(&["systemctl", "daemon-reload"]);
    let files = station.files();
    let output = station.deploy(BAD);
    assert!(!output.status.success());
    assert!(
        said(&output).ends_with("not deployed: the previous state is restored\n"),
        "{}",
        said(&output)
    );
    assert_eq!(station.files(), files);
    assert!(station.active() && station.running() == better(), "another version runs");
    assert_eq!(station.pen.property(UNIT, "NeedDaemonReload"), "no");
}

#[test]
fn if_the_old_version_does_not_start_either_the_message_says_so() {
    if !needs(&NEEDS) {
        return;
    }
    let station = Station::start();
    station.deploy_well(&good());
    // Root can read it, the service's user cannot.
    station.pen.put("/etc/silvacast/silvacast.toml", b"", 0o600);
    let files = station.files();
    let output = station.deploy(&better());
    assert!(!output.status.success());
    assert!(
        said(&output).contains("the previous version does not start either"),
        "{}",
        said(&output)
    );
    assert_eq!(station.files(), files);
}

/// A program that accepts the configuration only when a file exists.
const SLOW: &str = "#!/bin/sh
if [ \"$1\" = check ]; then
  touch /run/reached
  until [ -e /run/further ]; do sleep 0.02; done
fi
exec /usr/bin/silvacast-itself \"$@\"
";

#[test]
fn a_deployment_continues_when_the_connection_is_lost() {
    if !needs(&NEEDS) {
        return;
    }
    let station = Station::start();
    station.pen.put("/usr/bin/silvacast-itself", &better(), 0o755);
    station.deploy_well(&good());
    let mut command = station.deployment(SLOW.as_bytes());
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let mut deployment = Running::start(&mut command);
    station.pen.wait_for("the check of the configuration", |pen| {
        when(pen.run(&["test", "-e", "/run/reached"]).status.success(), "no /run/reached")
    });
    killpg(Pid::from_raw(deployment.0.id().cast_signed()), Signal::SIGKILL).unwrap();
    deployment.wait(PATIENCE);
    station.pen.wait_for("the end of the connection", |pen| {
        let processes = pen.run(&["pgrep", "--exact", "sshd"]);
        when(!processes.status.success(), String::from_utf8_lossy(&processes.stdout))
    });
    // A terminal would send this signal at its end.
    station.pen.ok(&["pkill", "--signal", "HUP", "--full", "cross/install"]);
    station.pen.put("/run/further", b"", 0o644);
    station.pen.wait_for("the new version to run", |_| {
        when(station.active() && station.running() == better(), station.active())
    });
    assert!(station.read("/usr/bin/silvacast") == SLOW.as_bytes());
    station.pen.wait_for("the temporary folder to be deleted", |_| {
        when(station.temporary().is_empty(), station.temporary())
    });
    assert!(!station.files().contains(".new"), "{}", station.files());
}

#[test]
fn a_first_deployment_that_does_not_start_leaves_nothing_behind() {
    if !needs(&NEEDS) {
        return;
    }
    let station = Station::start();
    let files = station.files();
    let output = station.deploy(BAD);
    assert!(!output.status.success());
    assert!(
        said(&output).ends_with("not deployed: the previous state is restored\n"),
        "{}",
        said(&output)
    );
    assert_eq!(station.files(), files);
    assert_eq!(station.pen.property(UNIT, "ActiveState"), "inactive", "systemd retries it");
    assert_eq!(station.pen.property(UNIT, "LoadState"), "not-found");
    assert_eq!(station.temporary(), "", "the files that were sent are still there");
}
