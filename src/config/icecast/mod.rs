//! Converts Icecast's `icecast.xml` to a configuration in TOML.
//!
//! The result is a document, so that there is one reader for configurations and one way to report
//! problems; each of its lines remembers the line that it comes from, and messages use the names of
//! the elements. A setting that is not supported is listed, or is an error if ignoring it would
//! admit somebody whom Icecast refuses. A number that is out of range becomes the nearest bound.

mod encoding;
mod mounts;
mod names;
mod relays;
mod server;
mod xml;

use std::path::Path;
use std::time::Duration;

pub(super) use encoding::decode;
pub(super) use names::element;
use xml::{Element, parse};

use super::files::read_file;
use super::keys::Key;
use super::kinds::{Kind, Number, Time, quoted};
use super::reader::{Origin, Problem};
use crate::text::{MAX_TEXT, entries, sanitize};

/// Whether a text is XML, as opposed to TOML.
pub(super) fn is_xml(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('<')
}

/// Elements of which only the first in its parent is read; a second one is an error.
const ONCE: [&str; 31] = [
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
    "genre",
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
    "stream-description",
    "stream-name",
    "stream-url",
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
    /// Values that are out of range, in place of which the nearest ones are used.
    pub warnings: Vec<Problem>,
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
    /// What the document comes from.
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin { element, lines: &self.lines }
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

    /// Lists a setting that is not supported, unless silvacast does what it says anyway.
    fn ignore(&mut self, element: Element<'_>, within: &str) {
        let name = element.name();
        let text = element.text();
        let in_force = match name {
            // Switches for what silvacast does not do.
            "fallback-override" | "fallback-when-full" | "fileserve" | "on-demand" | "public"
            | "shoutcast-compat" | "ssl" | "tls" => !element.is_on(),
            // What silvacast relays, and how it encodes text.
            "type" => matches!(&*text, "application/ogg" | "audio/ogg"),
            "charset" => text.eq_ignore_ascii_case("utf-8"),
            // Icecast 2.4 does not use them either.
            "client-timeout" | "threadpool" => true,
            _ => false,
        };
        if !in_force {
            let text = format!("<{name}> in <{within}> is not supported and is ignored");
            self.ignored.push(Problem { line: Some(element.line()), text });
        }
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

    /// Sets a key to the text of an element. An empty element is like none.
    fn text(&mut self, key: &str, element: Element<'_>) {
        let text = element.text();
        if !text.is_empty() {
            self.line(element.line(), &format!("{key} = {}", quoted(&text)));
        }
    }

    /// Sets a key to a text that is shown, on one line and not longer than allowed.
    fn label(&mut self, key: &str, element: Element<'_>) {
        let given = element.text().split_whitespace().collect::<Vec<_>>().join(" ");
        let used = sanitize(&given);
        if used != given {
            let text = format!(
                "<{}> has control characters or more than {MAX_TEXT} bytes; {} is used",
                element.name(),
                quoted(&used)
            );
            self.warnings.push(Problem { line: Some(element.line()), text });
        }
        if !used.is_empty() {
            self.line(element.line(), &format!("{key} = {}", quoted(&used)));
        }
    }

    /// Sets a secret. An empty one is an error, which the TOML reader reports.
    fn secret(&mut self, key: &str, element: Element<'_>) {
        self.line(element.line(), &format!("{key} = {}", quoted(&element.text())));
    }

    /// Sets a key to a number, or to the nearest one that is allowed.
    fn number(&mut self, key: &Key<Number>, element: Element<'_>) {
        let Ok(given) = element.text().parse::<i64>() else {
            // The TOML reader says what is allowed.
            return self.text(key.name, element);
        };
        let used = usize::try_from(given).unwrap_or(0).clamp(key.kind.least, key.kind.most);
        if i64::try_from(used) != Ok(given) {
            self.adjusted(element, &used.to_string(), &key.kind);
        }
        self.line(element.line(), &format!("{} = {used}", key.name));
    }

    /// Sets a key to a number of seconds, or to the nearest time that is allowed.
    fn seconds(&mut self, key: &Key<Time>, element: Element<'_>) {
        let Ok(given) = element.text().parse::<i64>() else {
            return self.text(key.name, element);
        };
        let given = Duration::from_secs(given.max(0).unsigned_abs());
        let used = given.clamp(key.kind.least, key.kind.most);
        let text = key.kind.write(&used).unwrap_or_default();
        if used != given {
            self.adjusted(element, &text, &key.kind);
        }
        self.line(element.line(), &format!("{} = {text}", key.name));
    }

    fn adjusted(&mut self, element: Element<'_>, used: &str, kind: &impl Kind) {
        let text = format!(
            "<{0}>{1}</{0}> is out of range; {used} is used (allowed: {2})",
            element.name(),
            element.text(),
            kind.allowed()
        );
        self.warnings.push(Problem { line: Some(element.line()), text });
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
