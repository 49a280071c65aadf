//! A string that must not be printed.

use std::fmt;

use subtle::ConstantTimeEq;

/// A password, token or key. Its `Debug` output is `***`, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a string.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The string itself. Must not reach a log, an error or a response.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares with `other` in constant time, apart from the length.
    pub fn is(&self, other: &str) -> bool {
        bool::from(self.0.as_bytes().ct_eq(other.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
