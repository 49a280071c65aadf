//! The client's address, which only trusted proxies may state for another.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::client_addr::ClientAddr;
use crate::http::RequestHead;

/// Finds the client behind `peer`: walks the forwarding fields from the right, skips trusted proxies,
/// and returns the first address that is not trusted.
///
/// Where both fields are present, `X-Forwarded-For` counts: proxies write it without being configured
/// to, and many pass on a `Forwarded` that the client invented.
pub fn client_of(peer: IpAddr, head: &RequestHead, trusted: &[IpNet]) -> ClientAddr {
    let trusts = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !trusts(&peer) {
        return ClientAddr { address: peer, is_proxy: false, behind_proxy: false };
    }
    let said = |name, read: fn(&str) -> Option<IpAddr>| {
        // In bytes, from the end: what a client put before the proxy's own entry may be any bytes.
        let hops = head.values(name).rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
        let mut hops = hops.map(|hop| std::str::from_utf8(hop).ok().and_then(read));
        // A hop that cannot be read may hide anything before it.
        hops.find(|hop| hop.as_ref().is_none_or(|address| !trusts(address))).flatten()
    };
    let written = head.values("x-forwarded-for").next().is_some();
    let client =
        if written { said("x-forwarded-for", address) } else { said("forwarded", forwarded) };
    ClientAddr { address: client.unwrap_or(peer), is_proxy: client.is_none(), behind_proxy: true }
}

/// The `for=` of one element of `Forwarded` (RFC 7239).
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

fn address(text: &str) -> Option<IpAddr> {
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

    fn seen(peer: &str, fields: &str) -> (String, bool) {
        let mut text = format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        let trusted = ["10.89.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()];
        let client = client_of(peer.parse().unwrap(), &head, &trusted);
        (client.address.to_string(), client.is_proxy)
    }

    fn client(address: &str) -> (String, bool) {
        (address.to_owned(), false)
    }

    #[test]
    fn a_stranger_is_believed_nothing() {
        assert_eq!(seen("192.0.2.9", "X-Forwarded-For: 192.0.2.1\r\n"), client("192.0.2.9"));
        assert_eq!(seen("::ffff:192.0.2.9", ""), client("192.0.2.9"));
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_no_proxy() {
        let fields = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-For: 10.89.0.7\r\n";
        assert_eq!(seen("10.89.0.2", fields), client("192.0.2.1"));
        let fields = "Forwarded: for=6.6.6.6;proto=http, For=\"[2001:db8::7]:4711\"\r\n";
        assert_eq!(seen("10.89.0.2", fields), client("2001:db8::7"));
        assert_eq!(
            seen("::ffff:10.89.0.2", "X-Forwarded-For: 192.0.2.1:99\r\n"),
            client("192.0.2.1")
        );
    }

    #[test]
    fn a_proxy_that_says_nothing_readable_stands_for_nobody() {
        let both = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n";
        assert_eq!(seen("10.89.0.2", both), client("192.0.2.1"), "what the client made up");
        for fields in ["", "X-Forwarded-For: unknown\r\n", "X-Forwarded-For: 192.0.2.1, ?\r\n"] {
            assert_eq!(seen("10.89.0.2", fields), ("10.89.0.2".to_owned(), true), "{fields}");
        }
    }
}
