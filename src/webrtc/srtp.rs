//! SRTP and SRTCP: the encryption of what a session sends, and the authentication of what it
//! receives (RFC 3711, RFC 7714).
//!
//! Packets are sealed where they are, without an allocation. The keys come from the handshake of
//! DTLS (RFC 5764).

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use aes::cipher::{InnerIvInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use dimpl::SrtpProfile;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// By how many bytes a sealed RTP packet is at most longer.
pub(super) const RTP_OVERHEAD: usize = GCM_TAG;
/// By how many bytes a sealed RTCP packet is at most longer.
pub(super) const RTCP_OVERHEAD: usize = GCM_TAG + INDEX;
/// Length of the header of an RTP packet without extensions, in bytes.
pub(super) const RTP_HEADER: usize = 12;

const GCM_TAG: usize = 16;
/// `SRTP_AES128_CM_SHA1_80` keeps 80 bits of the HMAC.
const SHA1_TAG: usize = 10;
/// Length of the index at the end of an SRTCP packet.
const INDEX: usize = 4;
/// Length of the part of an RTCP packet that is not encrypted: a header and an SSRC.
const RTCP_CLEAR: usize = 8;
/// The bit before the index that says that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Key derivation labels for RTP (RFC 3711, section 4.3.1); those for RTCP follow.
const LABEL_RTP: u8 = 0;
const LABEL_RTCP: u8 = 3;

/// What protects the packets of one direction.
#[derive(Debug)]
pub(super) struct Protection {
    rtp: Cipher,
    rtcp: Cipher,
}

/// The keys of a session: how this side sends, and how the other one does.
#[derive(Debug)]
pub(super) struct SessionKeys {
    /// For what is sent.
    pub outbound: Protection,
    /// For what is received.
    pub inbound: Protection,
}

/// Keys for RTP or for RTCP.
enum Cipher {
    AesCm { key: Aes128, salt: [u8; 14], hmac: Hmac<Sha1> },
    Gcm128 { key: Aes128Gcm, salt: [u8; 12] },
    Gcm256 { key: Box<Aes256Gcm>, salt: [u8; 12] },
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No keys.
        f.write_str(match self {
            Self::AesCm { .. } => "AES-CM",
            Self::Gcm128 { .. } => "AES-128-GCM",
            Self::Gcm256 { .. } => "AES-256-GCM",
        })
    }
}

impl SessionKeys {
    /// The keys of a server, from the exported keying material (RFC 5764, section 4.2). `None` for a
    /// profile that is not known, or for material of another length.
    pub(super) fn of_server(profile: SrtpProfile, material: &[u8]) -> Option<Self> {
        let (key, salt) = lengths(profile)?;
        if material.len() != key.saturating_add(salt).saturating_mul(2) {
            return None;
        }
        let (client_key, rest) = material.split_at_checked(key)?;
        let (server_key, rest) = rest.split_at_checked(key)?;
        let (client_salt, server_salt) = rest.split_at_checked(salt)?;
        Some(Self {
            outbound: Protection::new(profile, server_key, server_salt)?,
            inbound: Protection::new(profile, client_key, client_salt)?,
        })
    }
}

impl Protection {
    /// Protection by a master key and a master salt. `None` if one of them has a wrong length.
    fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Option<Self> {
        Some(Self {
            rtp: Cipher::derive(profile, key, salt, LABEL_RTP)?,
            rtcp: Cipher::derive(profile, key, salt, LABEL_RTCP)?,
        })
    }

    /// Encrypts an RTP packet without extensions, and adds the authentication tag. `packet` has room
    /// for [`RTP_OVERHEAD`] after the `length` bytes of the packet. `rollovers` is how often the
    /// sequence number began again. Returns the new length.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        length: usize,
        rollovers: u32,
    ) -> Option<usize> {
        let (header, rest) = packet.split_at_mut_checked(RTP_HEADER)?;
        let payload = length.checked_sub(RTP_HEADER)?;
        let (body, tag) = rest.split_at_mut_checked(payload)?;
        let ssrc = header.get(8..12)?.first_chunk()?;
        let sequence = header.get(2..4)?;
        let mut index = [0; 6];
        index[..4].copy_from_slice(&rollovers.to_be_bytes());
        index[4..].copy_from_slice(sequence);
        let written = match &self.rtp {
            Cipher::AesCm { key, salt, hmac } => {
                keystream(key, cm_vector(salt, *ssrc, index)).apply_keystream(body);
                let mut mac = hmac.clone();
                mac.update(header);
                mac.update(body);
                mac.update(&rollovers.to_be_bytes());
                put(tag, mac.finalize().into_bytes().get(..SHA1_TAG)?)?
            }
            gcm => put(tag, &gcm.seal_gcm(&gcm_vector(*ssrc, index), header, body)?)?,
        };
        length.checked_add(written)
    }

    /// Encrypts an RTCP packet, and adds its index and the authentication tag. `packet` has room for
    /// [`RTCP_OVERHEAD`] after its `length` bytes. Returns the new length.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], length: usize, index: u32) -> Option<usize> {
        let trailer = (index | ENCRYPTED).to_be_bytes();
        let (clear, rest) = packet.split_at_mut_checked(RTCP_CLEAR)?;
        let (body, end) = rest.split_at_mut_checked(length.checked_sub(RTCP_CLEAR)?)?;
        let ssrc = *clear.get(4..8)?.first_chunk()?;
        let written = match &self.rtcp {
            Cipher::AesCm { key, salt, hmac } => {
                keystream(key, cm_vector(salt, ssrc, wide(index))).apply_keystream(body);
                let mut mac = hmac.clone();
                mac.update(clear);
                mac.update(body);
                mac.update(&trailer);
                let (at_index, at_tag) = end.split_at_mut_checked(INDEX)?;
                let tag = mac.finalize().into_bytes();
                put(at_index, &trailer)?.checked_add(put(at_tag, tag.get(..SHA1_TAG)?)?)?
            }
            gcm => {
                let associated = associated_data(clear, trailer)?;
                let tag = gcm.seal_gcm(&gcm_vector(ssrc, wide(index)), &associated, body)?;
                let (at_tag, at_index) = end.split_at_mut_checked(GCM_TAG)?;
                put(at_tag, &tag)?.checked_add(put(at_index, &trailer)?)?
            }
        };
        length.checked_add(written)
    }

    /// The index of an SRTCP packet that the other side has protected; `None` if it has not. What the
    /// packet says is not returned: only that it is authentic matters here. Changes the bytes.
    pub(super) fn authentic_rtcp(&self, packet: &mut [u8]) -> Option<u32> {
        match &self.rtcp {
            Cipher::AesCm { hmac, .. } => {
                let (signed, tag) = packet.split_at_checked(packet.len().checked_sub(SHA1_TAG)?)?;
                let mut mac = hmac.clone();
                mac.update(signed);
                mac.verify_truncated_left(tag).ok()?;
                let (_, trailer) = signed.split_last_chunk()?;
                Some(u32::from_be_bytes(*trailer) & !ENCRYPTED)
            }
            gcm => {
                let (sealed, trailer) = packet.split_last_chunk_mut()?;
                let index = u32::from_be_bytes(*trailer) & !ENCRYPTED;
                let (clear, rest) = sealed.split_at_mut_checked(RTCP_CLEAR)?;
                let ssrc = *clear.get(4..8)?.first_chunk()?;
                let (body, tag) = rest.split_at_mut_checked(rest.len().checked_sub(GCM_TAG)?)?;
                let associated = associated_data(clear, *trailer)?;
                let tag = *tag.first_chunk()?;
                gcm.open_gcm(&gcm_vector(ssrc, wide(index)), &associated, body, &tag)?;
                Some(index)
            }
        }
    }
}

impl Cipher {
    /// Derives session keys from the master key (RFC 3711, section 4.3; RFC 7714, section 11).
    fn derive(profile: SrtpProfile, key: &[u8], salt: &[u8], label: u8) -> Option<Self> {
        let [of_key, of_hmac, of_salt] = [label, label.saturating_add(1), label.saturating_add(2)];
        Some(match profile {
            SrtpProfile::AES128_CM_SHA1_80 => {
                let session: [u8; 16] = derive(key, salt, of_key)?;
                let hmac: [u8; 20] = derive(key, salt, of_hmac)?;
                let hmac = Hmac::new_from_slice(&hmac).ok()?;
                let salt = derive(key, salt, of_salt)?;
                Self::AesCm { key: Aes128::new(&session.into()), salt, hmac }
            }
            SrtpProfile::AEAD_AES_128_GCM => {
                let session: [u8; 16] = derive(key, salt, of_key)?;
                let salt = derive(key, salt, of_salt)?;
                Self::Gcm128 { key: Aes128Gcm::new(&session.into()), salt }
            }
            SrtpProfile::AEAD_AES_256_GCM => {
                let session: [u8; 32] = derive(key, salt, of_key)?;
                let salt = derive(key, salt, of_salt)?;
                Self::Gcm256 { key: Box::new(Aes256Gcm::new(&session.into())), salt }
            }
            _ => return None,
        })
    }

    /// Encrypts `body`; returns the tag. `None` with keys of another kind.
    fn seal_gcm(&self, vector: &[u8; 12], clear: &[u8], body: &mut [u8]) -> Option<[u8; GCM_TAG]> {
        let body = body.into();
        let tag = match self {
            Self::Gcm128 { key, salt } => {
                key.encrypt_inout_detached(&xor(vector, salt).into(), clear, body)
            }
            Self::Gcm256 { key, salt } => {
                key.encrypt_inout_detached(&xor(vector, salt).into(), clear, body)
            }
            Self::AesCm { .. } => return None,
        };
        tag.ok().map(Into::into)
    }

    /// Decrypts `body`, if the tag is right.
    fn open_gcm(
        &self,
        vector: &[u8; 12],
        clear: &[u8],
        body: &mut [u8],
        tag: &[u8; GCM_TAG],
    ) -> Option<()> {
        let (body, tag) = (body.into(), tag.into());
        match self {
            Self::Gcm128 { key, salt } => {
                key.decrypt_inout_detached(&xor(vector, salt).into(), clear, body, tag)
            }
            Self::Gcm256 { key, salt } => {
                key.decrypt_inout_detached(&xor(vector, salt).into(), clear, body, tag)
            }
            Self::AesCm { .. } => return None,
        }
        .ok()
    }
}

/// A session key or salt, by the pseudo-random function AES-CM (RFC 3711, section 4.3.3).
fn derive<const N: usize>(key: &[u8], salt: &[u8], label: u8) -> Option<[u8; N]> {
    let mut vector = [0; 16];
    // A salt of 96 bits is filled up with zeros to 112 (RFC 7714, section 11).
    vector[..14].get_mut(..salt.len())?.copy_from_slice(salt);
    vector[7] ^= label;
    let mut derived = [0; N];
    if key.len() == 16 {
        keystream(&Aes128::new_from_slice(key).ok()?, vector).apply_keystream(&mut derived);
    } else {
        keystream(&Aes256::new_from_slice(key).ok()?, vector).apply_keystream(&mut derived);
    }
    Some(derived)
}

/// Lengths of the master key and the master salt.
fn lengths(profile: SrtpProfile) -> Option<(usize, usize)> {
    match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Some((16, 14)),
        SrtpProfile::AEAD_AES_128_GCM => Some((16, 12)),
        SrtpProfile::AEAD_AES_256_GCM => Some((32, 12)),
        _ => None,
    }
}

type Keystream<'k, C> = StreamCipherCoreWrapper<CtrCore<&'k C, Ctr128BE>>;

fn keystream<C>(key: &C, vector: [u8; 16]) -> Keystream<'_, C>
where
    C: aes::cipher::BlockCipherEncrypt
        + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    StreamCipherCoreWrapper::from_core(CtrCore::inner_iv_init(key, &vector.into()))
}

/// The initialization vector of AES-CM: salt, SSRC and packet index (RFC 3711, section 4.1.1).
fn cm_vector(salt: &[u8; 14], ssrc: [u8; 4], index: [u8; 6]) -> [u8; 16] {
    let mut vector = [0; 16];
    vector[..14].copy_from_slice(salt);
    for (byte, mask) in vector[4..14].iter_mut().zip(ssrc.iter().chain(&index)) {
        *byte ^= mask;
    }
    vector
}

/// The initialization vector of AES-GCM before the salt is combined with it (RFC 7714, sections 8.1
/// and 9.1).
fn gcm_vector(ssrc: [u8; 4], index: [u8; 6]) -> [u8; 12] {
    let mut vector = [0; 12];
    vector[2..6].copy_from_slice(&ssrc);
    vector[6..].copy_from_slice(&index);
    vector
}

/// The index of an RTCP packet as one of six bytes.
fn wide(index: u32) -> [u8; 6] {
    let mut wide = [0; 6];
    wide[2..].copy_from_slice(&index.to_be_bytes());
    wide
}

/// What a GCM tag of an RTCP packet covers besides what is encrypted (RFC 7714, section 9.2).
fn associated_data(clear: &[u8], trailer: [u8; INDEX]) -> Option<[u8; RTCP_CLEAR + INDEX]> {
    let mut data = [0; RTCP_CLEAR + INDEX];
    data.get_mut(..RTCP_CLEAR)?.copy_from_slice(clear);
    data[RTCP_CLEAR..].copy_from_slice(&trailer);
    Some(data)
}

fn xor(vector: &[u8; 12], salt: &[u8; 12]) -> [u8; 12] {
    std::array::from_fn(|at| vector[at] ^ salt[at])
}

/// Copies `bytes` to the beginning of `to`. `None` if there is no room.
fn put(to: &mut [u8], bytes: &[u8]) -> Option<usize> {
    to.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        bytes.chunks(2).map(byte).collect::<Vec<_>>().try_into().unwrap()
    }

    /// RFC 3711, appendix B.3.
    #[test]
    fn keys_are_derived_as_in_the_rfc() {
        let key = hex::<16>("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex::<14>("0EC675AD498AFEEBB6960B3AABE6");
        let session = derive(&key, &salt, 0);
        assert_eq!(session, Some(hex::<16>("C61E7A93744F39EE10734AFE3FF7A087")));
        assert_eq!(derive(&key, &salt, 2), Some(hex::<14>("30CBBC08863D8C85D49DB34A9AE1")));
        let hmac = hex::<20>("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
        assert_eq!(derive(&key, &salt, 1), Some(hmac));
    }

    /// RFC 3711, appendix B.2.
    #[test]
    fn the_keystream_is_that_of_the_rfc() {
        let key = Aes128::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C").into());
        let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
        let mut stream = [0; 32];
        keystream(&key, cm_vector(&salt, [0; 4], [0; 6])).apply_keystream(&mut stream);
        assert_eq!(stream[..16], hex::<16>("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(stream[16..], hex::<16>("D23513162B02D0F72A43A2FE4A5F97AB"));
    }

    /// RFC 7714, section 16.1.1.
    #[test]
    fn a_packet_is_sealed_with_gcm_as_in_the_rfc() {
        let key = Aes128Gcm::new(&hex("000102030405060708090a0b0c0d0e0f").into());
        let salt = hex("517569642070726f2071756f");
        let gcm = || Cipher::Gcm128 { key: key.clone(), salt };
        let protection = Protection { rtp: gcm(), rtcp: gcm() };
        let clear = hex::<50>(
            "8040f17b 8041f8d3 5501a0b2 47616c6c 696120657374206f6d6e69732064697669736120696e207061 \
             7274657320747265 73",
        );
        let mut packet = [0; 66];
        packet[..50].copy_from_slice(&clear);
        assert_eq!(protection.seal_rtp(&mut packet, 50, 0), Some(66));
        let sealed = hex::<66>(
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
             42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        );
        assert_eq!(packet, sealed);
    }

    fn pair(profile: SrtpProfile) -> (Protection, Protection) {
        let (key, salt) = lengths(profile).unwrap();
        let (key, salt) = (vec![7; key], vec![9; salt]);
        let protection = || Protection::new(profile, &key, &salt).unwrap();
        (protection(), protection())
    }

    #[test]
    fn what_was_sealed_is_authentic_and_nothing_else_is() {
        for &profile in SrtpProfile::ALL {
            let (sender, receiver) = pair(profile);
            let mut packet = [0; 28 + RTCP_OVERHEAD];
            packet[..4].copy_from_slice(&[0x80, 200, 0, 6]);
            let length = sender.seal_rtcp(&mut packet, 28, 5).unwrap();
            let sealed = &packet[..length];
            assert_ne!(sealed[8..28], [0; 20], "it is encrypted");
            assert_eq!(receiver.authentic_rtcp(&mut sealed.to_vec()), Some(5), "{profile}");
            for at in 0..sealed.len() {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1;
                assert_eq!(receiver.authentic_rtcp(&mut changed), None, "{profile}: byte {at}");
                let mut short = sealed[..at].to_vec();
                assert_eq!(receiver.authentic_rtcp(&mut short), None, "{profile}: {at} bytes");
            }
        }
    }

    #[test]
    fn a_buffer_without_room_is_refused() {
        for &profile in SrtpProfile::ALL {
            let (sender, _) = pair(profile);
            assert_eq!(sender.seal_rtp(&mut [0; 20], 20, 0), None);
            assert_eq!(sender.seal_rtp(&mut [0; 8], 8, 0), None);
            assert_eq!(sender.seal_rtcp(&mut [0; 28], 28, 0), None);
            assert_eq!(sender.seal_rtcp(&mut [0; 4], 4, 0), None);
        }
    }

    #[test]
    fn material_of_another_length_makes_no_keys() {
        for &profile in SrtpProfile::ALL {
            let length = profile.keying_material_len();
            assert!(SessionKeys::of_server(profile, &vec![1; length]).is_some());
            assert!(SessionKeys::of_server(profile, &vec![1; length - 1]).is_none());
        }
    }
}
