//! The name of a mount: the path at which it is pushed and heard.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 255;

/// First path segments that belong to the server itself.
const RESERVED: [&str; 7] = ["admin", "api", "embed", "healthz", "metrics", "static", "web"];

/// A checked, decoded path such as `/mic-ultramic.opus`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a path names no mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too long.
    #[error("a mount name has at most {MAX_NAME} bytes")]
    Long,
    /// No leading slash.
    #[error("a mount name begins with a slash, as in /mic-ultramic.opus")]
    Slash,
    /// Empty, `.` or `..` segments.
    #[error("a mount name has no empty, '.' or '..' segments")]
    Segment,
    /// Control characters.
    #[error("a mount name has no control characters")]
    Control,
    /// A page of the server itself.
    #[error("this path belongs to the server itself; choose a name such as /mic-ultramic.opus")]
    Reserved,
}

impl Name {
    /// Checks a path that has been percent-decoded once.
    ///
    /// # Errors
    /// [`NameError`] says which rule it breaks.
    pub fn new(path: &str) -> Result<Self, NameError> {
        let rest = path.strip_prefix('/').ok_or(NameError::Slash)?;
        let first = rest.split('/').next().unwrap_or_default();
        // What follows is no name, so that no rule for names is broken by it.
        if RESERVED.contains(&first) {
            return Err(NameError::Reserved);
        }
        if path.len() > MAX_NAME {
            return Err(NameError::Long);
        }
        if path.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        // Icecast's own pages.
        let is_page = path.rsplit('.').next().is_some_and(|end| end.eq_ignore_ascii_case("xsl"));
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

/// A mount name in which `*` stands for any text within one path segment, and `**` for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Any text can be a pattern; one without a leading slash matches nothing and is refused.
    ///
    /// # Errors
    /// [`NameError::Slash`].
    pub fn new(pattern: &str) -> Result<Self, NameError> {
        if pattern.starts_with('/') { Ok(Self(pattern.into())) } else { Err(NameError::Slash) }
    }

    /// Whether `name` fits, from its first to its last character.
    pub fn matches(&self, name: &Name) -> bool {
        let (mut pattern, name) = (self.0.as_bytes(), name.as_str().as_bytes());
        // For each beginning of the name, whether the pattern so far fits it: no pattern takes longer than its length times the name's.
        let mut fits = vec![false; name.len() + 1];
        fits[0] = true;
        while let Some((&byte, rest)) = pattern.split_first() {
            let across = rest.first() == Some(&b'*');
            pattern = if byte == b'*' && across { &rest[1..] } else { rest };
            if byte == b'*' {
                for at in 1..fits.len() {
                    fits[at] |= fits[at - 1] && (across || name[at - 1] != b'/');
                }
            } else {
                for at in (1..fits.len()).rev() {
                    fits[at] = fits[at - 1] && name[at - 1] == byte;
                }
                fits[0] = false;
            }
        }
        fits[name.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_climb_double_up_or_belong_to_the_server_are_refused() {
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

    #[test]
    fn one_star_stays_within_its_segment_and_two_do_not() {
        for (pattern, name, fits) in [
            ("/mic-*.opus", "/mic-a.opus", true),
            ("/mic-*.opus", "/mic-.opus", true),
            ("/mic-*.opus", "/mic-a/b.opus", false),
            ("/mic-*.opus", "/mic-a.opus.m3u", false),
            ("/*/a*b*c", "/x/aXbYc", true),
            ("/*/a*b*c", "/x/acb", false),
            ("/*", "/x", true),
            ("/*", "/x/y", false),
            ("/**", "/x/y", true),
            ("/**.opus", "/x/y.opus", true),
            ("/a/**/c", "/a/b/b/c", true),
            ("/a/**/c", "/a/c", false),
            ("/***", "/x/y", true),
            ("/ab*ba", "/aba", false),
            ("/a", "/a", true),
            ("/a", "/ab", false),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.matches(&Name::new(name).unwrap()), fits, "{pattern:?} {name}");
        }
    }
}
