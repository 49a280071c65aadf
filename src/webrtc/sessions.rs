//! All sessions, and which of them a datagram is for.
//!
//! Checks name their session. Everything else is for the session whose client has proved, from the
//! same address, that it knows its password.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slab::Slab;

use super::dtls::DtlsSettings;
use super::end::SessionEnd;
use super::identity::SessionId;
use super::listener::WebRtcListener;
use super::network::{NetworkPath, Outbox};
use super::session::Session;
use super::stun::BindingRequest;

/// How many handshakes may be under way at the same time. Clients repeat what gets no answer, so more
/// of them take only longer.
const MAX_HANDSHAKES: usize = 16;

/// A session, who listens to it, and what its owner keeps with it.
#[derive(Debug)]
pub struct SessionEntry<T> {
    /// The session.
    pub session: Session,
    /// The listener.
    pub listener: WebRtcListener,
    /// What the owner keeps with it.
    pub tag: T,
}

/// All sessions.
#[derive(Debug)]
pub struct Sessions<T> {
    entries: Slab<SessionEntry<T>>,
    by_ufrag: HashMap<String, usize>,
    by_id: HashMap<SessionId, usize>,
    by_path: HashMap<NetworkPath, usize>,
}

/// What a datagram is, by its first byte (RFC 7983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Stun,
    Dtls,
    Rtcp,
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            by_ufrag: HashMap::new(),
            by_id: HashMap::new(),
            by_path: HashMap::new(),
        }
    }
}

impl<T> Sessions<T> {
    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys of all sessions.
    pub fn keys(&self) -> Vec<usize> {
        self.entries.iter().map(|(key, _)| key).collect()
    }

    /// Whether another session has this `ice-ufrag`.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.by_ufrag.contains_key(ufrag)
    }

    /// Adds a session. Returns its key.
    pub fn add(&mut self, entry: SessionEntry<T>) -> usize {
        let identity = entry.session.identity();
        let (ufrag, id) = (identity.ufrag.clone(), identity.id);
        let key = self.entries.insert(entry);
        self.by_ufrag.insert(ufrag, key);
        self.by_id.insert(id, key);
        key
    }

    /// The session that has been without a connection for the longest time, and for how long.
    pub(super) fn oldest_without_connection(&self, now: Instant) -> Option<(usize, Duration)> {
        let waiting = self.entries.iter().filter(|(_, entry)| !entry.session.is_connected());
        waiting.map(|(key, entry)| (key, entry.session.age(now))).max_by_key(|(_, age)| *age)
    }

    /// The key of a session.
    pub fn find(&self, id: SessionId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// A session by its key.
    pub fn get_mut(&mut self, key: usize) -> Option<&mut SessionEntry<T>> {
        self.entries.get_mut(key)
    }

    /// Removes a session.
    pub fn remove(&mut self, key: usize) -> Option<SessionEntry<T>> {
        let entry = self.entries.try_remove(key)?;
        let identity = entry.session.identity();
        self.by_ufrag.remove(&identity.ufrag);
        self.by_id.remove(&identity.id);
        self.by_path.retain(|_, owner| *owner != key);
        Some(entry)
    }

    /// Takes a datagram. Returns the session that has ended by it, and why.
    pub fn receive(
        &mut self,
        datagram: &mut [u8],
        (from, now): (NetworkPath, Instant),
        shared: &DtlsSettings,
        out: &mut impl Outbox,
    ) -> Option<(usize, SessionEnd)> {
        match Protocol::of(datagram)? {
            Protocol::Stun => {
                self.check(&BindingRequest::parse(datagram)?, from, now, out);
                None
            }
            Protocol::Dtls => {
                let key = *self.by_path.get(&from)?;
                let may_begin = self.handshakes() < MAX_HANDSHAKES;
                let entry = self.entries.get_mut(key)?;
                let session = &mut entry.session;
                let was_connected = session.is_connected();
                let result = session.receive_dtls(datagram, (from, now), may_begin, shared, out);
                if !was_connected && session.is_connected() {
                    entry.listener.joined();
                    // The others were never its own, or are not any more.
                    self.by_path.retain(|path, owner| *owner != key || *path == from);
                }
                result.err().map(|end| (key, end))
            }
            Protocol::Rtcp => {
                let key = *self.by_path.get(&from)?;
                self.entries.get_mut(key)?.session.receive_rtcp(datagram, from, now);
                None
            }
        }
    }

    /// How many handshakes are under way. Counting takes less than any part of one.
    fn handshakes(&self) -> usize {
        self.entries.iter().filter(|(_, entry)| entry.session.is_in_handshake()).count()
    }

    fn check(
        &mut self,
        request: &BindingRequest<'_>,
        from: NetworkPath,
        now: Instant,
        out: &mut impl Outbox,
    ) -> Option<()> {
        let (ufrag, _) = request.fragments()?;
        let key = *self.by_ufrag.get(ufrag)?;
        let is_authentic = self.entries.get_mut(key)?.session.check(request, from, now, out);
        if is_authentic {
            // Nobody takes an address away from a session that is connected with it.
            let owner = self.by_path.get(&from).and_then(|owner| self.entries.get(*owner));
            if owner.is_none_or(|owner| !owner.session.is_connected()) {
                self.by_path.insert(from, key);
            }
        }
        Some(())
    }
}

/// Whether a datagram is one of DTLS. One of a handshake takes milliseconds.
pub(super) fn is_dtls(datagram: &[u8]) -> bool {
    Protocol::of(datagram) == Some(Protocol::Dtls)
}

impl Protocol {
    /// `None` for what is not expected.
    fn of(datagram: &[u8]) -> Option<Self> {
        match datagram {
            [0..=3, ..] => Some(Self::Stun),
            [20..=63, ..] => Some(Self::Dtls),
            // Clients send no RTP (RFC 5761, section 4).
            [128..=191, 192..=223, ..] => Some(Self::Rtcp),
            _ => None,
        }
    }
}
