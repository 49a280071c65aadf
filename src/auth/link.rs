//! Links that open one mount until a given time: `/mic-x.opus?expires=…&signature=…`.
//!
//! The signature is HMAC-SHA256 over the mount's name and the time, with a key that only the server
//! has. Replacing the key revokes all links.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Secret;
use crate::http::{encoded_path, parameter};

/// The query parameters of a link. They are not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// When the link expires, in seconds since 1970 (Unix time).
    pub expires: u64,
    /// HMAC-SHA256, in base64url without padding (RFC 4648, section 5).
    pub signature: String,
}

/// The addresses that a link opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUrls {
    /// The listening page, with the mount chosen.
    pub page: String,
    /// The stream, for players.
    pub stream: String,
    /// A playlist of the stream, as M3U.
    pub playlist: String,
}

/// Why a link is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The link has expired.
    #[error("this link has expired")]
    Expired,
    /// An administrator has revoked the link.
    #[error("this link has been revoked")]
    Revoked,
    /// The signature is wrong: the link is for another mount or server, was changed, or was signed
    /// with a key that has been replaced.
    #[error("this link is not valid for this mount, or has been revoked")]
    Forged,
}

impl Link {
    /// The longest validity of a link.
    const LONGEST: Duration = Duration::from_hours(24 * 366);

    /// Whether a link may be valid for this long.
    pub fn may_last(time: Duration) -> bool {
        (Duration::from_secs(1)..=Self::LONGEST).contains(&time)
    }

    /// The addresses that it opens, of a server with this URL.
    pub fn urls(&self, base: &str, mount: &str) -> LinkUrls {
        let (base, path, query) = (base.trim_end_matches('/'), encoded_path(mount), self.query());
        LinkUrls {
            page: format!("{base}/?mount={path}&{query}"),
            stream: format!("{base}{path}?{query}"),
            playlist: format!("{base}{path}.m3u?{query}"),
        }
    }

    /// Creates a link that opens `mount` until the given time.
    pub fn sign(mount: &str, until: SystemTime, key: &Secret) -> Self {
        let expires = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = mac(mount, expires, key).finalize().into_bytes();
        Self { expires, signature: URL_SAFE_NO_PAD.encode(signature) }
    }

    /// Reads a link from the query of a URL; `None` if it has no `signature`.
    pub fn of_query(query: &str) -> Option<Self> {
        let signature = parameter(query, "signature")?.to_owned();
        // No link is signed with an invalid time, so verification fails whatever the default.
        let expires = parameter(query, "expires").and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(Self { expires, signature })
    }

    /// When the link expires; `None` if `SystemTime` cannot represent that time.
    pub fn until(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.expires))
    }

    /// When a listener with this link must be disconnected, by the monotonic clock; `None` if
    /// `Instant` cannot represent that time. `wall` and `steady` are the current time by both
    /// clocks.
    pub fn end(&self, wall: SystemTime, steady: Instant) -> Option<Instant> {
        // The difference is negative only for expired links, which are refused before.
        let left = self.until()?.duration_since(wall).unwrap_or_default();
        steady.checked_add(left)
    }

    /// The link as the query of a URL.
    pub fn query(&self) -> String {
        format!("expires={}&signature={}", self.expires, self.signature)
    }

    /// Checks that the link opens this mount now. Without a `key`, no link is valid.
    ///
    /// # Errors
    /// [`LinkError`] if it does not.
    pub fn verify(
        &self,
        mount: &str,
        key: Option<&Secret>,
        now: SystemTime,
    ) -> Result<(), LinkError> {
        let key = key.ok_or(LinkError::Forged)?;
        let signature = URL_SAFE_NO_PAD.decode(&self.signature).map_err(|_| LinkError::Forged)?;
        // `verify_slice` compares in constant time.
        mac(mount, self.expires, key).verify_slice(&signature).map_err(|_| LinkError::Forged)?;
        if self.until().is_some_and(|until| now < until) { Ok(()) } else { Err(LinkError::Expired) }
    }
}

fn mac(mount: &str, expires: u64, key: &Secret) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .expect("HMAC accepts keys of any length");
    // A mount's name has no line break, so different links never have the same message.
    mac.update(format!("silvacast listen\n{mount}\n{expires}").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_was_changed_is_refused() {
        let (key, now) = (Secret::new("key"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let link = Link::sign("/mic.opus", now + Duration::from_mins(1), &key);
        let read = Link::of_query(&format!("burst=0ms&{}", link.query())).unwrap();
        assert_eq!(read, link);
        assert_eq!(read.verify("/mic.opus", Some(&key), now), Ok(()));
        let forged = Err(LinkError::Forged);
        assert_eq!(read.verify("/other.opus", Some(&key), now), forged);
        assert_eq!(read.verify("/mic.opus", Some(&Secret::new("new key")), now), forged);
        assert_eq!(read.verify("/mic.opus", None, now), forged);
        let longer = Link { expires: link.expires + 1, ..link.clone() };
        assert_eq!(longer.verify("/mic.opus", Some(&key), now), forged);
        let later = now + Duration::from_mins(1);
        assert_eq!(read.verify("/mic.opus", Some(&key), later), Err(LinkError::Expired));
        for broken in
            ["signature=", "signature=%00&expires=x", "signature=abc&expires=99999999999999999999"]
        {
            assert_eq!(
                Link::of_query(broken).unwrap().verify("/mic.opus", Some(&key), now),
                forged
            );
        }
        assert_eq!(Link::of_query("expires=5&token=x"), None);
    }

    #[test]
    fn the_end_is_computed_for_any_expiry_time() {
        let (wall, steady) = (SystemTime::now(), Instant::now());
        let in_a_minute = Link::sign("/m", wall + Duration::from_mins(1), &Secret::new("key"));
        let left = in_a_minute.end(wall, steady).unwrap() - steady;
        assert!(left > Duration::from_secs(58) && left <= Duration::from_mins(1), "{left:?}");
        for expires in [0, 1, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            let link = Link { expires, signature: String::new() };
            // A machine without a real-time clock may start in 1970.
            for wall in [SystemTime::UNIX_EPOCH, wall] {
                let end = link.end(wall, steady);
                assert!(end.is_none_or(|end| end >= steady), "{expires}");
            }
        }
    }
}
