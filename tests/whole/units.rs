//! The shipped unit and catalog agree with the program.

use std::process::Command;

use silvacast::log::journal;

use crate::daemon::silvacast;
use crate::needs::{Need, needs};
use crate::process::Run;

const SERVICE: &str = include_str!("../../systemd/silvacast.service");
const CATALOG: &str = include_str!("../../systemd/silvacast.catalog");
const NO_NETWORK: &str = include_str!("../../systemd/silvacast.service.d/no-network.conf.example");

const CONFIGURATION: &str = include_str!("../../systemd/silvacast.toml");

/// The output of `check` for a configuration.
fn check(configuration: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silvacast.toml");
    std::fs::write(&path, configuration).unwrap();
    for name in ["source-password", "admin-password"] {
        std::fs::write(directory.path().join(name), "x").unwrap();
    }
    let mut command = silvacast();
    command.env("CREDENTIALS_DIRECTORY", directory.path());
    command.args(["check", "--config"]).arg(path);
    let output = command.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn setting(name: &str) -> &'static str {
    let lines = SERVICE.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(key, _)| *key == name).map(|(_, value)| value).next().expect(name)
}

#[test]
fn the_unit_s_limits_fit_the_shipped_configuration() {
    let said = check(CONFIGURATION);
    assert_eq!(setting("MemoryMax"), format!("{}M", memory(&said).ceil()));
    let files = said.lines().find_map(|line| line.strip_prefix("open files, maximum: ")).unwrap();
    assert!(files.parse::<u64>().unwrap() <= setting("LimitNOFILE").parse().unwrap(), "{files}");
    // Threads: main, log, notify, control, passwords, manager, one for audio, and one during a reload.
    assert!(setting("TasksMax").parse::<u32>().unwrap() >= 8);
}

/// The most memory, in MiB, according to the output of `check`.
pub(crate) fn memory(said: &str) -> f64 {
    let total = said.lines().find(|line| line.contains(" MiB  in all")).expect(said);
    total.split_whitespace().next().unwrap().parse().unwrap()
}

/// The memory that the unit allows, in MiB.
pub(crate) fn memory_max() -> f64 {
    setting("MemoryMax").trim_end_matches('M').parse().unwrap()
}

#[test]
fn what_the_configuration_suggests_fits_into_the_unit_s_memory() {
    let is_key = |line: &str| line.starts_with('[') || line.contains(" = ");
    let suggestions = CONFIGURATION.lines().filter_map(|line| line.strip_prefix("# "));
    let suggestions: Vec<_> = suggestions.filter(|line| is_key(line)).collect();
    assert!(suggestions.len() >= 3, "{suggestions:?}");
    let said = check(&format!("{CONFIGURATION}\n{}\n", suggestions.join("\n")));
    assert!(memory(&said) <= memory_max(), "{said}");
}

#[test]
fn the_catalog_explains_every_event_and_no_other() {
    let explained: Vec<_> = CATALOG.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
    let said: Vec<_> = journal::ALL.iter().map(|event| event.id).collect();
    assert_eq!(explained, said, "in the order of src/log/journal.rs");
    for entry in CATALOG.split("\n-- ").skip(1) {
        assert!(
            entry.contains("\nSubject: ") && entry.contains("\nDefined-By: silvacast\n"),
            "{entry}"
        );
        let text = entry.split_once("\n\n").expect("a text").1.trim();
        assert!(text.len() > 30, "{entry}");
    }
}

/// A directory with the unit under its name, as systemd-analyze needs it.
fn unit(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silvacast.service");
    std::fs::write(&path, text).unwrap();
    for (name, text) in [
        ("silvacast.socket", include_str!("../../systemd/silvacast.socket")),
        ("silvacast-webrtc.socket", include_str!("../../systemd/silvacast-webrtc.socket")),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

/// The exposure of a unit according to systemd, from 0 to 10.
fn exposure(text: &str) -> f64 {
    let (_directory, path) = unit(text);
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &path])
        .run();
    let said = String::from_utf8(output.stdout).unwrap();
    let line =
        said.lines().find(|line| line.contains("Overall exposure level")).expect("a verdict");
    line.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
}

#[test]
fn systemd_reports_a_low_exposure() {
    if !needs(&[Need::Program("systemd-analyze")]) {
        return;
    }
    assert!(exposure(SERVICE) <= 1.1, "{}", exposure(SERVICE));
    let service = NO_NETWORK.split_once("[Service]\n").unwrap().1;
    let alone = SERVICE.replace("[Install]", &format!("{service}\n[Install]"));
    assert!(exposure(&alone) <= 0.3, "{}", exposure(&alone));
    assert!(
        exposure("[Service]\nExecStart=/bin/true\n") > 9.0,
        "an unhardened unit must have a high exposure"
    );
}

/// The complaints of systemd about a unit.
fn complaints(text: &str) -> String {
    // Without the programs and manual pages that it names, which this machine need not have.
    let text =
        text.replace("/usr/bin/silvacast ", "/bin/true ").replace("Documentation=man", "# man");
    let (_directory, path) = unit(&text);
    let output = Command::new("systemd-analyze").args(["verify", "--man=no", &path]).run();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn systemd_understands_every_line() {
    if !needs(&[Need::Program("systemd-analyze")]) {
        return;
    }
    assert_eq!(complaints(SERVICE), "");
    let wrong = complaints(&SERVICE.replace("[Install]", "NoSuchKey=yes\n[Install]"));
    assert!(wrong.contains("NoSuchKey"), "the complaint about an unknown key is missing: {wrong}");
}
