//! A request head, and everything that is decided from it before anybody has logged in.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use silvacast::auth::{Login, SOURCE_USER, Secret};
use silvacast::door::{Head, MAX_FIELDS, Route, normalize_ice_version, origin, route_of};

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    normalize_ice_version(&mut bytes);
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let Ok(Some(head)) = Head::read(&bytes, &mut fields) else { return };
    assert!(head.length <= bytes.len());
    let peer: IpAddr = [10, 89, 0, 2].into();
    let _ = origin(peer, &head, &["10.89.0.0/16".parse().unwrap()]);
    let password = Secret::new("not to be guessed by a fuzzer");
    let login = Login { user: SOURCE_USER.into(), password };
    assert!(!head.field("authorization").is_some_and(|said| login.is(said)));
    if let Ok(Route::Source(name)) = route_of(&head, "/stream") {
        assert!(!name.as_str().contains("/../") && !name.as_str().contains(char::is_control));
    }
    let _ = head.keeps_connection();
});
