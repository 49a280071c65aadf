//! Keeps listeners away for a while after an administrator has disconnected them.
//!
//! Players reconnect by themselves, most of them at once. A ban is for one mount and for the
//! clients of one address with the same `User-Agent`, so that others behind the same address can
//! stay.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::name::Name;
use crate::client_addr::{ClientAddr, network};

/// How long a listener is kept away.
const BAN: Duration = Duration::from_mins(1);
/// How many bans are remembered. A further one replaces the oldest.
const MAX_BANS: usize = 64;

/// The bans of all mounts.
#[derive(Debug, Default)]
pub(super) struct Bans {
    /// The newest last. The number is a keyed hash of the mount's name and `User-Agent`.
    entries: VecDeque<(IpAddr, u64, Instant)>,
    key: RandomState,
}

impl Bans {
    /// Bans the clients of this address and `User-Agent` from a mount. Does nothing if the address
    /// is that of a proxy, which all its clients share.
    pub(super) fn add(&mut self, mount: &Name, client: ClientAddr, agent: &str, now: Instant) {
        let Some(until) = now.checked_add(BAN).filter(|_| !client.is_proxy) else { return };
        let (address, hash) = (network(client.address), self.key.hash_one((mount, agent)));
        self.entries.retain(|entry| entry.2 > now && (entry.0, entry.1) != (address, hash));
        if self.entries.len() >= MAX_BANS {
            self.entries.pop_front();
        }
        self.entries.push_back((address, hash, until));
    }

    /// How long the client is still banned from a mount; `None` if it is not.
    pub(super) fn wait(
        &self,
        mount: &Name,
        client: ClientAddr,
        agent: &str,
        now: Instant,
    ) -> Option<Duration> {
        if client.is_proxy || self.entries.is_empty() {
            return None;
        }
        let wanted = (network(client.address), self.key.hash_one((mount, agent)));
        let entry = self.entries.iter().find(|entry| (entry.0, entry.1) == wanted)?;
        entry.2.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: impl Into<IpAddr>) -> ClientAddr {
        address.into().into()
    }

    fn name(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    #[test]
    fn a_ban_is_for_one_mount_one_address_and_one_agent_and_for_a_minute() {
        let (mut bans, start, banned) = (Bans::default(), Instant::now(), client([192, 0, 2, 1]));
        let at = |seconds| start + Duration::from_secs(seconds);
        bans.add(&name("/m"), banned, "ear", start);
        assert_eq!(bans.wait(&name("/m"), banned, "ear", at(1)), Some(Duration::from_secs(59)));
        assert_eq!(bans.wait(&name("/m"), banned, "ear", at(60)), None);
        assert_eq!(bans.wait(&name("/n"), banned, "ear", at(1)), None);
        assert_eq!(bans.wait(&name("/m"), banned, "another", at(1)), None);
        assert_eq!(bans.wait(&name("/m"), client([192, 0, 2, 2]), "ear", at(1)), None);
        bans.add(&name("/m"), banned, "ear", at(50));
        assert_eq!(bans.wait(&name("/m"), banned, "ear", at(50)), Some(BAN));
        assert_eq!(bans.entries.len(), 1, "a ban that is renewed is one ban");
    }

    #[test]
    fn an_ipv6_host_is_one_client_and_a_proxy_is_none() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let host = |n: u16| client([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        bans.add(&name("/m"), host(1), "ear", now);
        assert_eq!(bans.wait(&name("/m"), host(2), "ear", now), Some(BAN));
        let proxy = ClientAddr { is_proxy: true, ..client([192, 0, 2, 1]) };
        bans.add(&name("/m"), proxy, "ear", now);
        assert_eq!(bans.wait(&name("/m"), proxy, "ear", now), None);
        assert_eq!(bans.wait(&name("/m"), client([192, 0, 2, 1]), "ear", now), None);
    }

    #[test]
    fn the_oldest_ban_makes_room_for_the_newest() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let one = client([192, 0, 2, 1]);
        for n in 0..=MAX_BANS {
            bans.add(&name("/m"), one, &n.to_string(), now);
        }
        assert_eq!(bans.entries.len(), MAX_BANS);
        assert_eq!(bans.wait(&name("/m"), one, "0", now), None);
        assert_eq!(bans.wait(&name("/m"), one, "1", now), Some(BAN));
        bans.add(&name("/m"), one, "later", now + BAN);
        assert_eq!(bans.entries.len(), 1, "bans that are over are forgotten");
    }
}
