//! The fields of a line in logfmt: `name=value`, such as `mount="/m" bytes=96`.
//!
//! Text from `&str` always has quotes, so that a field looks the same whatever it contains. Other
//! values have them where a logfmt parser needs them. Inside quotes, the escapes are those of JSON.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::text::is_control;

/// Writes the message, then each field in logfmt.
pub(super) struct Logfmt;

impl<'w> FormatFields<'w> for Logfmt {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut fields_writer = FieldWriter { writer, is_first: true, result: Ok(()) };
        fields.record(&mut fields_writer);
        fields_writer.result
    }
}

struct FieldWriter<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl FieldWriter<'_> {
    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        if name == "message" {
            self.writer.write_str(value)
        } else if self.writer.has_ansi_escapes() {
            write!(self.writer, "\x1b[3m{}\x1b[0m\x1b[2m=\x1b[0m{value}", plain_name(name))
        } else {
            write!(self.writer, "{}={value}", plain_name(name))
        }
    }

    fn record(&mut self, name: &str, value: &str) {
        if self.result.is_ok() {
            self.result = self.write(name, value);
        }
    }
}

impl Visit for FieldWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field.name(), &quoted(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        let is_message = field.name() == "message";
        self.record(field.name(), &if is_message { text } else { quoted_if_needed(text) });
    }
}

/// A field's name; Rust's mark is removed from one that is also a keyword (`r#loop`).
pub(super) fn plain_name(name: &str) -> &str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// The text in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // A terminal would obey it. All of these have at most four digits.
            character if is_control(character) => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// The text, in quotes if a logfmt parser would not read it as one value without them.
pub(super) fn quoted_if_needed(text: String) -> String {
    let needs_quotes = |character: char| {
        character.is_whitespace() || is_control(character) || matches!(character, '"' | '=' | '\\')
    };
    if text.is_empty() || text.contains(needs_quotes) { quoted(&text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_quotes_where_a_parser_needs_them() {
        for plain in ["96", "127.0.0.1:8080", "[::1]:8080", "ünïcode", "it's"] {
            assert_eq!(quoted_if_needed(plain.to_owned()), plain);
        }
        for (text, written) in [
            ("", r#""""#),
            ("sent nothing", r#""sent nothing""#),
            ("no\u{a0}break", "\"no\u{a0}break\""),
            ("a=b", r#""a=b""#),
            ("say \"x\"", r#""say \"x\"""#),
            (r"C:\x", r#""C:\\x""#),
            ("two\r\nlines\t\0", r#""two\r\nlines\t\u0000""#),
            ("\u{9b}31m\u{202e}", r#""\u009b31m\u202e""#),
        ] {
            assert_eq!(quoted_if_needed(text.to_owned()), written);
            assert_eq!(serde_json::from_str::<String>(written).unwrap(), text);
        }
    }
}
