//! The few words of HTTP that the data plane says itself.
//!
//! Sources and stream listeners are not what an HTTP library takes them for, so the
//! answers they get are written here: plain text, one sentence, and never a secret.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::fmt::Write;

use percent_encoding::percent_decode_str;

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

/// The path of a request target without `prefix`, decoded once, and its query.
///
/// # Errors
/// The reply to give where it is no path.
pub fn path_and_query<'t>(target: &'t str, prefix: &str) -> Result<(String, &'t str), Reply> {
    let bad = |what: &str| Reply::new(400, format!("The path of this request {what}."));
    // A proxy may be asked with the whole URL.
    let whole = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let target = whole.map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
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

/// A path as the log may show it, given as it was decoded: what does not look like the name of a mount
/// or a page is left out, as it may be a token or a password that a client put in the wrong place.
pub fn redacted_path(path: &str) -> &str {
    let end = path.find(['?', '&', ';', '=', '%', '#', '@']).unwrap_or(path.len());
    // Before an `@` stands a password; without a slash at its beginning it is no path.
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains('@');
    if is_path { path.get(..end).unwrap_or_default() } else { "" }
}

/// The same for a request target, which may be anything.
pub fn redacted_target(target: &str, prefix: &str) -> String {
    path_and_query(target, prefix)
        .map(|(path, _)| redacted_path(&path).to_owned())
        .unwrap_or_default()
}

/// A parameter of a query as it stands there; the first of this name counts.
pub fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// What may be asked of a page of the server's own.
pub fn allowed(path: &str) -> &'static str {
    if path == "/admin" || path.starts_with("/admin/") {
        "GET, HEAD, OPTIONS, POST"
    } else {
        "GET, HEAD, OPTIONS"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_paths_and_no_secrets() {
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
