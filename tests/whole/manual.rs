//! The manual pages and completions, as `cargo run --example manual` writes them.

use std::fs;
use std::process::Command;

use silvacast::config::KEYS;

use crate::process::Run;

#[path = "../../docs/manual/main.rs"]
#[allow(dead_code, reason = "its main is for the example")]
mod generator;

#[test]
fn the_pages_have_every_command_and_key_and_no_formatting_errors() {
    let directory = tempfile::tempdir().unwrap();
    generator::write(directory.path()).unwrap();
    let page = |name: &str| {
        let path = directory.path().join("man").join(name);
        // The missing date is on purpose; there must be no other complaint.
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&path).run();
        let lint = String::from_utf8(lint.stdout).unwrap();
        let complaints: Vec<_> =
            lint.lines().filter(|line| !line.contains("missing date")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let text =
            Command::new("mandoc").args(["-T", "ascii", "-O", "width=200"]).arg(&path).run().stdout;
        // Bold text has each letter twice, with a backspace in between.
        let text = String::from_utf8(text).unwrap();
        text.split('\u{8}').fold(String::new(), |mut all, part| {
            all.pop();
            all + part
        })
    };
    let configuration = page("silvacast.toml.5");
    for key in KEYS {
        let default = match key.default {
            "required" => "required".to_owned(),
            "none" => "no default".to_owned(),
            default => format!("default {default}"),
        };
        let head = format!("{} ({default})", key.name);
        assert!(has(&configuration, &head), "{head}\n{configuration}");
    }
    let command = page("silvacast.8");
    for synopsis in [
        "silvacast [--config FILE] [--version]",
        "silvacast run [--config FILE]",
        "silvacast check --config FILE",
        "silvacast health [--url URL]",
        "silvacast push FILE URL [--loop] [--password-file FILE]",
        "silvacast demo",
    ] {
        assert!(has(&command, synopsis), "{synopsis}\n{command}");
    }
}

/// Whether a line of the page begins with this; a short explanation may follow on the same line.
fn has(page: &str, head: &str) -> bool {
    page.lines().any(|line| line.trim_start().starts_with(head))
}

#[test]
fn shells_complete_every_command() {
    let directory = tempfile::tempdir().unwrap();
    generator::write(directory.path()).unwrap();
    for name in ["silvacast.bash", "_silvacast", "silvacast.fish"] {
        let text = fs::read_to_string(directory.path().join("completions").join(name)).unwrap();
        for word in ["run", "check", "health", "push", "demo", "config", "password-file"] {
            assert!(text.contains(word), "{name} lacks {word}");
        }
    }
}
