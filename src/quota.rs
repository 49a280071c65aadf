//! The server's limits, and counters with a limit.
//!
//! A permit is a value that counts as one; dropping it gives it back. So a count cannot leak or
//! underflow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Limits on connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of mounts.
    pub sources: usize,
    /// Maximum number of listeners of all mounts together.
    pub listeners: usize,
    /// Maximum number of connections of one client. 0: no limit.
    pub connections_per_ip: usize,
    /// Maximum length of a request head, in bytes.
    pub request_head: usize,
    /// Time within which a request head must be complete.
    pub head_timeout: Duration,
    /// Kernel memory for the send buffer of a listener's socket, in bytes.
    pub listener_send_buffer: usize,
}

/// A counter of permits. The limit is an argument of each [`Self::take`], because a reload may
/// change it.
#[derive(Debug, Default)]
pub struct Quota {
    taken: AtomicUsize,
    peak: AtomicUsize,
}

/// One permit of a [`Quota`]. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit(Arc<Quota>);

impl Quota {
    /// Takes a permit; `None` if `limit` permits are taken.
    pub fn take(self: &Arc<Self>, limit: usize) -> Option<Permit> {
        let add = |taken| (taken < limit).then_some(taken + 1);
        let before = self.taken.fetch_update(Relaxed, Relaxed, add).ok()?;
        self.peak.fetch_max(before + 1, Relaxed);
        Some(Permit(Arc::clone(self)))
    }

    /// The number of permits that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// The largest number of permits that were ever taken at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_limited_and_given_back() {
        let quota = Arc::new(Quota::default());
        let first = quota.take(2).unwrap();
        let second = quota.take(2).unwrap();
        assert!(quota.take(2).is_none());
        drop(first);
        assert!(quota.take(2).is_some());
        drop(second);
        assert_eq!((quota.taken(), quota.peak()), (0, 2));
    }
}
