//! Recognizes common formats that encoders send by mistake instead of Ogg.

/// Describes the format of data that begins with these bytes, as an object of "the source sent …".
pub(super) fn describe(bytes: &[u8]) -> String {
    const KNOWN: [(&[u8], &str); 10] = [
        (b"RIFF", "a WAV file"),
        (b"fLaC", "FLAC without Ogg"),
        (b"ID3", "MP3"),
        (b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
        (b"caff", "a CAF file"),
        (b"FLV", "Flash video"),
        (b"<", "text (HTML or XML)"),
        (b"{", "text (JSON)"),
        (b"#EXTM3U", "a playlist"),
        (b"G@", "an MPEG transport stream"),
    ];
    if let Some((_, name)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*name).to_owned();
    }
    match bytes {
        [0xff, second, ..] if second & 0xf6 == 0xf0 => "AAC".to_owned(),
        [0xff, second, ..] if second & 0xe0 == 0xe0 => "MP3".to_owned(),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "MP4".to_owned(),
        _ => {
            let hex: Vec<_> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("data of an unknown format, beginning with the bytes {}", hex.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn common_formats_are_recognized() {
        for (bytes, name) in [
            (&b"RIFF\x24\0\0\0WAVE"[..], "a WAV file"),
            (b"\xff\xfb\x90\x64", "MP3"),
            (b"ID3\x04", "MP3"),
            (b"\xff\xf1\x50\x80", "AAC"),
            (b"\0\0\0\x20ftypisom", "MP4"),
            (
                b"\x01\x02\x03\x04\x05",
                "data of an unknown format, beginning with the bytes 01 02 03 04",
            ),
        ] {
            assert_eq!(describe(bytes), name);
        }
    }
}
