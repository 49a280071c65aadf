//! Counting who is in: a seat is a value, and dropping it frees it, so no count can leak or underflow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A counter with a limit given at each taking.
#[derive(Debug, Default)]
pub struct Quota {
    taken: AtomicUsize,
    peak: AtomicUsize,
}

/// One of the [`Quota`], held until dropped.
#[derive(Debug)]
pub struct Permit(Arc<Quota>);

impl Quota {
    /// Takes a seat, or `None` if `limit` of them are taken.
    pub fn take(self: &Arc<Self>, limit: usize) -> Option<Permit> {
        let add = |taken| (taken < limit).then_some(taken + 1);
        let before = self.taken.fetch_update(Relaxed, Relaxed, add).ok()?;
        self.peak.fetch_max(before + 1, Relaxed);
        Some(Permit(Arc::clone(self)))
    }

    /// How many are taken now.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// The most that were ever taken at once.
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
    fn seats_are_limited_and_come_back() {
        let permits = Arc::new(Quota::default());
        let one = permits.take(2).unwrap();
        let two = permits.take(2).unwrap();
        assert!(permits.take(2).is_none());
        drop(one);
        assert!(permits.take(2).is_some());
        drop(two);
        assert_eq!((permits.taken(), permits.peak()), (0, 2));
    }
}
