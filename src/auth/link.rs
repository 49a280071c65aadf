//! Links that open one mount for a while: `/mic-x.opus?expires=…&signature=…`.
//!
//! The signature is HMAC-SHA256 over the mount and the time, with a key that only the server
//! has; another key revokes every link there is.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Secret;
use crate::http::parameter;

/// What a link says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Until when it opens, in seconds since 1970.
    pub expires: u64,
    /// HMAC-SHA256, in base64 as URLs have it.
    pub signature: String,
}

/// Why a link opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Its time is over.
    #[error("this link has expired")]
    Expired,
    /// It was not made here, not for this mount, or with a key that is no more.
    #[error("this link is not valid here, or no longer")]
    Forged,
}

impl Link {
    /// A link to a mount that opens until then.
    pub fn sign(mount: &str, until: SystemTime, key: &Secret) -> Self {
        let expires = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = mac(mount, expires, key).finalize().into_bytes();
        Self { expires, signature: URL_SAFE_NO_PAD.encode(signature) }
    }

    /// Reads a query; `None` if it has no link.
    pub fn of_query(query: &str) -> Option<Self> {
        let signature = parameter(query, "signature")?.to_owned();
        // A time that is none was never signed.
        let expires = parameter(query, "expires").and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(Self { expires, signature })
    }

    /// When its time is over.
    pub fn until(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.expires))
    }

    /// When a listener who came in by it has to go, by a clock that only goes on; `None` where that is beyond all
    /// that this clock can say.
    pub fn end(&self, wall: SystemTime, steady: Instant) -> Option<Instant> {
        // One whose time is over lets nobody in.
        let left = self.until()?.duration_since(wall).unwrap_or_default();
        steady.checked_add(left)
    }

    /// As it stands in a URL.
    pub fn query(&self) -> String {
        format!("expires={}&signature={}", self.expires, self.signature)
    }

    /// Whether it opens this mount now.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn verify(
        &self,
        mount: &str,
        key: Option<&Secret>,
        now: SystemTime,
    ) -> Result<(), LinkError> {
        let key = key.ok_or(LinkError::Forged)?;
        let signature = URL_SAFE_NO_PAD.decode(&self.signature).map_err(|_| LinkError::Forged)?;
        // The library compares in constant time.
        mac(mount, self.expires, key).verify_slice(&signature).map_err(|_| LinkError::Forged)?;
        if self.until().is_some_and(|until| now < until) { Ok(()) } else { Err(LinkError::Expired) }
    }
}

fn mac(mount: &str, expires: u64, key: &Secret) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("any key will do");
    // No mount has a line break in its name, so no two texts are the same.
    mac.update(format!("silvacast listen\n{mount}\n{expires}").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_link_can_be_changed() {
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
        let over = now + Duration::from_mins(1);
        assert_eq!(read.verify("/mic.opus", Some(&key), over), Err(LinkError::Expired));
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
    fn a_link_may_end_at_any_time_that_there_is() {
        let (wall, steady) = (SystemTime::now(), Instant::now());
        let in_a_minute = Link::sign("/m", wall + Duration::from_mins(1), &Secret::new("key"));
        let left = in_a_minute.end(wall, steady).unwrap() - steady;
        assert!(left > Duration::from_secs(58) && left <= Duration::from_mins(1), "{left:?}");
        for expires in [0, 1, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            let link = Link { expires, signature: String::new() };
            // Where the wall clock says less than the time since the machine was started.
            for wall in [SystemTime::UNIX_EPOCH, wall] {
                let end = link.end(wall, steady);
                assert!(end.is_none_or(|end| end >= steady), "{expires}");
            }
        }
    }
}
