//! A request head, and everything that is decided from it before any login.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use silvacast::auth::{Login, SOURCE_USER, Secret};
use silvacast::door::client_of;
use silvacast::http::{RequestHead, RequestTarget};
use silvacast::mount::Name;

fuzz_target!(|bytes: &[u8]| {
    let mut read = bytes.to_vec();
    let Ok(Some(head)) = RequestHead::take(&mut read) else { return };
    // The ICE version becomes one of the same length or longer by one.
    assert!(head.bytes().len() + read.len() <= bytes.len() + 1);
    for (name, value) in head.fields() {
        assert!(!name.is_empty() && value.len() < bytes.len());
    }
    let peer: IpAddr = [10, 89, 0, 2].into();
    let _ = client_of(peer, &head, &["10.89.0.0/16".parse().unwrap()]);
    let password = Secret::new("not to be guessed by a fuzzer");
    let login = Login { user: SOURCE_USER.into(), password };
    assert!(!head.field("authorization").is_some_and(|value| login.is(value)));
    let target = RequestTarget::of(&head, "/stream");
    if let Ok(name) = Name::new(&target.path) {
        assert!(!name.as_str().contains("/../") && !name.as_str().contains(char::is_control));
    }
    let _ = head.keeps_connection();
});
