//! The HTTP responses and the request-target parsing of the data plane.
//!
//! No HTTP library serves sources and listeners here: their bodies are endless, and old encoders do
//! not send valid HTTP. So their responses are rendered by this module: plain text, one sentence,
//! never a secret.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::fmt::Write;

use percent_encoding::percent_decode_str;

/// The value of the `Server` and `User-Agent` fields.
pub const SERVER: &str = concat!("silvacast/", env!("CARGO_PKG_VERSION"));

/// The interim response that asks a client to send the body (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The HTTP version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, or another version that old encoders send instead.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A response that is not audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// The body: one sentence for a person. Empty for a response without a body.
    pub sentence: String,
    /// Further header fields.
    pub fields: Vec<(&'static str, String)>,
}

impl Reply {
    /// A response with this status and sentence.
    pub fn new(status: u16, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), fields: Vec::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Renders the response. `keep_alive` announces that the connection stays open; `with_body` is
    /// false for a response to HEAD.
    pub fn render(&self, version: Version, keep_alive: bool, with_body: bool) -> Vec<u8> {
        let version = match version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        };
        let connection = if keep_alive { "keep-alive" } else { "close" };
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

/// The path of a request target, percent-decoded once and without `prefix`, and the query as it was
/// sent.
///
/// # Errors
/// The response for a path that is not UTF-8.
pub fn path_and_query<'t>(target: &'t str, prefix: &str) -> Result<(String, &'t str), Reply> {
    let bad = |what: &str| Reply::new(400, format!("The path of this request {what}."));
    // The target may be in absolute form (RFC 9112, section 3.2.2).
    let absolute = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let target = absolute.map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = percent_decode_str(path).decode_utf8().map_err(|_| bad("is not UTF-8"))?;
    let inside = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/') || rest.is_empty());
    let inside = match inside {
        Some("") if !prefix.is_empty() => "/",
        Some(rest) => rest,
        None => &path,
    };
    Ok((inside.to_owned(), query))
}

/// The part of a decoded path that may appear in the log. Everything from the first character that
/// cannot belong to the path of a mount or a page is left out, because it may be a token or a
/// password that a client put in the wrong place.
pub fn redacted_path(path: &str) -> &str {
    let end = path.find(['?', '&', ';', '=', '%', '#', '@']).unwrap_or(path.len());
    // A password may stand before an `@`. A target without a leading slash is not a path.
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains('@');
    if is_path { path.get(..end).unwrap_or_default() } else { "" }
}

/// [`redacted_path`] of a request target.
pub fn redacted_target(target: &str, prefix: &str) -> String {
    path_and_query(target, prefix)
        .map(|(path, _)| redacted_path(&path).to_owned())
        .unwrap_or_default()
}

/// The value of a query parameter, not decoded. If there are several of this name, the first
/// counts.
pub fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// The value of the `Allow` field for a path of the control plane (RFC 9110, section 10.2.1).
pub fn allowed(path: &str) -> &'static str {
    if path == "/admin" || path.starts_with("/admin/") {
        "GET, HEAD, OPTIONS, POST"
    } else {
        "GET, HEAD, OPTIONS"
    }
}

/// The current time as an HTTP date (RFC 9110, section 5.6.7).
pub fn date() -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now())
}

/// The reason phrase of a status code.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacted_targets_contain_paths_and_no_secrets() {
        for (target, shown) in [
            ("/stream/mic-a.opus?token=secret", "/mic-a.opus"),
            ("/mic%20a:1.opus", "/mic a:1.opus"),
            ("/mic.opus%3Ftoken=secret", "/mic.opus"),
            ("/mic.opus%253Ftoken=secret", "/mic.opus"),
            ("/mic.opus&token=secret", "/mic.opus"),
            ("/mic.opus;token=secret", "/mic.opus"),
            ("/token=secret", "/token"),
            ("http://admin:secret@host/admin/stats", "/admin/stats"),
            ("http:/admin:secret@host/admin/stats", ""),
            ("//admin:secret@host/admin/stats", ""),
            ("/admin:secret@host", ""),
            ("admin:secret@host", ""),
            ("secret", ""),
            ("*", ""),
        ] {
            assert_eq!(redacted_target(target, "/stream"), shown, "{target}");
        }
    }
}
