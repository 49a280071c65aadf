//! The kinds of values that keys take: how they are read and written, and what is allowed.

mod addresses;
mod measures;
mod words;

use std::fmt::Write;

use serde_json::Value;
use toml::de::DeValue;

pub(super) use addresses::{
    Addresses, Hosts, MountName, MountPattern, MountPatterns, Networks, OptionalAddress,
    PathPrefix, ServerAddress,
};
pub(super) use measures::{AutoOr, Flag, Number, Size, SizeOrTime, Time};
pub(super) use words::{AllowedOrigin, Choice, FilePath, Label, SecretText, Text};

/// A kind of values.
pub(in crate::config) trait Kind: Sync + 'static {
    /// What a value is to the program.
    type Value;
    /// Whether values must not be shown.
    const SECRET: bool = false;
    /// Whether the key must be given.
    const REQUIRED: bool = false;

    /// Reads a value; `None` if it is not [allowed](Self::allowed).
    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value>;
    /// Why a value is not allowed, if [`allowed`](Self::allowed) alone does not show it.
    fn refusal_reason(&self, _: &DeValue<'_>) -> Option<String> {
        None
    }
    /// The value in TOML; `None` for one that is expressed by omitting the key.
    fn write(&self, value: &Self::Value) -> Option<String>;
    /// Which values are allowed, in words.
    fn allowed(&self) -> String;
    /// The same as a JSON schema, as far as a schema can express it.
    fn schema(&self) -> Value;
}

/// Text as a basic string of TOML.
pub(in crate::config) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing to a String cannot fail.
            control if control.is_control() => _ = write!(quoted, "\\u{:04X}", u32::from(control)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::de::DeTable;

    use super::*;

    proptest! {
        #[test]
        fn quoted_text_is_read_as_it_was(text in any::<String>()) {
            let document = format!("key = {}", quoted(&text));
            let table = DeTable::parse(&document).unwrap();
            prop_assert_eq!(table.get_ref().get("key").unwrap().get_ref().as_str(), Some(&*text));
        }
    }
}
