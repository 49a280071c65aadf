//! The response head that a listener gets, with the fields of Icecast 2.4.

use std::fmt::Write;

use crate::http::{SERVER, date, encoded_path, via_value};
use crate::mount::{MountEntry, StreamInfo};

/// The response head, including the empty line. It has no `Content-Length`: the body ends when the
/// connection is closed.
///
/// With `with_via`, it has the servers that the stream has come through.
pub fn head(entry: &MountEntry, stream: &StreamInfo, with_via: bool) -> Vec<u8> {
    let description = entry.description(stream);
    let settings = entry.settings();
    let mut head = format!(
        "HTTP/1.0 200 OK\r\nServer: {SERVER}\r\nConnection: Close\r\nDate: {}\r\n\
         Content-Type: audio/ogg\r\nCache-Control: no-cache, no-store\r\n\
         Expires: Mon, 26 Jul 1997 05:00:00 GMT\r\nPragma: no-cache\r\nX-Accel-Buffering: no\r\n\
         Accept-Ranges: none\r\nAccess-Control-Allow-Origin: {}\r\n\
         Access-Control-Expose-Headers: *\r\nX-Content-Type-Options: nosniff\r\n",
        date(),
        settings.allow_origin
    );
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
    };
    field("icy-description", description.description.as_deref());
    field("icy-genre", description.genre.as_deref());
    field("icy-name", description.name.as_deref());
    field("icy-pub", Some(if description.public { "1" } else { "0" }));
    field("icy-br", description.bitrate.map(|rate| rate.to_string()).as_deref());
    field("icy-url", description.url.as_deref());
    let whep = entry.has_webrtc(&stream.codec).then(|| {
        let last = entry.name.as_str().rsplit('/').next().unwrap_or_default();
        format!("<{}/whep>; rel=\"alternate\"; type=\"application/sdp\"", encoded_path(last))
    });
    field("Link", whep.as_deref());
    field("Via", with_via.then(|| via_value(&description.via)).as_deref());
    head.push_str("\r\n");
    head.into_bytes()
}
