//! Which client a request comes from, and which addresses count as one client.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The client that a request comes from, behind trusted proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr {
    /// The client's address, as far as it is known.
    pub address: IpAddr,
    /// The address is that of a trusted proxy that forwarded no client address: requests of
    /// different clients cannot be told apart, so none is locked out.
    pub is_proxy: bool,
    /// The request came through a trusted proxy, and the next one on the same connection may be
    /// another client's.
    pub behind_proxy: bool,
}

/// The network within which one client can change its address: an IPv6 host has a whole /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    prefix(address, 32, 64)
}

/// The network that one owner may have addresses in: an IPv4 /24, an IPv6 /48.
pub(crate) fn wide_network(address: IpAddr) -> IpAddr {
    prefix(address, 24, 48)
}

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
