//! Determines the client's address, taking the forwarding fields of trusted proxies into account.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::client_addr::ClientAddr;
use crate::http::{RequestHead, elements, forwarded_parameter};

/// Finds the client behind `peer`: walks the forwarding fields from the right, skips trusted
/// proxies, and returns the first address that is not trusted.
///
/// If both fields are present, `X-Forwarded-For` is used: most proxies write it by default, and
/// many forward a `Forwarded` field from the client unchanged.
pub fn client_of(peer: IpAddr, head: &RequestHead, trusted: &[IpNet]) -> ClientAddr {
    let trusts = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !trusts(&peer) {
        return ClientAddr { address: peer, is_proxy: false, proxies: 0 };
    }
    let first_untrusted = |name, parse: fn(&str) -> Option<IpAddr>| {
        // Stops at a hop that cannot be parsed: the entries before it are not trustworthy.
        let mut hops = elements(head, name).map(parse).enumerate();
        hops.find(|(_, hop)| hop.as_ref().is_none_or(|address| !trusts(address)))
    };
    let has_x_forwarded_for = head.values("x-forwarded-for").next().is_some();
    let client = if has_x_forwarded_for {
        first_untrusted("x-forwarded-for", parse_address)
    } else {
        first_untrusted("forwarded", parse_forwarded)
    };
    // Each trusted hop before the client is one more proxy.
    let (trusted_hops, client) = client.unwrap_or_default();
    ClientAddr {
        address: client.unwrap_or(peer),
        is_proxy: client.is_none(),
        proxies: trusted_hops.saturating_add(1),
    }
}

/// Parses the `for=` parameter of one element of `Forwarded` (RFC 7239, section 5.2).
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    parse_address(forwarded_parameter(element, "for")?)
}

/// Parses an address, with or without brackets, with or without a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address: Option<IpAddr> = bare.parse().ok();
    address
        .or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
        .map(|a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Address and `is_proxy` of the client that is found.
    fn found(peer: &str, fields: &str) -> (String, bool) {
        let mut text = format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        let trusted = ["10.89.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()];
        let client = client_of(peer.parse().unwrap(), &head, &trusted);
        (client.address.to_string(), client.is_proxy)
    }

    #[test]
    fn proxies_are_counted_up_to_the_client() {
        let trusted = ["10.89.0.0/16".parse().unwrap()];
        let proxies = |peer: &str, fields: &str| {
            let mut text = format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
            let head = RequestHead::take(&mut text).unwrap().unwrap();
            client_of(peer.parse().unwrap(), &head, &trusted).proxies
        };
        let forwarded = "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.89.0.7\r\n";
        assert_eq!(proxies("10.89.0.2", forwarded), 2);
        assert_eq!(proxies("192.0.2.9", forwarded), 0, "an untrusted peer");
        assert_eq!(proxies("10.89.0.2", "X-Forwarded-For: 192.0.2.1\r\n"), 1);
        assert_eq!(proxies("10.89.0.2", ""), 1);
    }

    fn client(address: &str) -> (String, bool) {
        (address.to_owned(), false)
    }

    #[test]
    fn forwarding_fields_of_untrusted_peers_are_ignored() {
        assert_eq!(found("192.0.2.9", "X-Forwarded-For: 192.0.2.1\r\n"), client("192.0.2.9"));
        assert_eq!(found("::ffff:192.0.2.9", ""), client("192.0.2.9"));
    }

    #[test]
    fn the_client_is_the_last_untrusted_hop() {
        let fields = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-For: 10.89.0.7\r\n";
        assert_eq!(found("10.89.0.2", fields), client("192.0.2.1"));
        let fields = "Forwarded: for=6.6.6.6;proto=http, For=\"[2001:db8::7]:4711\"\r\n";
        assert_eq!(found("10.89.0.2", fields), client("2001:db8::7"));
        assert_eq!(
            found("::ffff:10.89.0.2", "X-Forwarded-For: 192.0.2.1:99\r\n"),
            client("192.0.2.1")
        );
    }

    #[test]
    fn a_missing_or_unreadable_address_leaves_the_client_unknown() {
        let both = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n";
        assert_eq!(found("10.89.0.2", both), client("192.0.2.1"), "X-Forwarded-For wins");
        for fields in ["", "X-Forwarded-For: unknown\r\n", "X-Forwarded-For: 192.0.2.1, ?\r\n"] {
            assert_eq!(found("10.89.0.2", fields), ("10.89.0.2".to_owned(), true), "{fields}");
        }
    }
}
