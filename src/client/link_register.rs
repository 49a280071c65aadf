//! The links that were signed or used since the server was started, so that one of them can be revoked.
//!
//! A link is valid because of its signature, wherever it was made. What is kept here is a list for
//! people, and which links are valid no more. It ends with the process: only a new key revokes links for
//! good.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many links are known. A further one replaces the one that was used the longest ago.
const MAX_LINKS: usize = 256;

/// The maximum memory of a [`LinkRegister`], in bytes. The name of a mount has at most 255 of them.
pub(crate) const LINK_REGISTER_MEMORY: usize = MAX_LINKS * (size_of::<KnownLink>() + 256);

/// All links of one mount that expire at the same time, which are one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownLink {
    /// The name of the mount that it opens.
    pub(crate) mount: String,
    /// When it expires, in seconds since 1970 (Unix time).
    pub(crate) expires: u64,
    /// When somebody last listened by it; `None` if nobody has.
    pub(crate) used: Option<SystemTime>,
    /// Whether it opens the mount no more.
    pub(crate) is_revoked: bool,
}

/// The links that are known.
#[derive(Debug, Default)]
pub(crate) struct LinkRegister(Mutex<Vec<KnownLink>>);

/// There is no room to note that one more link is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_LINKS} links are revoked already; a new share_key revokes all links at once")]
pub(crate) struct RegisterFull;

impl LinkRegister {
    /// Notes that a link was signed.
    pub(crate) fn note_signed(&self, mount: &str, expires: u64, now: SystemTime) {
        self.entry(mount, expires, now, |_| {});
    }

    /// Notes that a link, whose signature is right, is used at this time. False if it was revoked.
    #[must_use]
    pub(crate) fn note_use(&self, mount: &str, expires: u64, now: SystemTime) -> bool {
        let mut admitted = true;
        self.entry(mount, expires, now, |link| {
            admitted = !link.is_revoked;
            if admitted {
                link.used = Some(now);
            }
        });
        admitted
    }

    /// Revokes a link.
    ///
    /// # Errors
    /// [`RegisterFull`] if that cannot be kept.
    pub(crate) fn revoke(
        &self,
        mount: &str,
        expires: u64,
        now: SystemTime,
    ) -> Result<(), RegisterFull> {
        let noted = self.entry(mount, expires, now, |link| link.is_revoked = true);
        if noted { Ok(()) } else { Err(RegisterFull) }
    }

    /// The links that have not expired by now, those that expire last first.
    pub(crate) fn links(&self, now: SystemTime) -> Vec<KnownLink> {
        let mut links = self.lock().clone();
        links.retain(|link| !is_over(link, now));
        links.sort_by(|a, b| b.expires.cmp(&a.expires).then_with(|| a.mount.cmp(&b.mount)));
        links
    }

    /// Changes the entry of a link, and creates it first if necessary. False if there is no room for it.
    fn entry(
        &self,
        mount: &str,
        expires: u64,
        now: SystemTime,
        change: impl FnOnce(&mut KnownLink),
    ) -> bool {
        let mut links = self.lock();
        let known = links.iter().position(|link| link.expires == expires && link.mount == mount);
        let at = known.unwrap_or_else(|| {
            make_room(&mut links, now);
            links.push(KnownLink { mount: mount.into(), expires, used: None, is_revoked: false });
            links.len() - 1
        });
        change(&mut links[at]);
        let is_kept = links.len() <= MAX_LINKS;
        links.truncate(MAX_LINKS);
        is_kept
    }

    fn lock(&self) -> MutexGuard<'_, Vec<KnownLink>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes links if there are too many for one more. Those that are revoked stay until they expire.
fn make_room(links: &mut Vec<KnownLink>, now: SystemTime) {
    if links.len() < MAX_LINKS {
        return;
    }
    links.retain(|link| !is_over(link, now));
    if links.len() < MAX_LINKS {
        return;
    }
    let valid = links.iter().enumerate().filter(|(_, link)| !link.is_revoked);
    let oldest = valid.min_by_key(|(_, link)| link.used).map(|(at, _)| at);
    oldest.map(|at| links.remove(at));
}

fn is_over(link: &KnownLink, now: SystemTime) -> bool {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    link.expires <= now.as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Long after these tests.
    const LATER: u64 = 4_000_000_000;

    #[test]
    fn a_revoked_link_opens_nothing_and_others_of_its_mount_do() {
        let (register, now) = (LinkRegister::default(), SystemTime::now());
        register.note_signed("/a", LATER, now);
        assert!(register.note_use("/a", LATER, now) && register.note_use("/a", LATER + 1, now));
        register.revoke("/a", LATER, now).unwrap();
        register.revoke("/b", LATER, now).unwrap();
        assert!(!register.note_use("/a", LATER, now));
        assert!(register.note_use("/a", LATER + 1, now));
        assert!(!register.note_use("/b", LATER, now), "it was not known before");
        let known = register.links(now);
        let listed = known.iter().map(|link| (&*link.mount, link.used.is_some(), link.is_revoked));
        let expected = [("/a", true, false), ("/a", true, true), ("/b", false, true)];
        assert_eq!(listed.collect::<Vec<_>>(), expected);
        let over = SystemTime::UNIX_EPOCH + Duration::from_secs(LATER);
        assert_eq!(register.links(over).len(), 1);
    }

    #[test]
    fn what_is_revoked_is_not_displaced() {
        let (register, now) = (LinkRegister::default(), SystemTime::now());
        for n in 0..MAX_LINKS as u64 - 1 {
            register.revoke("/a", LATER + n, now).unwrap();
        }
        for n in 0..1_000 {
            assert!(register.note_use("/b", LATER + n, now));
        }
        assert_eq!(register.links(now).len(), MAX_LINKS);
        register.revoke("/a", LATER + 1_000, now).unwrap();
        assert_eq!(register.revoke("/a", LATER + 1_001, now), Err(RegisterFull));
        assert!(!register.note_use("/a", LATER, now));
        assert!(
            register.note_use("/b", LATER, now),
            "a valid link is not refused for lack of room"
        );
    }
}
