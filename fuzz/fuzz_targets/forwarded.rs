//! What proxies and clients write about where a request comes from: nobody is taken for a trusted proxy's client by
//! their own word, and the log shows no part of a target that may be a secret.
#![no_main]

use std::net::IpAddr;

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use silvacast::door::client_of;
use silvacast::http::{RequestHead, redacted_target};

fuzz_target!(|input: (&[u8], &[u8], &str)| {
    let (x_forwarded_for, forwarded, target) = input;
    assert!(!redacted_target(target, "/stream").contains(['?', '&', ';', '=', '%', '#', '@']));
    let mut text = [
        b"GET / HTTP/1.1\r\nX-Forwarded-For: ".as_slice(),
        x_forwarded_for,
        b"\r\nForwarded: ",
        forwarded,
        b"\r\n\r\n",
    ]
    .concat();
    let Ok(Some(head)) = RequestHead::take(&mut text) else { return };
    let trusted: [IpNet; 1] = ["10.89.0.0/16".parse().unwrap()];
    let (proxy, stranger) = (IpAddr::from([10, 89, 0, 2]), IpAddr::from([192, 0, 2, 9]));
    let direct = client_of(stranger, &head, &trusted);
    assert!(direct.address == stranger && !direct.is_proxy && !direct.behind_proxy());
    let behind = client_of(proxy, &head, &trusted);
    assert_eq!(behind.is_proxy, trusted[0].contains(&behind.address));
});
