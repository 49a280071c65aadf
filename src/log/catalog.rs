//! The explanations of log lines, from the catalog that `journalctl -x` uses: what has happened, and what
//! to do.

use super::journal::JournalEvent;

/// The catalog (<https://systemd.io/CATALOG>): for each id a head, an empty line, and the text.
const CATALOG: &str = include_str!("../../systemd/silvacast.catalog");

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// In one line.
    pub(crate) subject: &'static str,
    /// What has happened, and what to do, in paragraphs.
    pub(crate) text: String,
}

/// The explanation of a line; `value` returns its fields by their names, in lower case. `None` if the
/// catalog has none.
pub(crate) fn explain(
    event: &JournalEvent,
    value: impl Fn(&str) -> Option<String>,
) -> Option<Explanation> {
    let (_, entry) = CATALOG.split_once(&format!("\n-- {}\n", event.id))?;
    let entry = entry.split("\n-- ").next()?;
    let (head, text) = entry.split_once("\n\n")?;
    let subject = head.lines().find_map(|line| line.strip_prefix("Subject: "))?;
    Some(Explanation { subject, text: filled_in(text.trim_end(), value) })
}

/// A text with the values of fields in place of `@NAME@`. A field without a value is left out.
fn filled_in(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    // Every second piece is between two signs.
    let mut pieces = text.split('@').peekable();
    while let Some(piece) = pieces.next() {
        filled.push_str(piece);
        let Some(name) = pieces.next() else { break };
        let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if is_name && pieces.peek().is_some() {
            filled.push_str(&value(&name.to_lowercase()).unwrap_or_default());
        } else {
            filled.extend(["@", name, if pieces.peek().is_some() { "@" } else { "" }]);
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::super::journal::{ALL, SOURCE_ENDED};
    use super::*;

    #[test]
    fn every_kind_of_line_is_explained() {
        for event in ALL {
            let explanation = explain(event, |name| Some(format!("<{name}>"))).expect(event.name);
            assert!(!explanation.subject.is_empty() && explanation.text.len() > 20, "{event:?}");
            assert!(!explanation.text.contains("-- "), "{explanation:?}");
        }
    }

    #[test]
    fn fields_are_filled_in() {
        let value = |name: &str| (name == "mount").then(|| "/mic".to_owned());
        let explanation = explain(&SOURCE_ENDED, value).unwrap();
        assert!(explanation.text.contains("/mic"), "{explanation:?}");
        let of = |text| filled_in(text, |name| (name == "a").then(|| "1".to_owned()));
        for (text, expected) in [
            ("x @A@ y @A@@B@", "x 1 y 1"),
            ("a@b", "a@b"),
            ("a@example @A@", "a@example @A@"),
            ("@", "@"),
            ("", ""),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
