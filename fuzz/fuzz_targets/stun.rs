//! A check of ICE: whatever it is, the answer is no longer than it, and is for its transaction.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silvacast::webrtc::{BindingRequest, MAX_RESPONSE};

fuzz_target!(|datagram: &[u8]| {
    let Some(request) = BindingRequest::parse(datagram) else { return };
    let _ = request.fragments();
    // The password of the sample request in RFC 5769, which is a seed.
    let password = b"VOkJxbRl1RmTxUk/WvJxBt";
    let _ = request.is_authentic(password);
    for from in ["192.0.2.1:32853", "[2001:db8::1]:9"] {
        let mut out = [0; MAX_RESPONSE];
        if let Some(response) = request.response(from.parse().unwrap(), password, &mut out) {
            assert!(response.len() <= datagram.len());
            assert_eq!(response[4..20], datagram[4..20]);
        }
    }
});
