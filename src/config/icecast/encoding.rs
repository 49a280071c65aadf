//! The character encoding of a configuration file: UTF-8, or what an XML file declares.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use super::super::reader::Problem;

/// The text of a file. A byte order mark decides; without one, the declaration of an XML file does
/// (XML 1.0, appendix F); everything else is UTF-8.
///
/// # Errors
/// The declared encoding is not known, or the bytes are not in that encoding.
pub(in crate::config) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Problem> {
    let unmarked = match bytes {
        // The first character of an XML file in UTF-16.
        [b'<', 0, ..] => Some((UTF_16LE, 0)),
        [0, b'<', ..] => Some((UTF_16BE, 0)),
        _ => None,
    };
    let found = match Encoding::for_bom(bytes).or(unmarked) {
        Some(found) => Some(found),
        None => declared(bytes)?.map(|encoding| (encoding, 0)),
    };
    let Some((encoding, mark)) = found else {
        let text = std::str::from_utf8(bytes);
        return text.map(Cow::Borrowed).map_err(|error| {
            let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
            Problem { line: Some(line), text: "the text is not UTF-8".to_owned() }
        });
    };
    encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark..]).ok_or_else(|| {
        let text = format!("the text is not in the encoding of the file, {}", encoding.name());
        Problem { line: None, text }
    })
}

/// The encoding in the XML declaration.
fn declared(bytes: &[u8]) -> Result<Option<&'static Encoding>, Problem> {
    let name = bytes.strip_prefix(b"<?xml").and_then(|rest| {
        let end = rest.windows(2).position(|pair| pair == b"?>")?;
        let declaration = std::str::from_utf8(&rest[..end]).ok()?;
        let (_, value) = declaration.split_once("encoding")?;
        let value = value.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        value[1..].split(quote).next()
    });
    let Some(name) = name else { return Ok(None) };
    let known = Encoding::for_label_no_replacement(name.as_bytes());
    // A file whose declaration can be read as ASCII is not in UTF-16.
    known.filter(|encoding| encoding.is_ascii_compatible()).map(Some).ok_or_else(|| Problem {
        line: Some(1),
        text: format!(
            "the file is not in the declared encoding \"{name}\", or it is not supported; save \
             the file in UTF-8 and declare that"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(encoding: &str, text: &[u8]) -> Vec<u8> {
        [format!("<?xml version=\"1.0\" encoding={encoding}?>\n<a>").as_bytes(), text, b"</a>"]
            .concat()
    }

    fn utf_16(text: &str, unit: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn a_file_is_read_in_its_encoding() {
        for (bytes, text) in [
            (xml("\"ISO-8859-1\"", b"K\xf6ln"), "Köln"),
            (xml("'latin1'", b"K\xf6ln"), "Köln"),
            (xml("\"iso-8859-15\"", b"\xa4"), "€"),
            (xml("\"windows-1252\"", b"\x80"), "€"),
            (xml("\"US-ASCII\"", b"x"), "x"),
            (xml("\"KOI8-R\"", b"\xec\xc5\xd3"), "Лес"),
            (xml("\"Shift_JIS\"", b"\x90X"), "森"),
            (xml("\"utf-8\"", "Köln".as_bytes()), "Köln"),
            (utf_16("\u{feff}<a>Köln</a>", u16::to_le_bytes), "Köln"),
            (utf_16("\u{feff}<a>Köln</a>", u16::to_be_bytes), "Köln"),
            (utf_16("<?xml encoding=\"utf-16\"?><a>Köln</a>", u16::to_le_bytes), "Köln"),
            ("\u{feff}name = \"Köln\"".into(), "Köln"),
            ("name = \"Köln\"".into(), "Köln"),
        ] {
            let decoded = decode(&bytes).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert!(decoded.contains(text), "{decoded}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error() {
        for (bytes, line, part) in [
            (xml("\"EBCDIC-DE\"", b"x"), Some(1), "\"EBCDIC-DE\", or it is not supported"),
            (xml("\"UTF-16\"", b"x"), Some(1), "\"UTF-16\", or it is not supported"),
            (xml("\"UTF-8\"", b"K\xf6ln"), None, "not in the encoding of the file, UTF-8"),
            (b"<a>\nK\xf6ln</a>".to_vec(), Some(2), "the text is not UTF-8"),
            (b"a = 1\n\n\"\xff\"".to_vec(), Some(3), "the text is not UTF-8"),
        ] {
            let problem = decode(&bytes).unwrap_err();
            assert_eq!(problem.line, line, "{problem}");
            assert!(problem.text.contains(part), "{problem}");
        }
    }
}
