//! Listeners' passwords as a file of bcrypt hashes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::text::entries;

/// The longest password that bcrypt looks at whole, in bytes.
pub const MAX_PASSWORD: usize = 72;
/// The most work that a hash may ask for: 2^12 rounds are two or three seconds on the smallest machine.
const MAX_COST: u32 = 12;

/// A htpasswd file with bcrypt hashes: user and hash (`htpasswd -B`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PasswordHashes(Arc<HashMap<String, String>>);

impl PasswordHashes {
    /// Reads the file's text.
    ///
    /// # Errors
    /// The number of the first line that is wrong, and what is.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users = HashMap::new();
        for (number, line) in entries(text) {
            let wrong = |what: &str| (number, what.to_owned());
            let (user, hash) = line
                .split_once(':')
                .ok_or_else(|| wrong("expected user:hash, as `htpasswd -B` writes it"))?;
            let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
            let bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind));
            match cost {
                Some(4..=MAX_COST) if bcrypt && hash.len() == 60 => {}
                _ => {
                    return Err(wrong(
                        "unsupported hash: expected bcrypt with a cost from 4 to 12; `htpasswd -B` writes one",
                    ));
                }
            }
            users.insert(user.to_owned(), hash.to_owned());
        }
        Ok(Self(Arc::new(users)))
    }

    /// A user's hash.
    pub fn of(&self, user: &str) -> Option<&str> {
        self.0.get(user).map(String::as_str)
    }

    /// Anybody's hash: checking a password against it takes as long as for a user that there is.
    pub fn any(&self) -> Option<&str> {
        self.0.values().next().map(String::as_str)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_htpasswd_are_read_and_weaker_ones_are_not() {
        let hash = bcrypt::hash("geheim", 4).unwrap();
        let hashes = PasswordHashes::parse(&format!("# users\n\nanna:{hash}\n")).unwrap();
        assert_eq!((hashes.of("anna"), hashes.of("bert")), (Some(&*hash), None));
        for (text, line) in [
            ("anna", 1),
            ("\nanna:$apr1$x$y", 2),
            ("anna:5f4dcc3b5aa765d61d8327deb882cf99", 1),
            ("anna:$2y$04$short", 1),
            (&*format!("anna:{}", hash.replace("$04$", "$13$")), 1),
        ] {
            assert_eq!(PasswordHashes::parse(text).unwrap_err().0, line, "{text}");
        }
    }
}
