//! STUN binding requests, which are the connectivity checks of ICE (RFC 8489, RFC 8445), and the
//! answers to them.
//!
//! This server is a lite agent (RFC 8445, section 2.5): it answers checks and sends none. A check is
//! answered only if it proves that its sender knows the password of a session.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::{IpAddr, SocketAddr};

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The longest answer, in bytes: a header, an IPv6 address, the integrity and the fingerprint.
pub const MAX_RESPONSE: usize = 20 + 24 + 24 + 8;

const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MAGIC_COOKIE: u32 = 0x2112_a442;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
/// Length of the value of MESSAGE-INTEGRITY, an HMAC-SHA1.
const INTEGRITY: usize = 20;
/// What the CRC of a FINGERPRINT is combined with (RFC 8489, section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// A binding request with a user name, an integrity and a fingerprint that is right.
#[derive(Clone, Copy, Debug)]
pub struct BindingRequest<'b> {
    bytes: &'b [u8],
    username: &'b str,
    /// Offset of the attribute MESSAGE-INTEGRITY.
    integrity_at: usize,
    integrity: &'b [u8],
}

impl<'b> BindingRequest<'b> {
    /// Reads a datagram; `None` if it is anything else than a request of ICE.
    pub fn parse(bytes: &'b [u8]) -> Option<Self> {
        let length = usize::from(u16_at(bytes, 2)?);
        if u16_at(bytes, 0)? != BINDING_REQUEST
            || u32_at(bytes, 4)? != MAGIC_COOKIE
            || length.checked_add(HEADER)? != bytes.len()
        {
            return None;
        }
        let (mut username, mut integrity) = (None, None);
        let mut at = HEADER;
        while at < bytes.len() {
            let (kind, length) =
                (u16_at(bytes, at)?, usize::from(u16_at(bytes, at.checked_add(2)?)?));
            let start = at.checked_add(4)?;
            let value = bytes.get(start..start.checked_add(length)?)?;
            match kind {
                // It is the last one.
                FINGERPRINT => {
                    let is_right = value == fingerprint(bytes.get(..at)?).to_be_bytes();
                    let is_last = start.checked_add(length)? == bytes.len();
                    let (integrity_at, integrity) = integrity?;
                    let username = username?;
                    return (is_right && is_last).then_some(Self {
                        bytes,
                        username,
                        integrity_at,
                        integrity,
                    });
                }
                // What follows the integrity is not protected by it.
                _ if integrity.is_some() => {}
                MESSAGE_INTEGRITY if length == INTEGRITY => integrity = Some((at, value)),
                USERNAME => username = Some(std::str::from_utf8(value).ok()?),
                _ => {}
            }
            at = start.checked_add(length.checked_next_multiple_of(4)?)?;
        }
        None
    }

    /// The `ice-ufrag` of the receiver and that of the sender (RFC 8445, section 7.2.2).
    pub fn fragments(&self) -> Option<(&'b str, &'b str)> {
        self.username.split_once(':')
    }

    /// Whether the sender knows this password.
    pub fn is_authentic(&self, password: &[u8]) -> bool {
        let Some(signed) = self.bytes.get(..self.integrity_at) else { return false };
        // The integrity covers a header whose length ends with the integrity itself.
        let length = self.integrity_at.saturating_add(4 + INTEGRITY).saturating_sub(HEADER) as u16;
        let mut header = [0; HEADER];
        header.copy_from_slice(&signed[..HEADER]);
        header[2..4].copy_from_slice(&length.to_be_bytes());
        let mac = hmac(password).chain_update(header).chain_update(&signed[HEADER..]);
        mac.verify_slice(self.integrity).is_ok()
    }

    /// The answer, which says where the request came from; no longer than the request, else `None`.
    pub fn response<'o>(
        &self,
        from: SocketAddr,
        password: &[u8],
        out: &'o mut [u8; MAX_RESPONSE],
    ) -> Option<&'o [u8]> {
        let mut writer = Writer { out, length: HEADER };
        let transaction = self.bytes.get(4..HEADER)?;
        writer.out[..2].copy_from_slice(&BINDING_SUCCESS.to_be_bytes());
        writer.out[4..HEADER].copy_from_slice(transaction);
        let (mut address, length) = match from.ip() {
            IpAddr::V4(ip) => (padded(&ip.octets(), 1), 8),
            IpAddr::V6(ip) => (padded(&ip.octets(), 2), 20),
        };
        // The address is combined with the magic cookie and the transaction (section 14.2).
        address[2..4].copy_from_slice(&from.port().to_be_bytes());
        for (byte, mask) in address[2..4].iter_mut().zip(transaction) {
            *byte ^= mask;
        }
        for (byte, mask) in address[4..].iter_mut().zip(transaction) {
            *byte ^= mask;
        }
        writer.attribute(XOR_MAPPED_ADDRESS, &address[..length]);
        writer.set_length(4 + INTEGRITY);
        let integrity = hmac(password).chain_update(writer.written()).finalize().into_bytes();
        writer.attribute(MESSAGE_INTEGRITY, &integrity);
        writer.set_length(4 + 4);
        let fingerprint = fingerprint(writer.written());
        writer.attribute(FINGERPRINT, &fingerprint.to_be_bytes());
        let Writer { out, length } = writer;
        out.get(..length).filter(|response| response.len() <= self.bytes.len())
    }
}

/// Writes attributes whose lengths are multiples of four.
struct Writer<'o> {
    out: &'o mut [u8; MAX_RESPONSE],
    length: usize,
}

impl Writer<'_> {
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        for piece in [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value] {
            let end = self.length.saturating_add(piece.len());
            self.out[self.length..end].copy_from_slice(piece);
            self.length = end;
        }
    }

    /// Writes the length of the message with `more` bytes that follow.
    fn set_length(&mut self, more: usize) {
        let length = self.length.saturating_sub(HEADER).saturating_add(more) as u16;
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
    }

    fn written(&self) -> &[u8] {
        &self.out[..self.length]
    }
}

/// The value of XOR-MAPPED-ADDRESS with the port and the mask still missing.
fn padded(octets: &[u8], family: u8) -> [u8; 20] {
    let mut value = [0; 20];
    value[1] = family;
    for (byte, octet) in value[4..].iter_mut().zip(octets) {
        *byte = *octet;
    }
    value
}

fn hmac(password: &[u8]) -> Hmac<Sha1> {
    Hmac::new_from_slice(password).expect("HMAC takes keys of any length")
}

fn fingerprint(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes) ^ FINGERPRINT_XOR
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*raw))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let raw = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*raw))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A check as a client sends it.
    pub(in super::super) fn check(username: &str, password: &str) -> Vec<u8> {
        let mut out = [0; MAX_RESPONSE];
        let mut writer = Writer { out: &mut out, length: HEADER };
        writer.out[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
        writer.out[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        assert_eq!(username.len() % 4, 0, "this writer does not pad");
        writer.attribute(USERNAME, username.as_bytes());
        writer.set_length(4 + INTEGRITY);
        let mac = hmac(password.as_bytes()).chain_update(writer.written());
        let integrity = mac.finalize().into_bytes();
        writer.attribute(MESSAGE_INTEGRITY, &integrity);
        writer.set_length(8);
        let crc = fingerprint(writer.written());
        writer.attribute(FINGERPRINT, &crc.to_be_bytes());
        writer.written().to_vec()
    }

    /// The sample request of RFC 5769, section 2.1.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\
        \x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn the_sample_request_of_the_rfc_is_read_and_its_password_checked() {
        let request = BindingRequest::parse(SAMPLE).unwrap();
        assert_eq!(request.fragments(), Some(("evtj", "h6vY")));
        assert!(request.is_authentic(PASSWORD));
        assert!(!request.is_authentic(b"VOkJxbRl1RmTxUk/WvJxBT"));
    }

    #[test]
    fn any_other_byte_makes_it_another_message() {
        for at in 0..SAMPLE.len() {
            let mut bytes = SAMPLE.to_vec();
            bytes[at] ^= 1;
            let request = BindingRequest::parse(&bytes);
            assert!(!request.is_some_and(|request| request.is_authentic(PASSWORD)), "byte {at}");
            assert!(BindingRequest::parse(&SAMPLE[..at]).is_none(), "{at} bytes");
        }
    }

    /// The sample responses of RFC 5769, sections 2.2 and 2.3, without their SOFTWARE.
    #[test]
    fn a_response_has_the_address_and_proves_who_sent_it() {
        let request = BindingRequest::parse(SAMPLE).unwrap();
        for (from, address) in [
            ("192.0.2.1:32853", &b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"[..]),
            (
                "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
                b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\
                  \xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9",
            ),
        ] {
            let mut out = [0; MAX_RESPONSE];
            let response = request.response(from.parse().unwrap(), PASSWORD, &mut out).unwrap();
            assert_eq!(response[..2], BINDING_SUCCESS.to_be_bytes());
            assert_eq!(response[4..HEADER], SAMPLE[4..HEADER], "the same transaction");
            assert_eq!(&response[HEADER..HEADER + address.len()], address, "{from}");
            let (signed, rest) = response.split_at(HEADER + address.len());
            let mut header = signed.to_vec();
            header[3] -= 8;
            let mac = hmac(PASSWORD).chain_update(&header);
            assert!(mac.verify_slice(&rest[4..4 + INTEGRITY]).is_ok());
            let (before, crc) = response.split_at(response.len() - 4);
            assert_eq!(crc, fingerprint(&before[..before.len() - 4]).to_be_bytes());
        }
    }

    #[test]
    fn no_response_is_longer_than_its_request() {
        for (username, to_ipv4, to_ipv6) in [
            ("a::b", false, false),
            ("abcd:abc", true, false),
            ("0123456789:abcdefghi", true, true),
        ] {
            let bytes = check(username, "password");
            let request = BindingRequest::parse(&bytes).unwrap();
            assert!(request.is_authentic(b"password"));
            let answered = |from: &str| {
                let mut out = [0; MAX_RESPONSE];
                request.response(from.parse().unwrap(), b"password", &mut out).is_some()
            };
            let answered = (answered("192.0.2.1:1"), answered("[2001:db8::1]:1"));
            assert_eq!(answered, (to_ipv4, to_ipv6), "{username}");
        }
    }
}
