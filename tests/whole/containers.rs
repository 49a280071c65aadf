//! A pen of another Debian in which its own Podman runs containers, with Quadlet where it has one.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::pen::Pen;
use crate::process::{BUILD, Running};
use crate::wait::PATIENCE;

/// The pen's control groups have no controllers, nobody in it may raise a limit, and no name server
/// can be reached.
const SETTINGS: &[u8] = b"[engine]
cgroup_manager = \"cgroupfs\"
[containers]
pids_limit = 0
dns_servers = [\"127.0.0.1\"]
default_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]
";

/// A pen of the Debian in this folder.
pub(crate) fn pen_with_podman(debian: &Path) -> Pen {
    let pen = Pen::of(debian);
    // Podman cannot put its storage on the pen's overlay.
    pen.script("/", "mkdir -p /var/lib/containers; mount -t tmpfs tmpfs /var/lib/containers");
    pen.put("/etc/containers/containers.conf", SETTINGS, 0o644);
    pen.script(
        "/",
        "mkdir -p /run/systemd/system-generators /etc/containers/systemd
        ln -s /usr/libexec/podman/quadlet /run/systemd/system-generators/",
    );
    pen
}

/// Removes from a Quadlet's container, by a drop-in, the limits that a pen cannot set, which are
/// among its arguments for Podman. `lines` follow them.
pub(crate) fn without_limits(pen: &Pen, name: &str, lines: &str) {
    let drop_in = format!("[Container]\nPidsLimit=\nPodmanArgs=\n{lines}");
    let path = format!("/etc/containers/systemd/{name}.container.d/pen.conf");
    pen.put(&path, drop_in.as_bytes(), 0o644);
}

/// Makes an image from the files of a Debian, under the name that it has in the registry.
pub(crate) fn import(pen: &Pen, debian: &Path, image: &str) {
    let mut tar = Command::new("tar");
    tar.args(["--exclude=./usr/share/doc", "--exclude=./usr/share/locale", "--exclude=./dev"]);
    tar.arg("-C").arg(debian).args(["-c", "."]);
    let mut tar = Running::start(tar.stdout(Stdio::piped()));
    let mut import = pen.command(&["podman", "import", "--quiet", "-", image]);
    import.stdin(tar.0.stdout.take().unwrap()).stdout(Stdio::null());
    assert!(Running::start(&mut import).wait(BUILD).success());
    assert!(tar.wait(PATIENCE).success());
}
