//! Rules about the code and the documents themselves.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from top to bottom: each one uses only modules below it.
const ARROWS: [&[&str]; 12] = [
    &["main"],
    &["cli"],
    &["push", "server", "encoder"],
    &["config"],
    &["door"],
    &["control"],
    &["peers"],
    &["worker"],
    &["source"],
    &["listener", "hls", "clip", "detections", "webrtc"],
    &["mount", "client"],
    &["auth"],
];
/// Modules that any other may use, and that use only each other.
const LEAVES: [&str; 13] = [
    "client_addr",
    "clock",
    "http",
    "log",
    "platform",
    "quota",
    "routes",
    "stats",
    "tcp",
    "text",
    "units",
    "utc",
    "wall_clock",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// The top-level module that a file belongs to.
fn module(file: &Path) -> String {
    let path = file.strip_prefix(root().join("src")).unwrap();
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn arrows_run_one_way() {
    let level = |name: &str| ARROWS.iter().position(|names| names.contains(&name));
    let mut uses = 0;
    for file in sources(&root().join("src")) {
        let from = module(&file);
        // Unit tests may use any module.
        if from == "lib" || file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for used in code.split("crate::").skip(1) {
            let to: String =
                used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            uses += 1;
            let below = match (level(&from), level(&to)) {
                (Some(from), Some(to)) => from < to,
                (Some(_), None) => LEAVES.contains(&to.as_str()),
                (None, _) => LEAVES.contains(&from.as_str()) && LEAVES.contains(&to.as_str()),
            };
            assert!(from == to || below, "{}: {from} uses {to}", file.display());
        }
    }
    assert!(uses > 50, "only {uses} uses were found");
}

#[test]
fn contributing_has_the_same_arrows() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let arrows = ARROWS.map(|names| names.join(", ")).join(" → ");
    assert!(words.contains(&arrows), "CONTRIBUTING.md does not say: {arrows}");
}

#[test]
fn every_module_says_why_it_exists() {
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}

/// The names of the types that a file defines.
fn types(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            rest.strip_prefix('(')
                .and_then(|rest| rest.split_once(") "))
                .map_or(rest, |(_, rest)| rest)
        });
        let (keyword, rest) = line.trim_start().split_once(' ')?;
        let name = rest.split(|c: char| !c.is_alphanumeric()).next()?;
        matches!(keyword, "struct" | "enum" | "trait").then_some(name)
    })
}

#[test]
fn each_type_has_a_name_of_its_own() {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for directory in ["src", "crates/ogg-splice/src"] {
        for file in sources(&root().join(directory)) {
            // Tables of tests have small types that nothing else sees.
            if file.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            found.extend(types(code).map(|name| (name.to_owned(), file.clone())));
        }
    }
    assert!(found.len() > 150, "only {} types were found", found.len());
    found.sort();
    for pair in found.windows(2) {
        let [(name, first), (other, second)] = pair else { unreachable!() };
        assert_ne!(name, other, "in {} and {}", first.display(), second.display());
    }
}
