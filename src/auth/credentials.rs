//! The passwords of sources and of the administrator, compared so that time tells nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Secret;

/// The passwords of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// What encoders say, as user `source`.
    pub source: Login,
    /// What the administrator says.
    pub admin: Login,
}

/// A user's name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// The user name that Icecast's encoders give.
pub const SOURCE_USER: &str = "source";

impl Login {
    /// Whether an `Authorization` field is this one's.
    pub fn is(&self, authorization: &str) -> bool {
        let Some((user, password)) = basic(authorization) else { return false };
        // Both are looked at, whatever the first says.
        (user == self.user) & self.password.is(&password)
    }
}

/// User and password of a `Basic` authorization (RFC 7617).
pub fn basic(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    let decoded =
        STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        let login = |user: &str, password: &str| Login {
            user: user.into(),
            password: Secret::new(password),
        };
        Credentials { source: login("source", "häckme"), admin: login("admin", "other") }
    }

    fn header(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn only_the_right_user_and_password_pass() {
        let credentials = credentials();
        assert!(credentials.source.is(&header("source:häckme")));
        assert!(credentials.source.is(&header("source:häckme").replace("Basic", "bAsIc")));
        for wrong in ["source:", "source:häckm", "source:häckme ", "admin:häckme", ":häckme", "x"]
        {
            assert!(!credentials.source.is(&header(wrong)), "{wrong}");
        }
        for broken in ["", "Basic", "Basic ", "Basic !!!", "Bearer häckme", "Basic /w=="] {
            assert!(!credentials.source.is(broken), "{broken}");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        assert!(!format!("{:?}", credentials()).contains("häckme"));
    }
}
