//! The address of a client, and the networks whose addresses count as one client.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The client that a request comes from, behind trusted proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr {
    /// The client's address, or the proxy's if the proxy forwarded none.
    pub address: IpAddr,
    /// The address belongs to a trusted proxy that forwarded no client address. Its clients cannot
    /// be told apart, so they are not locked out.
    pub is_proxy: bool,
    /// How many trusted proxies the request came through; 0 if the client connected directly.
    pub proxies: usize,
}

impl ClientAddr {
    /// Whether the request came through a trusted proxy. The next request on the same connection
    /// may come from another client.
    pub fn behind_proxy(&self) -> bool {
        self.proxies > 0
    }
}

impl From<IpAddr> for ClientAddr {
    /// A client that connected directly.
    fn from(address: IpAddr) -> Self {
        Self { address, is_proxy: false, proxies: 0 }
    }
}

/// The network of a single client: an IPv4 address, or an IPv6 /64, because an IPv6 host can use
/// any address of its /64 (RFC 8981).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    prefix(address, 32, 64)
}

/// The network in which one owner may have addresses: an IPv4 /24, or an IPv6 /48.
pub(crate) fn wide_network(address: IpAddr) -> IpAddr {
    prefix(address, 24, 48)
}

/// The first address of the network with a prefix of `v4` or `v6` bits.
fn prefix(address: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(v4)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(v6)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}
