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

/// The root of a Debian 12 with the packages of a station. Tests must not write there.
pub(crate) fn debian() -> Option<PathBuf> {
    fetch("tests/get-debian")
}

/// Where a program has put it, if this machine can have it.
fn fetch(program: &str) -> Option<PathBuf> {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(program));
    let output = command.env("CARGO_TARGET_DIR", target()).try_run(BUILD).unwrap();
    let (place, said) = (text(&output.stdout), text(&output.stderr));
    let found =
        if output.status.success() { Ok(PathBuf::from(place.trim_end())) } else { Err(said) };
    had(program, found)
}
