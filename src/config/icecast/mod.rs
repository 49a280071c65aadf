//! Converts Icecast's `icecast.xml` to a configuration in TOML.
//!
//! The result is a document, so that there is one reader for configurations and one way to report
//! problems; each of its lines remembers the line that it comes from. A setting that is not
//! supported is listed, or is an error if ignoring it would admit somebody whom Icecast refuses.

mod mounts;
mod server;
mod xml;

use std::path::Path;

use xml::{Element, parse};

use super::files::read_file;
use super::kinds::quoted;
use super::reader::Problem;
use crate::text::entries;

/// Whether a text is XML, as opposed to TOML.
pub(super) fn is_xml(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('<')
}

/// Elements of which only the first in its parent is read; a second one is an error.
const ONCE: [&str; 27] = [
    "admin",
    "admin-password",
    "admin-user",
    "allow-ip",
    "authentication",
    "bind-address",
    "burst-on-connect",
    "changeowner",
    "chroot",
    "clients",
    "deny-ip",
    "header-timeout",
    "hidden",
    "hostname",
    "limits",
    "location",
    "max-listeners",
    "mount-name",
    "no-mount",
    "password",
    "paths",
    "port",
    "security",
    "source-password",
    "source-timeout",
    "sources",
    "username",
];

/// A converted configuration.
#[derive(Default)]
pub(super) struct Converted {
    /// The document in TOML.
    pub toml: String,
    /// For each of its lines, the line that it comes from; 0 for a line that comes from none.
    lines: Vec<usize>,
    /// Settings that are not supported.
    pub ignored: Vec<Problem>,
    problems: Vec<Problem>,
}

/// Converts a file.
///
/// # Errors
/// The text is not well-formed XML, or it has settings that must not be ignored.
pub(super) fn convert(text: &str) -> Result<Converted, Vec<Problem>> {
    let mut converted = parse(text, |root| {
        let mut converted = Converted::default();
        if root.name() != "icecast" {
            converted.problem(
                root,
                format!(
                    "<{}> is not an Icecast configuration, which begins with <icecast>",
                    root.name()
                ),
            );
        }
        converted.once(root);
        converted.root(root);
        converted
    })
    .map_err(|problem| vec![problem])?;
    converted.ignored.sort_by_key(|ignored| ignored.line);
    if converted.problems.is_empty() { Ok(converted) } else { Err(converted.problems) }
}

impl Converted {
    /// Problems and warnings of the document, with the lines of the file that it comes from.
    pub(super) fn relocate(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let line = |toml: usize| self.lines.get(toml - 1).copied().filter(|&line| line > 0);
        problems
            .into_iter()
            .map(|problem| Problem { line: problem.line.and_then(line), ..problem })
            .collect()
    }

    fn problem(&mut self, at: Element<'_>, text: impl Into<String>) {
        self.problems.push(Problem { line: Some(at.line()), text: text.into() });
    }

    /// Reports duplicates of elements that may occur only once in their parent.
    fn once(&mut self, element: Element<'_>) {
        let mut seen = [false; ONCE.len()];
        for child in element.children() {
            if let Some(at) = ONCE.iter().position(|name| *name == child.name())
                && std::mem::replace(&mut seen[at], true)
            {
                self.problem(child, format!("duplicate <{}>", child.name()));
            }
            self.once(child);
        }
    }

    fn ignore(&mut self, element: Element<'_>, within: &str) {
        let text = format!("<{}> in <{within}> is not supported and is ignored", element.name());
        self.ignored.push(Problem { line: Some(element.line()), text });
    }

    /// Adds a line that comes from this line of the file.
    fn line(&mut self, from: usize, text: &str) {
        self.toml.push_str(text);
        self.toml.push('\n');
        self.lines.push(from);
    }

    /// Begins a table.
    fn section(&mut self, from: usize, heading: &str) {
        self.line(0, "");
        self.line(from, heading);
    }

    fn text(&mut self, key: &str, element: Element<'_>) {
        self.line(element.line(), &format!("{key} = {}", quoted(&element.text())));
    }

    /// Copies a number verbatim; the TOML reader, which knows the bounds, reports anything else.
    fn number(&mut self, key: &str, element: Element<'_>) {
        let text = element.text();
        let value = if text.parse::<i64>().is_ok() { text } else { quoted(&text) };
        self.line(element.line(), &format!("{key} = {value}"));
    }

    fn seconds(&mut self, key: &str, element: Element<'_>) {
        let text = element.text();
        let value = if text.parse::<u64>().is_ok() { format!("{text}s") } else { text };
        self.line(element.line(), &format!("{key} = {}", quoted(&value)));
    }

    /// The addresses in the file that an `allow-ip` or `deny-ip` names.
    fn addresses(&mut self, key: &str, element: Element<'_>) {
        let path = element.text();
        let shown = format!("<{0}>{path}</{0}>", element.name());
        match read_file(Path::new(&path)) {
            Ok(text) => {
                let list: Vec<_> = entries(&text).map(|(_, line)| quoted(line)).collect();
                self.line(element.line(), &format!("{key} = [{}]", list.join(", ")));
                // An empty `allow` list in TOML admits everyone.
                if key == "allow" && list.is_empty() {
                    self.problem(element, format!("{shown} lists no address, so it admits nobody"));
                }
            }
            Err(error) => self.problem(element, format!("{shown} cannot be read: {error}")),
        }
    }
}
