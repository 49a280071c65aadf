//! HTTP types that the door and the control plane share: request heads, targets and short replies.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod forwarded;
mod head;
mod target;
mod via;

use std::fmt::Write;

pub use forwarded::{elements, forwarded_parameter};
pub use head::{HEAD_INDEX_MEMORY, MAX_FIELDS, RequestHead};
pub use target::{RequestTarget, encoded_path, parameter, redacted_path, redacted_target};
pub use via::{own_via_name, via_names, via_value};

/// Value of the `Server` header field.
pub const SERVER: &str = concat!("silvacast/", env!("CARGO_PKG_VERSION"));

/// The interim response to `Expect: 100-continue` (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Content type of a sentence.
const PLAIN: &str = "text/plain; charset=utf-8";

/// HTTP version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, also for the `ICE/1.0` of old encoders.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A short plain-text response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// The body: one sentence for the person at the client. May be empty.
    pub sentence: String,
    /// Additional header fields.
    pub fields: Vec<(&'static str, String)>,
    /// Whether the log line about a refusal is a warning, because the operator has to act.
    pub is_warning: bool,
    /// Whether the body is an object with details of the problem (RFC 9457), instead of text.
    pub is_problem: bool,
}

impl Reply {
    /// Creates a reply without additional header fields.
    pub fn new(status: u16, sentence: impl Into<String>) -> Self {
        let (fields, sentence) = (Vec::new(), sentence.into());
        Self { status, sentence, fields, is_warning: false, is_problem: false }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Makes the log line about this refusal a warning.
    #[must_use]
    pub fn as_warning(self) -> Self {
        Self { is_warning: true, ..self }
    }

    /// Sends the sentence in an object with details of the problem.
    #[must_use]
    pub fn as_problem(self) -> Self {
        Self { is_problem: true, ..self }
    }

    /// The body, and its content type.
    pub fn body(&self) -> (&'static str, String) {
        if self.is_problem {
            let (status, detail) = (self.status, &self.sentence);
            let problem = serde_json::json!({
                "type": "about:blank", "title": reason(status), "status": status, "detail": detail,
            });
            ("application/problem+json", problem.to_string())
        } else if self.sentence.is_empty() {
            (PLAIN, String::new())
        } else {
            (PLAIN, format!("{}\n", self.sentence))
        }
    }

    /// Serializes the reply. `keep` states whether the connection stays open. `with_body` is false
    /// in a response to `HEAD`.
    pub fn render(&self, version: Version, keep: bool, with_body: bool) -> Vec<u8> {
        let version = match version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        };
        let connection = if keep { "keep-alive" } else { "close" };
        let (content_type, body) = self.body();
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
            field("Content-Type", content_type);
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

/// The current time as an HTTP date (RFC 9110, section 5.6.7).
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
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        508 => "Loop Detected",
        _ => "Error",
    }
}
