//! Guessing, stopped: an address that gives too many wrong passwords has to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong passwords that one client may give before it has to wait.
const TRIES: usize = 5;
/// The time within which they count, and for which it then has to wait.
const MINUTE: Duration = Duration::from_mins(1);
/// Clients that are remembered; beyond, the one whose last try is oldest is forgotten.
const REMEMBERED: usize = 1024;

/// Counts wrong passwords per client address.
#[derive(Debug, Default)]
pub struct Lockout {
    clients: HashMap<IpAddr, Tries>,
}

#[derive(Debug)]
struct Tries {
    /// When each of the newest tries was.
    at: [Option<Instant>; TRIES],
    newest: Instant,
    locked_until: Option<Instant>,
}

impl Lockout {
    /// How long a client still has to wait, if it has to.
    pub fn wait(&self, client: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.clients.get(&network(client))?.locked_until?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Notes a wrong password; true if the client is locked out from now on.
    pub fn note(&mut self, client: IpAddr, now: Instant) -> bool {
        if self.clients.len() >= REMEMBERED {
            self.forget(now);
        }
        let fresh = || Tries { at: [None; TRIES], newest: now, locked_until: None };
        let tries = self.clients.entry(network(client)).or_insert_with(fresh);
        tries.newest = now;
        tries.at.rotate_left(1);
        tries.at[TRIES - 1] = Some(now);
        let recent = |at: &Option<Instant>| at.is_some_and(|at| now - at < MINUTE);
        let locked = tries.at.iter().all(recent);
        if locked {
            *tries = Tries { at: [None; TRIES], newest: now, locked_until: Some(now + MINUTE) };
        }
        locked
    }

    fn forget(&mut self, now: Instant) {
        self.clients.retain(|_, tries| now - tries.newest < MINUTE);
        if self.clients.len() >= REMEMBERED
            && let Some(oldest) = self.clients.iter().min_by_key(|(_, tries)| tries.newest)
        {
            let oldest = *oldest.0;
            self.clients.remove(&oldest);
        }
    }
}

/// What one client can change its address within: an IPv6 host has a whole /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn five_tries_in_a_minute_lock_for_a_minute() {
        let (mut lockout, start) = (Lockout::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!(0..4).any(|second| lockout.note(ONE, at(second))));
        assert!(!lockout.note(ONE, at(60)), "the first try is too old to count");
        assert!(!lockout.note(TWO, at(60)), "another client has its own tries");
        assert!(lockout.note(ONE, at(60)), "the tries at 1 s to 3 s are less than a minute old");
        assert_eq!(lockout.wait(ONE, at(61)), Some(Duration::from_secs(59)));
        assert_eq!(lockout.wait(TWO, at(61)), None);
        assert_eq!(lockout.wait(ONE, at(120)), None);
        assert!(!lockout.note(ONE, at(121)), "it begins anew");
    }

    #[test]
    fn memory_is_bounded_and_an_ipv6_host_is_one_client() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for n in 0..5_000u128 {
            lockout.note(Ipv6Addr::from_bits(n << 64).into(), now);
        }
        assert!(lockout.clients.len() <= REMEMBERED);
        let mut lockout = Lockout::default();
        assert!((0..5u128).any(|n| lockout.note(Ipv6Addr::from_bits(n).into(), now)));
    }
}
