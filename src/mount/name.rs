//! The name of a mount: the URL path that sources push to and listeners request.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 255;

/// First path segments that the server uses for its own pages.
const RESERVED: [&str; 10] = [
    "admin",
    "api",
    "embed",
    "favicon.ico",
    "healthz",
    "metrics",
    "robots.txt",
    "service-worker.js",
    "static",
    "web",
];

/// A valid, percent-decoded path such as `/mic-ultramic.opus`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a path is not a valid mount name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than [`MAX_NAME`].
    #[error("a mount name has at most {MAX_NAME} bytes")]
    Long,
    /// No leading slash.
    #[error("a mount name must begin with a slash, as in /mic-ultramic.opus")]
    Slash,
    /// Empty, `.` or `..` segments.
    #[error("a mount name must not have empty, '.' or '..' segments")]
    Segment,
    /// Control characters.
    #[error("a mount name must not have control characters")]
    Control,
    /// A page of the server itself.
    #[error("this path belongs to the server itself; choose a name such as /mic-ultramic.opus")]
    Reserved,
}

impl Name {
    /// Validates a path that has been percent-decoded once.
    ///
    /// # Errors
    /// [`NameError`]: the rule that the path breaks.
    pub fn new(path: &str) -> Result<Self, NameError> {
        let rest = path.strip_prefix('/').ok_or(NameError::Slash)?;
        let first = rest.split('/').next().unwrap_or_default();
        // Checked first: the other rules are for mount names, and this is the path of a page.
        if RESERVED.contains(&first) {
            return Err(NameError::Reserved);
        }
        if path.len() > MAX_NAME {
            return Err(NameError::Long);
        }
        if path.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        // Icecast reserves `.xsl` for its own pages, such as /status-json.xsl.
        let is_page =
            path.rsplit('.').next().is_some_and(|suffix| suffix.eq_ignore_ascii_case("xsl"));
        if rest.is_empty() || is_page {
            return Err(NameError::Reserved);
        }
        if rest.split(['/', '\\']).any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(NameError::Segment);
        }
        Ok(Self(path.into()))
    }

    /// The path, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_and_reserved_names_are_refused() {
        use NameError::{Control, Long, Reserved, Segment, Slash};
        let long = format!("/{}", "x".repeat(MAX_NAME));
        for (path, error) in [
            ("mic.opus", Slash),
            ("", Slash),
            ("/", Reserved),
            ("/admin/x", Reserved),
            ("/admin", Reserved),
            ("/status.xsl", Reserved),
            ("/status-json.xsl", Reserved),
            ("/api/v1", Reserved),
            ("/a/../b", Segment),
            ("/a/.", Segment),
            ("/a//b", Segment),
            ("/a/", Segment),
            ("/..\\b", Segment),
            ("/a\nb", Control),
            ("/a\u{7f}", Control),
            (&long, Long),
        ] {
            assert_eq!(Name::new(path), Err(error), "{path:?}");
        }
        for path in ["/mic.opus", "/garden/mic ö.opus", "/status", "/a..b", "/administrator"] {
            assert!(Name::new(path).is_ok(), "{path:?}");
        }
    }
}
