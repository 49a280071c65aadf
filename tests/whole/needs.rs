//! What a test needs that not every machine has. A test that cannot run prints a line that the test harness does not
//! capture; under CI it fails instead, because a Debian machine with root has everything.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

/// A requirement of a test.
pub(crate) enum Need {
    /// The rights to make namespaces and to mount.
    Root,
    /// The programs that `tests/pen` uses.
    Systemd,
    /// A Podman with a runtime and a network.
    Podman,
    /// A program from a Debian package.
    Program(&'static str),
    /// The Debian package of this source, which takes too long to build in a test.
    Package,
    /// The binaries for other machines, which `tests/all` builds.
    Static,
}

impl Need {
    fn name(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Systemd => "systemd",
            Self::Podman => "Podman",
            Self::Program(name) => name,
            Self::Package => "its Debian package",
            Self::Static => "the static binaries",
        }
    }

    /// Why the machine lacks it, if it does.
    fn lacking(&self) -> Option<String> {
        let programs = |names: &[&str]| names.iter().find_map(|name| no_program(name));
        let files = |paths: &[&str]| paths.iter().find_map(|path| no_file(path));
        match self {
            Self::Root => {
                (!nix::unistd::geteuid().is_root()).then(|| "this user is not root".to_owned())
            }
            Self::Systemd => {
                files(&["/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-journald"])
                    .or_else(|| programs(&["ip", "nsenter", "setpriv", "unshare"]))
            }
            Self::Podman => {
                programs(&["podman", "crun", "conmon", "iptables", "ip", "nsenter", "unshare"])
                    .or_else(|| {
                        files(&["/usr/lib/podman/netavark", "/usr/lib/podman/aardvark-dns"])
                    })
            }
            Self::Program(name) => no_program(name),
            Self::Package => package().is_none().then(|| {
                "SILVACAST_DEB does not say where it is; systemd/debian/build makes it".to_owned()
            }),
            Self::Static => ["SILVACAST_STATIC", "SILVACAST_AARCH64"]
                .into_iter()
                .find(|variable| std::env::var_os(variable).is_none())
                .map(|variable| format!("tests/all has set no {variable}")),
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

/// Whether the machine has all of these.
pub(crate) fn needs(all: &[Need]) -> bool {
    all.iter().all(|need| had(need.name(), need.lacking().map_or(Ok(()), Err)).is_some())
}

/// The value that was found. If it was not, prints why the test is skipped, or fails under CI.
pub(crate) fn had<T>(what: &str, found: Result<T, impl std::fmt::Display>) -> Option<T> {
    let why = match found {
        Ok(found) => return Some(found),
        Err(why) => why,
    };
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    let said = format!("{test}: needs {what}, which this machine lacks because {why}");
    assert!(std::env::var_os("CI").is_none(), "{said}");
    let line = format!("SKIPPED {said}\n");
    // Not eprintln!, which the harness keeps to itself.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    // nextest keeps the whole output of what passes to itself, so tests/all repeats these lines.
    if let Some(path) = std::env::var_os("SILVACAST_SKIPPED") {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    None
}
