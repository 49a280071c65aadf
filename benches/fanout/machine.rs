//! The machine on which this runs, and the versions of what is measured.

use std::fs;
use std::process::Command;

use crate::contender::{self, ICECAST};
use crate::cores;

/// Processor and number of cores.
pub(crate) fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |key: &str| about.lines().find(|line| line.starts_with(key));
    let model = named("model name").or_else(|| named("Model")).and_then(|l| l.split(": ").nth(1));
    format!("{}, {} cores", model.unwrap_or("unknown processor"), cores::all().len())
}

/// The version of the kernel.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// The binary of silvacast.
pub(crate) fn silvacast() -> String {
    let path = contender::binary();
    // A dynamically linked program names its loader.
    let dynamic = fs::read(path).is_ok_and(|bytes| {
        bytes.windows(8).take(4096).any(|eight| eight == b"ld-linux" || eight == b"ld-musl-")
    });
    let linked = if dynamic { "not static; the released one is" } else { "static" };
    format!("silvacast: {} ({linked})", path.display())
}

/// The version of Icecast, if it is installed.
pub(crate) fn icecast() -> String {
    let version = Command::new(ICECAST).arg("-v").output();
    version.map_or_else(
        |_| "icecast2 is not installed and is not measured".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
