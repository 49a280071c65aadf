//! Words, text, secrets and paths of files.

use std::path::PathBuf;

use serde_json::{Value, json};
use toml::de::DeValue;

use super::{Kind, quoted};
use crate::auth::Secret;
use crate::text::{MAX_TEXT, sanitize};

/// One of several words.
#[derive(Debug)]
pub(in crate::config) struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + Sync> Kind for Choice<T> {
    type Value = T;

    fn read(&self, value: &DeValue<'_>) -> Option<T> {
        let word = value.as_str()?;
        self.0.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
    }

    fn write(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, known)| known == value).map(|(name, _)| quoted(name))
    }

    fn allowed(&self) -> String {
        let mut words: Vec<_> = self.0.iter().map(|(name, _)| quoted(name)).collect();
        let last = words.pop().unwrap_or_default();
        format!("{} or {last}", words.join(", "))
    }

    fn schema(&self) -> Value {
        let words: Vec<_> = self.0.iter().map(|(name, _)| name).collect();
        json!({ "enum": words })
    }
}

/// Text that is not empty.
#[derive(Debug)]
pub(in crate::config) struct Text;

impl Kind for Text {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Option<String> {
        value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        "text in quotes, not empty".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// Secret text of at least this many bytes.
#[derive(Debug)]
pub(in crate::config) struct SecretText {
    pub shortest: usize,
}

impl SecretText {
    /// What is wrong with a secret, wherever it was read from.
    pub(in crate::config) fn refusal(&self, secret: &str) -> Option<String> {
        match secret.len() {
            0 => Some("is empty".to_owned()),
            length if length < self.shortest => {
                Some(format!("is too short; allowed: {} characters or more", self.shortest))
            }
            _ => None,
        }
    }
}

impl Kind for SecretText {
    type Value = Option<Secret>;
    const SECRET: bool = true;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        let secret = value.as_str().filter(|text| self.refusal(text).is_none())?;
        Some(Some(Secret::new(secret)))
    }

    fn write(&self, _: &Self::Value) -> Option<String> {
        None
    }

    fn allowed(&self) -> String {
        match self.shortest {
            0 | 1 => Text.allowed(),
            shortest => format!("text in quotes, {shortest} characters or more"),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": self.shortest.max(1) })
    }
}

/// A file to read, if there is one.
#[derive(Debug)]
pub(in crate::config) struct FilePath;

impl Kind for FilePath {
    type Value = Option<PathBuf>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        Text.read(value).map(|path| Some(path.into()))
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        value.as_ref().map(|path| quoted(&path.to_string_lossy()))
    }

    fn allowed(&self) -> String {
        "the path of a file, in quotes".to_owned()
    }

    fn schema(&self) -> Value {
        Text.schema()
    }
}

/// A name or a sentence to show, if there is one. It goes into header fields and playlists, so it is
/// limited as what an encoder says about itself is.
#[derive(Debug)]
pub(in crate::config) struct Label;

impl Kind for Label {
    type Value = Option<String>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        let text = value.as_str().filter(|text| !text.trim().is_empty())?;
        (sanitize(text) == text).then(|| Some(text.to_owned()))
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        let length = value.as_str()?.len();
        (length > MAX_TEXT).then(|| format!("it has {length} bytes"))
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        value.as_deref().map(quoted)
    }

    fn allowed(&self) -> String {
        format!("text in quotes, at most {MAX_TEXT} bytes, without control characters")
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": MAX_TEXT })
    }
}

/// A site whose pages may read responses, as the field `Access-Control-Allow-Origin` names it.
#[derive(Debug)]
pub(in crate::config) struct AllowedOrigin;

impl Kind for AllowedOrigin {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Option<String> {
        let text = value.as_str()?;
        let host = text.strip_prefix("https://").or(text.strip_prefix("http://"));
        let is_host = |host: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
            !host.is_empty() && host.bytes().all(is_part)
        };
        (text == "*" || host.is_some_and(is_host)).then(|| text.to_owned())
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        "\"*\" or one site, such as \"https://birds.example\"".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": r"^(\*|https?://[A-Za-z0-9.:\[\]-]+)$" })
    }
}
