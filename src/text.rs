//! Untrusted text, made safe for logs, headers and documents.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::borrow::Cow;

/// Maximum length of sanitized text, in bytes.
pub(crate) const MAX_TEXT: usize = 256;

/// Removes control characters and Unicode's bidirectional formatting characters, and cuts the text
/// to [`MAX_TEXT`] bytes.
pub(crate) fn sanitize(text: &str) -> String {
    let mut sanitized = String::new();
    for character in text.chars().filter(|&character| !is_control(character)) {
        if sanitized.len().saturating_add(character.len_utf8()) > MAX_TEXT {
            break;
        }
        sanitized.push(character);
    }
    sanitized
}

/// Whether this is a control character or one of Unicode's bidirectional formatting characters.
pub(crate) fn is_control(character: char) -> bool {
    let is_bidi_control = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_bidi_control
}

/// Decodes text of which nobody says how it is encoded. Old encoders send Latin-1, which is hardly
/// ever valid UTF-8, so bytes that are not UTF-8 are Latin-1.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => encoding_rs::mem::decode_latin1(bytes),
    }
}

/// The lines of a file that are neither empty nor comments (`#`), trimmed, with their line numbers
/// from 1.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_their_line_numbers() {
        let all: Vec<_> = entries("# users\n\n a:b \n#c\nd").collect();
        assert_eq!(all, [(3, "a:b"), (5, "d")]);
    }

    #[test]
    fn text_that_is_not_utf_8_is_latin_1() {
        assert_eq!(decode("Café ☕".as_bytes()), "Café ☕");
        assert_eq!(decode(b"Caf\xe9"), "Café");
    }

    #[test]
    fn text_is_cut_between_characters_and_control_characters_are_removed() {
        assert_eq!(sanitize("a\r\n\u{9b}b\u{1b}\u{202e}c"), "abc");
        assert_eq!(sanitize(&"🦉".repeat(100)).chars().count(), MAX_TEXT / 4);
    }
}
