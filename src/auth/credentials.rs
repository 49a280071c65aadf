//! The logins of sources and of the administrator.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Secret;
use crate::text::decode;

/// The server-wide logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The login of encoders.
    pub source: Login,
    /// The login of the administrator.
    pub admin: Login,
    /// The login of other servers that relay this server's mounts; `None` if they cannot log in.
    pub relay: Option<Login>,
    /// The login of detectors, whose password is a token; `None` if they cannot log in.
    pub detector: Option<Login>,
}

/// A user name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// The user name that Icecast encoders send.
pub const SOURCE_USER: &str = "source";

/// The user name of detectors. Their password may also come as a bearer token (RFC 6750), as most
/// webhooks send it.
pub const DETECTOR_USER: &str = "detector";

impl Login {
    /// Whether an `Authorization` field has this user and password.
    pub fn is(&self, authorization: &str) -> bool {
        if let Some(token) = bearer(authorization) {
            return (self.user == DETECTOR_USER) & self.password.is(token);
        }
        let Some((user, password)) = basic(authorization) else { return false };
        // Compare both, so that the time does not reveal whether the user exists.
        (user == self.user) & self.password.is(&password)
    }
}

/// Parses user and password from an `Authorization` field of the `Basic` scheme (RFC 7617).
pub fn basic(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    let decoded =
        STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    // RFC 7617 leaves the encoding open, and old encoders send Latin-1.
    let pair = decode(&decoded);
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The token in an `Authorization` field of the `Bearer` scheme (RFC 6750).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        let login = |user: &str, password: &str| Login {
            user: user.into(),
            password: Secret::new(password),
        };
        Credentials {
            source: login("source", "häckme"),
            admin: login("admin", "other"),
            relay: None,
            detector: Some(login(DETECTOR_USER, "token")),
        }
    }

    fn header(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn only_the_right_user_and_password_pass() {
        let credentials = credentials();
        assert!(credentials.source.is(&header("source:häckme")));
        assert!(credentials.source.is(&header("source:häckme").replace("Basic", "bAsIc")));
        let latin1 = format!("Basic {}", STANDARD.encode(b"source:h\xe4ckme"));
        assert!(credentials.source.is(&latin1));
        for wrong in ["source:", "source:häckm", "source:häckme ", "admin:häckme", ":häckme", "x"]
        {
            assert!(!credentials.source.is(&header(wrong)), "{wrong}");
        }
        for broken in ["", "Basic", "Basic ", "Basic !!!", "Bearer häckme", "Basic /w=="] {
            assert!(!credentials.source.is(broken), "{broken}");
        }
    }

    #[test]
    fn only_a_detector_may_send_its_password_as_a_token() {
        let credentials = credentials();
        let detector = credentials.detector.as_ref().unwrap();
        assert!(detector.is("Bearer token") && detector.is(&header("detector:token")));
        for wrong in ["Bearer", "Bearer ", "Bearer tokens", "Basic token"] {
            assert!(!detector.is(wrong), "{wrong}");
        }
        assert!(!credentials.source.is("Bearer häckme"));
    }

    #[test]
    fn secrets_are_never_printed() {
        assert!(!format!("{:?}", credentials()).contains("häckme"));
    }
}
