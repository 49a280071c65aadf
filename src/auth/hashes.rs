//! Listeners' passwords, as an htpasswd file with bcrypt hashes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::text::entries;

/// The longest password, in bytes: bcrypt ignores bytes after these.
pub const MAX_PASSWORD: usize = 72;
/// The highest bcrypt cost that is accepted: 2^12 rounds take 2 to 3 s on the smallest machine.
const MAX_COST: u32 = 12;

/// The users of an htpasswd file and their bcrypt hashes, as written by `htpasswd -B`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PasswordHashes(Arc<HashMap<String, String>>);

impl PasswordHashes {
    /// Parses the content of the file.
    ///
    /// # Errors
    /// The number of the first invalid line, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users = HashMap::new();
        for (number, line) in entries(text) {
            let error = |message: &str| (number, message.to_owned());
            let (user, hash) = line
                .split_once(':')
                .ok_or_else(|| error("expected user:hash, as `htpasswd -B` writes it"))?;
            let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
            let is_bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix));
            match cost {
                Some(4..=MAX_COST) if is_bcrypt && hash.len() == 60 => {}
                _ => {
                    return Err(error(
                        "unsupported hash: expected bcrypt with a cost from 4 to 12; `htpasswd -B` writes one",
                    ));
                }
            }
            users.insert(user.to_owned(), hash.to_owned());
        }
        Ok(Self(Arc::new(users)))
    }

    /// The hash of a user.
    pub fn of(&self, user: &str) -> Option<&str> {
        self.0.get(user).map(String::as_str)
    }

    /// The hash of some user. Checking a password against it takes as long for an unknown user as
    /// for a known one.
    pub fn any(&self) -> Option<&str> {
        self.0.values().next().map(String::as_str)
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htpasswd_files_with_bcrypt_are_accepted_and_other_hashes_are_refused() {
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
