//! Where to push: `icecast://source:PW@host:8080/mic.opus`, as FFmpeg writes it.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use crate::auth::Secret;

/// A mount of a server, and the login for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PushTarget {
    /// Host and port.
    pub authority: String,
    /// The path, percent-encoded as in the URL.
    pub path: String,
    /// The user; `source` if the URL names none.
    pub user: String,
    /// The password, if the URL has one.
    pub password: Option<Secret>,
}

/// A URL to which nothing can be pushed. The message never contains the URL, which may have a
/// password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid URL: it takes one such as icecast://source:PASSWORD@host:8080/mic.opus")]
pub(crate) struct InvalidTarget;

impl PushTarget {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`InvalidTarget`].
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidTarget> {
        let rest = url
            .strip_prefix("icecast://")
            .or_else(|| url.strip_prefix("http://"))
            .ok_or(InvalidTarget)?;
        let (authority, path) = rest.split_at(rest.find('/').ok_or(InvalidTarget)?);
        let (login, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) =
            login.split_once(':').map_or((login, None), |(user, pw)| (user, Some(pw)));
        let decode = |text: &str| {
            percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| InvalidTarget)
        };
        if authority.is_empty()
            || path.len() < 2
            || path.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(InvalidTarget);
        }
        // The colons of an IPv6 address are inside its brackets.
        let has_port = authority.rsplit(']').next().is_some_and(|end| end.contains(':'));
        Ok(Self {
            authority: if has_port { authority.to_owned() } else { format!("{authority}:80") },
            path: path.to_owned(),
            user: if user.is_empty() { "source".to_owned() } else { decode(user)? },
            password: password.map(decode).transpose()?.map(Secret::new),
        })
    }
}

impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_as_ffmpeg_writes_them() {
        let target = PushTarget::parse("icecast://source:p%40ss@[::1]:8080/mic a.opus");
        assert!(target.is_err(), "a space in the path");
        let target = PushTarget::parse("icecast://source:p%40ss@[::1]:8080/mic.opus").unwrap();
        assert_eq!((target.authority.as_str(), target.user.as_str()), ("[::1]:8080", "source"));
        assert_eq!(target.password, Some(Secret::new("p@ss")));
        assert_eq!(target.to_string(), "http://[::1]:8080/mic.opus");
        let target = PushTarget::parse("http://icecast/mic.opus").unwrap();
        assert_eq!((target.authority.as_str(), target.user.as_str()), ("icecast:80", "source"));
        for wrong in ["", "icecast://host", "ftp://host/x", "http:///x", "http://host/"] {
            assert!(PushTarget::parse(wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", PushTarget::parse("http://u:geheim@h/x")).contains("geheim"));
    }
}
