//! Text that a stranger chose, made fit to stand in logs, headers and documents.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

/// The longest such text that is kept, in bytes.
pub(crate) const MAX_TEXT: usize = 256;

/// The text without control characters, those that turn the direction of writing among them, and not longer than [`MAX_TEXT`].
pub(crate) fn sanitize(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut sanitize = String::new();
    for character in text.chars().filter(|&character| !character.is_control() && !turns(character))
    {
        if sanitize.len().saturating_add(character.len_utf8()) > MAX_TEXT {
            break;
        }
        sanitize.push(character);
    }
    sanitize
}

/// The lines of a file that say something, trimmed, with their numbers from 1: neither empty nor after a `#`.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_know_their_lines() {
        let all: Vec<_> = entries("# users\n\n a:b \n#c\nd").collect();
        assert_eq!(all, [(3, "a:b"), (5, "d")]);
    }

    #[test]
    fn text_is_cut_between_characters_and_loses_its_controls() {
        assert_eq!(sanitize("a\r\n\u{9b}b\u{1b}\u{202e}c"), "abc");
        assert_eq!(sanitize(&"🦉".repeat(100)).chars().count(), MAX_TEXT / 4);
    }
}
