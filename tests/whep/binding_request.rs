//! The checks that a client sends. Tests, benchmarks and fuzz targets include this file.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// A check of ICE (RFC 8489).
pub(crate) fn binding_request(username: &str, password: &str) -> Vec<u8> {
    let mut request = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!".to_vec();
    let attribute = |request: &mut Vec<u8>, kind: u16, value: &[u8]| {
        request.extend(kind.to_be_bytes());
        request.extend((value.len() as u16).to_be_bytes());
        request.extend(value);
        request.resize(request.len().next_multiple_of(4), 0);
    };
    let set_length = |request: &mut Vec<u8>, more: usize| {
        let length = (request.len() - 20 + more) as u16;
        request[2..4].copy_from_slice(&length.to_be_bytes());
    };
    attribute(&mut request, 0x0006, username.as_bytes());
    set_length(&mut request, 24);
    let mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).unwrap().chain_update(&request);
    attribute(&mut request, 0x0008, &mac.finalize().into_bytes());
    set_length(&mut request, 8);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&request) ^ 0x5354_554e;
    attribute(&mut request, 0x8028, &crc.to_be_bytes());
    request
}
