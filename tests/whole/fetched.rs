//! What tests need and no package installs: each is fetched or made once, by a program of `tests/`,
//! and kept in Cargo's target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::needs::had;
use crate::podman::{target, text};
use crate::process::{BUILD, Run};

/// Clients by other authors.
pub(crate) fn readers() -> Option<PathBuf> {
    fetch("tests/get-readers")
}

/// Podman's Quadlet generator.
pub(crate) fn generator() -> Option<PathBuf> {
    fetch("tests/get-quadlet")
}

/// The root of a Debian with the packages of a station. Tests must not write there.
pub(crate) fn debian(release: &str) -> Option<PathBuf> {
    fetch(&format!("tests/get-debian {release}"))
}

/// Where a program has put it, if this machine can have it.
fn fetch(line: &str) -> Option<PathBuf> {
    let mut words = line.split(' ');
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(words.next().unwrap());
    let mut command = Command::new(program);
    command.args(words);
    let output = command.env("CARGO_TARGET_DIR", target()).try_run(BUILD).unwrap();
    let (place, said) = (text(&output.stdout), text(&output.stderr));
    let found =
        if output.status.success() { Ok(PathBuf::from(place.trim_end())) } else { Err(said) };
    had(line, found)
}
