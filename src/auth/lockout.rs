//! Stops password guessing: an address that gives too many wrong credentials has to wait, and so
//! does a network whose addresses do so together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::client_addr::{network, wide_network};

/// Wrong credentials that one client may give in [`MINUTE`] before it has to wait.
const TRIES: usize = 5;
/// The same for all clients of one [`wide_network`] together.
const NETWORK_TRIES: usize = 20;
/// The time within which they count, and for which the client then has to wait.
const MINUTE: Duration = Duration::from_mins(1);
/// Clients, and networks, that are remembered.
const MAX_COUNTED: usize = 1024;

/// What a lockout takes of memory at the most, in bytes: both tables, which may be half empty.
pub const LOCKOUT_MEMORY: usize =
    2 * MAX_COUNTED * (size_of::<Attempts<TRIES>>() + size_of::<Attempts<NETWORK_TRIES>>() + 64);

/// Counts wrong credentials per client and per network.
#[derive(Debug, Default)]
pub struct Lockout {
    clients: Tries<TRIES>,
    networks: Tries<NETWORK_TRIES>,
}

/// Wrong credentials by address; `N` of them within [`MINUTE`] lock an address out.
#[derive(Debug, Default)]
struct Tries<const N: usize>(HashMap<IpAddr, Attempts<N>>);

#[derive(Clone, Copy, Debug)]
struct Attempts<const N: usize> {
    /// When each of the newest tries was, the newest last.
    at: [Option<Instant>; N],
    locked_until: Option<Instant>,
}

impl Lockout {
    /// How long a client still has to wait, if it has to.
    pub fn wait(&self, client: IpAddr, now: Instant) -> Option<Duration> {
        let own = self.clients.wait(network(client), now);
        own.max(self.networks.wait(wide_network(client), now))
    }

    /// Notes a wrong credential; true if the client is locked out from now on.
    pub fn note(&mut self, client: IpAddr, now: Instant) -> bool {
        // Both count, whatever the first says.
        self.clients.note(network(client), now) | self.networks.note(wide_network(client), now)
    }
}

impl<const N: usize> Tries<N> {
    fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let until = match self.0.get(&address) {
            Some(entry) => entry.locked_until?,
            None if self.0.len() < MAX_COUNTED => return None,
            // There is no room to count its tries, so it could guess without an end.
            None => self.first_unlock(now)?,
        };
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// When the first of all addresses may try again, if all of them are locked out.
    fn first_unlock(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|entry| entry.locked_until.filter(|until| *until > now)).min()?
    }

    fn note(&mut self, address: IpAddr, now: Instant) -> bool {
        if !self.0.contains_key(&address) && !self.make_room(now) {
            return false;
        }
        let fresh = || Attempts { at: [None; N], locked_until: None };
        let entry = self.0.entry(address).or_insert_with(fresh);
        entry.at.rotate_left(1);
        if let Some(newest) = entry.at.last_mut() {
            *newest = Some(now);
        }
        let locked = entry.recent(now) == N;
        if locked {
            *entry = Attempts { at: [None; N], locked_until: now.checked_add(MINUTE) };
        }
        locked
    }

    /// Makes room for one more address: forgets the one with the fewest tries. Addresses that are
    /// locked out stay.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.0.len() < MAX_COUNTED {
            return true;
        }
        self.0.retain(|_, entry| entry.is_locked(now) || entry.recent(now) > 0);
        if self.0.len() < MAX_COUNTED {
            return true;
        }
        let open = self.0.iter().filter(|(_, entry)| !entry.is_locked(now));
        let least = open.min_by_key(|(_, entry)| (entry.recent(now), entry.at.last().copied()));
        let Some(least) = least.map(|(address, _)| *address) else { return false };
        self.0.remove(&least).is_some()
    }
}

impl<const N: usize> Attempts<N> {
    fn is_locked(&self, now: Instant) -> bool {
        self.locked_until.is_some_and(|until| until > now)
    }

    /// How many of its tries still count.
    fn recent(&self, now: Instant) -> usize {
        let counts = |at: &Instant| now.saturating_duration_since(*at) < MINUTE;
        self.at.iter().flatten().filter(|at| counts(at)).count()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    /// The address of this number, each in a network of its own.
    fn far(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n << 8).into()
    }

    fn lock(lockout: &mut Lockout, client: IpAddr, now: Instant) -> bool {
        (0..TRIES).any(|_| lockout.note(client, now))
    }

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
        assert!(lockout.clients.0.len() <= MAX_COUNTED);
        let mut lockout = Lockout::default();
        assert!((0..5u128).any(|n| lockout.note(Ipv6Addr::from_bits(n).into(), now)));
    }

    #[test]
    fn the_clients_of_one_network_wait_together() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for n in 0..NETWORK_TRIES as u8 {
            assert!(lockout.wait([192, 0, 2, 200].into(), now).is_none());
            lockout.note([192, 0, 2, n].into(), now);
        }
        assert_eq!(lockout.wait([192, 0, 2, 200].into(), now), Some(MINUTE));
        assert_eq!(lockout.wait([192, 0, 3, 1].into(), now), None);
    }

    #[test]
    fn nobody_is_let_off_because_others_guess_too() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for n in 0..1_100 {
            let locked = lock(&mut lockout, far(n), now);
            assert_eq!(locked, n < MAX_COUNTED as u32, "{n}");
        }
        for n in 0..1_100 {
            assert_eq!(lockout.wait(far(n), now), Some(MINUTE), "{n}");
        }
        let later = now + MINUTE;
        assert_eq!(lockout.wait(far(0), later), None);
        assert_eq!(lockout.wait(far(2_000), later), None, "nobody is locked out for ever");
    }

    #[test]
    fn those_with_the_fewest_tries_are_forgotten_first() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        assert!(lock(&mut lockout, far(0), now));
        for n in 1..3_000 {
            lockout.note(far(n), now + Duration::from_millis(n.into()));
        }
        assert!(lockout.wait(far(0), now + Duration::from_secs(5)).is_some());
    }
}
