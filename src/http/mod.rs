//! What the door and the control plane share of HTTP: request heads, targets and short replies.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod head;
mod target;

use std::fmt::Write;

pub use head::{HEAD_INDEX_MEMORY, MAX_FIELDS, RequestHead};
pub use target::{Target, parameter, redacted_path, redacted_target};

/// How silvacast names itself to clients.
pub const SERVER: &str = concat!("silvacast/", env!("CARGO_PKG_VERSION"));

/// Says that the body may be sent (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The version a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, and what old encoders send for it.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// An answer that is not audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// One plain sentence for whoever reads it; empty for none.
    pub sentence: String,
    /// Further header fields.
    pub fields: Vec<(&'static str, String)>,
}

impl Reply {
    /// An answer with a sentence.
    pub fn new(status: u16, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), fields: Vec::new() }
    }

    /// The same with one more header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The answer on the wire.
    pub fn render(&self, version: Version, keep: bool, with_body: bool) -> Vec<u8> {
        let version = match version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        };
        let connection = if keep { "keep-alive" } else { "close" };
        let body =
            if self.sentence.is_empty() { String::new() } else { format!("{}\n", self.sentence) };
        let mut text = format!("{version} {} {}\r\n", self.status, reason(self.status));
        let mut field = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        };
        field("Server", SERVER);
        field("Date", &date());
        field("Connection", connection);
        field("Access-Control-Allow-Origin", "*");
        if self.status != 204 {
            field("Content-Type", "text/plain; charset=utf-8");
            field("Content-Length", &body.len().to_string());
        }
        for (name, value) in &self.fields {
            field(name, value);
        }
        text.push_str("\r\n");
        if with_body {
            text.push_str(&body);
        }
        text.into_bytes()
    }
}

/// Now, as HTTP writes it.
pub fn date() -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
