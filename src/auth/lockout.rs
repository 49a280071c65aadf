//! Slows down password guessing: a client that presents too many wrong credentials is locked out for
//! a minute, and so is a network.
//!
//! A client's attempts are counted by scope, which may be the name of a mount. The attempts of a
//! network are counted together.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::client_addr::{network, wide_network};

/// This many wrong credentials of one scope within [`WINDOW`] lock a client out.
const MAX_ATTEMPTS: usize = 5;
/// This many wrong credentials within [`WINDOW`] lock out all clients of one [`wide_network`].
const MAX_NETWORK_ATTEMPTS: usize = 20;
/// How long a wrong credential counts, and how long a lockout lasts.
const WINDOW: Duration = Duration::from_mins(1);
/// How many clients and scopes, and how many networks, are tracked.
const MAX_TRACKED: usize = 1024;

/// The maximum memory of a [`Lockout`], in bytes: both tables, which may be half empty.
pub const LOCKOUT_MEMORY: usize = 2
    * MAX_TRACKED
    * (size_of::<Attempts<MAX_ATTEMPTS>>() + size_of::<Attempts<MAX_NETWORK_ATTEMPTS>>() + 80);

/// An address or a network that is locked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedOut {
    /// The address; the first one of a network.
    pub address: IpAddr,
    /// Whether all clients of its network are locked out.
    pub is_network: bool,
    /// For how long.
    pub left: Duration,
}

/// Counts wrong credentials per client and scope, and per network.
#[derive(Debug, Default)]
pub struct Lockout {
    /// By client, and by a keyed hash of the scope.
    clients: AttemptTable<(IpAddr, u64), MAX_ATTEMPTS>,
    networks: AttemptTable<IpAddr, MAX_NETWORK_ATTEMPTS>,
    key: RandomState,
}

/// Wrong credentials per key. `N` of them within [`WINDOW`] lock it out.
#[derive(Debug)]
struct AttemptTable<K, const N: usize>(HashMap<K, Attempts<N>>);

#[derive(Clone, Copy, Debug)]
struct Attempts<const N: usize> {
    /// Times of the latest attempts, the newest last.
    at: [Option<Instant>; N],
    locked_until: Option<Instant>,
}

impl Lockout {
    /// How long the client is still locked out; `None` if it is not.
    pub fn wait(&self, client: IpAddr, scope: &str, now: Instant) -> Option<Duration> {
        let of_client = self.clients.wait(self.client(client, scope), now);
        of_client.max(self.networks.wait(wide_network(client), now))
    }

    /// All that are locked out, networks first.
    pub fn all(&self, now: Instant) -> Vec<LockedOut> {
        let networks = self.networks.locked(now);
        let networks =
            networks.map(|(address, left)| LockedOut { address, is_network: true, left });
        let clients = self.clients.locked(now);
        let clients =
            clients.map(|((address, _), left)| LockedOut { address, is_network: false, left });
        networks.chain(clients).collect()
    }

    /// Records a wrong credential. Returns whether it locks out the client or its network.
    pub fn record(&mut self, client: IpAddr, scope: &str, now: Instant) -> bool {
        let key = self.client(client, scope);
        // `|` does not short-circuit: the attempt counts in both tables.
        self.clients.record(key, now) | self.networks.record(wide_network(client), now)
    }

    fn client(&self, client: IpAddr, scope: &str) -> (IpAddr, u64) {
        (network(client), self.key.hash_one(scope))
    }
}

impl<K, const N: usize> Default for AttemptTable<K, N> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash, const N: usize> AttemptTable<K, N> {
    fn wait(&self, key: K, now: Instant) -> Option<Duration> {
        let until = match self.0.get(&key) {
            Some(entry) => entry.locked_until?,
            None if self.0.len() < MAX_TRACKED => return None,
            // The table is full, so these attempts cannot be counted. If all tracked keys are
            // locked out, this one has to wait too: otherwise it could guess without limit.
            None => self.earliest_unlock(now)?,
        };
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    fn locked(&self, now: Instant) -> impl Iterator<Item = (K, Duration)> {
        self.0.iter().filter_map(move |(key, entry)| {
            let left = entry.locked_until?.checked_duration_since(now)?;
            (!left.is_zero()).then_some((*key, left))
        })
    }

    /// The earliest end of a lockout; `None` unless all tracked keys are locked out.
    fn earliest_unlock(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|entry| entry.locked_until.filter(|until| *until > now)).min()?
    }

    fn record(&mut self, key: K, now: Instant) -> bool {
        if !self.0.contains_key(&key) && !self.make_room(now) {
            return false;
        }
        let new = || Attempts { at: [None; N], locked_until: None };
        let entry = self.0.entry(key).or_insert_with(new);
        entry.at.rotate_left(1);
        if let Some(newest) = entry.at.last_mut() {
            *newest = Some(now);
        }
        let locked = entry.recent(now) == N;
        if locked {
            *entry = Attempts { at: [None; N], locked_until: now.checked_add(WINDOW) };
        }
        locked
    }

    /// Makes room for one more key, if necessary by removing the one with the fewest attempts.
    /// Returns false if all tracked keys are locked out: these stay.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.0.len() < MAX_TRACKED {
            return true;
        }
        self.0.retain(|_, entry| entry.is_locked(now) || entry.recent(now) > 0);
        if self.0.len() < MAX_TRACKED {
            return true;
        }
        let unlocked = self.0.iter().filter(|(_, entry)| !entry.is_locked(now));
        let fewest =
            unlocked.min_by_key(|(_, entry)| (entry.recent(now), entry.at.last().copied()));
        let Some(fewest) = fewest.map(|(key, _)| *key) else { return false };
        self.0.remove(&fewest).is_some()
    }
}

impl<const N: usize> Attempts<N> {
    fn is_locked(&self, now: Instant) -> bool {
        self.locked_until.is_some_and(|until| until > now)
    }

    /// Number of attempts within the last [`WINDOW`].
    fn recent(&self, now: Instant) -> usize {
        let counts = |at: &Instant| now.saturating_duration_since(*at) < WINDOW;
        self.at.iter().flatten().filter(|at| counts(at)).count()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    /// Addresses in different networks.
    fn in_network(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n << 8).into()
    }

    fn record(lockout: &mut Lockout, client: IpAddr, now: Instant) -> bool {
        lockout.record(client, "/m", now)
    }

    fn wait(lockout: &Lockout, client: IpAddr, now: Instant) -> Option<Duration> {
        lockout.wait(client, "/m", now)
    }

    fn lock(lockout: &mut Lockout, client: IpAddr, now: Instant) -> bool {
        (0..MAX_ATTEMPTS).any(|_| record(lockout, client, now))
    }

    #[test]
    fn wrong_credentials_for_one_mount_do_not_lock_out_of_others_of_the_same_client() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        assert!(lock(&mut lockout, ONE, now));
        assert_eq!(lockout.wait(ONE, "/other", now), None);
        // But guesses for many mounts are guesses of one network.
        for mount in ["/b", "/c", "/d"] {
            (0..MAX_ATTEMPTS).for_each(|_| _ = lockout.record(ONE, mount, now));
        }
        assert_eq!(lockout.wait(ONE, "/other", now), Some(WINDOW));
    }

    #[test]
    fn five_attempts_in_a_minute_lock_for_a_minute() {
        let (mut lockout, start) = (Lockout::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!(0..4).any(|second| record(&mut lockout, ONE, at(second))));
        assert!(!record(&mut lockout, ONE, at(60)), "the first attempt is too old to count");
        assert!(!record(&mut lockout, TWO, at(60)), "clients are counted separately");
        assert!(record(&mut lockout, ONE, at(60)), "the attempts at 1 s to 3 s still count");
        assert_eq!(wait(&lockout, ONE, at(61)), Some(Duration::from_secs(59)));
        let one = LockedOut { address: ONE, is_network: false, left: Duration::from_secs(59) };
        assert_eq!(lockout.all(at(61)), [one]);
        assert_eq!(lockout.all(at(120)), []);
        assert_eq!(wait(&lockout, TWO, at(61)), None);
        assert_eq!(wait(&lockout, ONE, at(120)), None);
        assert!(!record(&mut lockout, ONE, at(121)), "counting restarts after a lockout");
    }

    #[test]
    fn memory_is_bounded_and_an_ipv6_host_is_one_client() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for n in 0..5_000u128 {
            record(&mut lockout, Ipv6Addr::from_bits(n << 64).into(), now);
        }
        assert!(lockout.clients.0.len() <= MAX_TRACKED);
        let mut lockout = Lockout::default();
        assert!((0..5u128).any(|n| record(&mut lockout, Ipv6Addr::from_bits(n).into(), now)));
    }

    #[test]
    fn the_clients_of_one_network_are_locked_out_together() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for n in 0..MAX_NETWORK_ATTEMPTS as u8 {
            assert!(wait(&lockout, [192, 0, 2, 200].into(), now).is_none());
            record(&mut lockout, [192, 0, 2, n].into(), now);
        }
        assert_eq!(wait(&lockout, [192, 0, 2, 200].into(), now), Some(WINDOW));
        assert_eq!(wait(&lockout, [192, 0, 3, 1].into(), now), None);
    }

    #[test]
    fn a_full_table_lets_no_address_guess_without_limit() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for n in 0..1_100 {
            let locked = lock(&mut lockout, in_network(n), now);
            assert_eq!(locked, n < MAX_TRACKED as u32, "{n}");
        }
        for n in 0..1_100 {
            assert_eq!(wait(&lockout, in_network(n), now), Some(WINDOW), "{n}");
        }
        let later = now + WINDOW;
        assert_eq!(wait(&lockout, in_network(0), later), None);
        assert_eq!(
            wait(&lockout, in_network(2_000), later),
            None,
            "lockouts end even if the table is full"
        );
    }

    #[test]
    fn addresses_with_the_fewest_attempts_are_removed_first() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        assert!(lock(&mut lockout, in_network(0), now));
        for n in 1..3_000 {
            record(&mut lockout, in_network(n), now + Duration::from_millis(n.into()));
        }
        assert!(wait(&lockout, in_network(0), now + Duration::from_secs(5)).is_some());
    }
}
