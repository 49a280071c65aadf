//! The head of the answer that a listener gets, as Icecast 2.4 writes it.

use std::fmt::Write;

use crate::http::{SERVER, date};
use crate::mount::StreamInfo;

/// The whole head, with its empty line. There is no length: the body ends when the stream does.
pub fn head(stream: &StreamInfo) -> Vec<u8> {
    let about = &stream.source.description;
    let mut text = format!(
        "HTTP/1.0 200 OK\r\nServer: {SERVER}\r\nConnection: Close\r\nDate: {}\r\n\
         Content-Type: audio/ogg\r\nCache-Control: no-cache, no-store\r\n\
         Expires: Mon, 26 Jul 1997 05:00:00 GMT\r\nPragma: no-cache\r\n\
         Accept-Ranges: none\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Expose-Headers: *\r\nX-Content-Type-Options: nosniff\r\n",
        date()
    );
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
    };
    field("icy-description", about.description.as_deref());
    field("icy-genre", about.genre.as_deref());
    field("icy-name", about.name.as_deref());
    field("icy-pub", Some(if about.public { "1" } else { "0" }));
    field("icy-br", about.bitrate.map(|rate| rate.to_string()).as_deref());
    field("icy-url", about.url.as_deref());
    text.push_str("\r\n");
    text.into_bytes()
}
