//! Keeps listeners away for a while after an administrator has disconnected them.
//!
//! Players reconnect by themselves, most of them at once. A ban is for one mount and for the
//! clients of one address with the same `User-Agent`, so that others behind the same address can
//! stay; or for all clients of the address, if the administrator says so.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::name::Name;
use crate::client_addr::{ClientAddr, network};

/// How long a listener is kept away that was disconnected.
pub(super) const BAN: Duration = Duration::from_mins(1);
/// How many bans are remembered. A further one replaces the oldest.
const MAX_BANS: usize = 64;

/// The maximum memory of all bans, in bytes. A name and a `User-Agent` have at most 255 each.
pub(crate) const BAN_MEMORY: usize = MAX_BANS * (size_of::<Ban>() + 2 * 256);

/// Clients that may not listen to a mount for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    /// The mount.
    pub(crate) mount: Name,
    /// The address; the first one of an IPv6 network.
    pub(crate) address: IpAddr,
    /// The `User-Agent`; `None` for all.
    pub(crate) agent: Option<Box<str>>,
    /// Until when.
    pub(crate) until: Instant,
}

/// The bans of all mounts, the newest last.
#[derive(Debug, Default)]
pub(super) struct Bans(VecDeque<Ban>);

impl Bans {
    /// Bans the clients of this address from a mount for this long: those with this `User-Agent`, or all.
    /// False if the address is that of a proxy, which all its clients share; then nobody is banned.
    pub(super) fn add(
        &mut self,
        mount: &Name,
        client: ClientAddr,
        agent: Option<&str>,
        time: Duration,
        now: Instant,
    ) -> bool {
        let Some(until) = now.checked_add(time).filter(|_| !client.is_proxy) else { return false };
        let agent = agent.map(Into::into);
        let ban = Ban { mount: mount.clone(), address: network(client.address), agent, until };
        let is_other = |other: &Ban| {
            (&other.mount, other.address, &other.agent) != (&ban.mount, ban.address, &ban.agent)
        };
        self.0.retain(|other| other.until > now && is_other(other));
        if self.0.len() >= MAX_BANS {
            self.0.pop_front();
        }
        self.0.push_back(ban);
        true
    }

    /// Lets the clients of an address listen to a mount again. False if they were not banned from it.
    pub(super) fn lift(&mut self, mount: &Name, address: IpAddr) -> bool {
        let before = self.0.len();
        self.0.retain(|ban| (&ban.mount, ban.address) != (mount, network(address)));
        self.0.len() < before
    }

    /// All bans that are in force.
    pub(super) fn all(&self, now: Instant) -> Vec<Ban> {
        self.0.iter().filter(|ban| ban.until > now).cloned().collect()
    }

    /// How long the client is still banned from a mount; `None` if it is not.
    pub(super) fn wait(
        &self,
        mount: &Name,
        client: ClientAddr,
        agent: &str,
        now: Instant,
    ) -> Option<Duration> {
        if client.is_proxy || self.0.is_empty() {
            return None;
        }
        let wanted = (mount, network(client.address));
        let is_for = |ban: &&Ban| {
            (&ban.mount, ban.address) == wanted
                && ban.agent.as_deref().is_none_or(|banned| banned == agent)
        };
        let left = |ban: &Ban| ban.until.checked_duration_since(now);
        self.0.iter().filter(is_for).filter_map(left).max().filter(|left| !left.is_zero())
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
        bans.add(&name("/m"), banned, Some("ear"), BAN, start);
        assert_eq!(bans.wait(&name("/m"), banned, "ear", at(1)), Some(Duration::from_secs(59)));
        assert_eq!(bans.wait(&name("/m"), banned, "ear", at(60)), None);
        assert_eq!(bans.wait(&name("/n"), banned, "ear", at(1)), None);
        assert_eq!(bans.wait(&name("/m"), banned, "another", at(1)), None);
        assert_eq!(bans.wait(&name("/m"), client([192, 0, 2, 2]), "ear", at(1)), None);
        bans.add(&name("/m"), banned, Some("ear"), BAN, at(50));
        assert_eq!(bans.wait(&name("/m"), banned, "ear", at(50)), Some(BAN));
        assert_eq!(bans.0.len(), 1, "a ban that is renewed is one ban");
    }

    #[test]
    fn all_clients_of_an_address_can_be_banned_and_let_in_again() {
        let (mut bans, now, one) = (Bans::default(), Instant::now(), client([192, 0, 2, 1]));
        let hour = Duration::from_hours(1);
        bans.add(&name("/m"), one, Some("ear"), BAN, now);
        bans.add(&name("/m"), one, None, hour, now);
        for agent in ["ear", "another"] {
            assert_eq!(bans.wait(&name("/m"), one, agent, now), Some(hour));
        }
        assert_eq!(bans.all(now).len(), 2);
        assert_eq!(bans.all(now + BAN).len(), 1);
        assert!(!bans.lift(&name("/n"), one.address));
        assert!(bans.lift(&name("/m"), one.address));
        assert_eq!(bans.wait(&name("/m"), one, "ear", now), None);
    }

    #[test]
    fn an_ipv6_host_is_one_client_and_a_proxy_is_none() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let host = |n: u16| client([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        bans.add(&name("/m"), host(1), Some("ear"), BAN, now);
        assert_eq!(bans.wait(&name("/m"), host(2), "ear", now), Some(BAN));
        let proxy = ClientAddr { is_proxy: true, ..client([192, 0, 2, 1]) };
        assert!(!bans.add(&name("/m"), proxy, Some("ear"), BAN, now));
        assert_eq!(bans.wait(&name("/m"), proxy, "ear", now), None);
        assert_eq!(bans.wait(&name("/m"), client([192, 0, 2, 1]), "ear", now), None);
    }

    #[test]
    fn the_oldest_ban_makes_room_for_the_newest() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let one = client([192, 0, 2, 1]);
        for n in 0..=MAX_BANS {
            bans.add(&name("/m"), one, Some(&n.to_string()), BAN, now);
        }
        assert_eq!(bans.0.len(), MAX_BANS);
        assert_eq!(bans.wait(&name("/m"), one, "0", now), None);
        assert_eq!(bans.wait(&name("/m"), one, "1", now), Some(BAN));
        bans.add(&name("/m"), one, Some("later"), BAN, now + BAN);
        assert_eq!(bans.0.len(), 1, "bans that are over are forgotten");
    }
}
