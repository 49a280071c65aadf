//! What a test needs of the machine that not every machine has. A test that cannot run says so, past the harness that
//! keeps the output of what passes; under CI it fails instead, as a Debian with root has all of this.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

/// Something that a machine may lack.
pub(crate) enum Need {
    /// The rights to make namespaces and to mount.
    Root,
    /// What `tests/pen` is made of.
    Systemd,
    /// A program that some Debian package has.
    Program(&'static str),
    /// The Debian package of this source, which takes longer to build than a test may.
    Package,
}

impl Need {
    fn name(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Systemd => "systemd",
            Self::Program(name) => name,
            Self::Package => "its Debian package",
        }
    }

    /// Why the machine lacks it, if it does.
    fn lacking(&self) -> Option<String> {
        match self {
            Self::Root => {
                (!nix::unistd::geteuid().is_root()).then(|| "this user is not root".to_owned())
            }
            Self::Systemd => {
                let programs = ["systemd/systemd", "systemd/systemd-journald"]
                    .map(|name| format!("/usr/lib/{name}"));
                let tools = ["ip", "nsenter", "setpriv", "unshare"];
                None.or_else(|| programs.iter().find_map(|path| no_file(path)))
                    .or_else(|| tools.iter().find_map(|name| no_program(name)))
                    .or_else(|| ["overlay", "cgroup2"].iter().find_map(|name| no_filesystem(name)))
            }
            Self::Program(name) => no_program(name),
            Self::Package => package().is_none().then(|| {
                "SILVACAST_DEB does not say where it is; systemd/debian/build makes it".to_owned()
            }),
        }
    }
}

/// Where the Debian package of this source is.
pub(crate) fn package() -> Option<PathBuf> {
    std::env::var_os("SILVACAST_DEB").map(PathBuf::from)
}

fn no_file(path: &str) -> Option<String> {
    (!Path::new(path).exists()).then(|| format!("there is no {path}"))
}

fn no_program(name: &str) -> Option<String> {
    let found = ["/usr/sbin", "/usr/bin"].iter().any(|place| Path::new(place).join(name).exists());
    (!found).then(|| format!("there is no program {name}"))
}

fn no_filesystem(name: &str) -> Option<String> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let found = known.lines().any(|line| line.split_whitespace().last() == Some(name));
    (!found).then(|| format!("its kernel has no {name}"))
}

/// Whether the machine has all of these.
pub(crate) fn needs(all: &[Need]) -> bool {
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    for need in all {
        let Some(why) = need.lacking() else { continue };
        let said = format!("{test}: needs {}, which this machine lacks because {why}", need.name());
        assert!(std::env::var_os("CI").is_none(), "{said}");
        std::io::stderr().write_all(format!("SKIPPED {said}\n").as_bytes()).unwrap();
        return false;
    }
    true
}
