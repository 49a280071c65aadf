//! Counting who is in: a seat is a value, and dropping it frees it, so no count can leak or underflow.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use crate::auth::network;

/// A counter with a limit given at each taking.
#[derive(Debug, Default)]
pub struct Seats {
    taken: AtomicUsize,
    peak: AtomicUsize,
}

/// One of the [`Seats`], held until dropped.
#[derive(Debug)]
pub struct Seat(Arc<Seats>);

impl Seats {
    /// Takes a seat, or `None` if `limit` of them are taken.
    pub fn take(self: &Arc<Self>, limit: usize) -> Option<Seat> {
        let add = |taken| (taken < limit).then_some(taken + 1);
        let before = self.taken.fetch_update(Relaxed, Relaxed, add).ok()?;
        self.peak.fetch_max(before + 1, Relaxed);
        Some(Seat(Arc::clone(self)))
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

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// How many seats each client has; an IPv6 host is one client, whatever address it takes.
#[derive(Debug, Default)]
pub struct PerClient {
    seats: RefCell<HashMap<IpAddr, Weak<Seats>>>,
}

impl PerClient {
    /// A seat for one more of this client, or `None` if it has `limit`.
    pub fn take(&self, client: IpAddr, limit: usize) -> Option<Seat> {
        let mut seats = self.seats.borrow_mut();
        if seats.len() >= 1024 {
            seats.retain(|_, seats| seats.strong_count() > 0);
        }
        let entry = seats.entry(network(client)).or_default();
        let of_client = entry.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *entry = Arc::downgrade(&new);
            new
        });
        of_client.take(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn seats_are_limited_and_come_back() {
        let seats = Arc::new(Seats::default());
        let one = seats.take(2).unwrap();
        let two = seats.take(2).unwrap();
        assert!(seats.take(2).is_none());
        drop(one);
        assert!(seats.take(2).is_some());
        drop(two);
        assert_eq!((seats.taken(), seats.peak()), (0, 2));
    }

    #[test]
    fn a_client_has_so_many_seats_and_gets_them_back() {
        let per_client = PerClient::default();
        let one = per_client.take(ONE, 1);
        assert!(one.is_some() && per_client.take(ONE, 1).is_none());
        assert!(per_client.take(TWO, 1).is_some());
        drop(one);
        assert!(per_client.take(ONE, 1).is_some());
    }
}
