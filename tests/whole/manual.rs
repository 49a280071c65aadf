//! The manual pages and completions, as `cargo run --example manual` writes them.

use std::fs;
use std::process::Command;

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
    assert_eq!(keys(&configuration), keys_of_readme());
    let command = page("silvacast.8");
    for synopsis in [
        "silvacast [--config FILE] [--version]",
        "silvacast run [--config FILE]",
        "silvacast check --config FILE",
        "silvacast health [--url URL] [--strict]",
        "silvacast push FILE URL [--loop] [--password-file FILE]",
        "silvacast demo",
    ] {
        assert!(has(&command, synopsis), "{synopsis}\n{command}");
    }
}

/// The keys of a page with their headings and defaults, as the page shows them.
fn keys(page: &str) -> Vec<String> {
    let part = page.split_once("\nKEYS\n").unwrap().1.split_once("\nEXAMPLE\n").unwrap().0;
    let mut heading = String::new();
    let mut keys = Vec::new();
    for line in part.lines().map(str::trim) {
        if line.starts_with('[') {
            line.clone_into(&mut heading);
        }
        for kind in [" (default ", " (required", " (none"] {
            let Some((name, rest)) = line.split_once(kind) else { continue };
            // A short head has the beginning of its text in the same line.
            let rest = rest.split_once(')').unwrap().0;
            let default = match kind {
                " (default " => rest.to_owned(),
                kind => format!("{}{rest}", &kind[2..]),
            };
            keys.push(format!("{heading} {name} = {default}").trim_start().to_owned());
        }
    }
    keys
}

/// The same from the README's table.
fn keys_of_readme() -> Vec<String> {
    let rows =
        include_str!("../../README.md").lines().skip_while(|line| !line.starts_with("| key |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let keys: Vec<_> = rows
        .map(|row| {
            let mut cells = row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']));
            format!("{} = {}", cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    assert!(keys.len() > 40, "{keys:?}");
    keys
}

#[test]
fn the_documents_that_are_made_from_the_keys_are_up_to_date() {
    for (path, text) in generator::checked_in().unwrap() {
        let found = fs::read_to_string(&path).unwrap();
        assert!(
            found == text,
            "{} is out of date: cargo run --example manual -- --checked-in",
            path.display()
        );
    }
}

/// Whether a page has a line that begins with this: short explanations stand in the same line.
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
