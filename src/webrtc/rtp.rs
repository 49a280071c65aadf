//! The headers of RTP packets, and RTCP sender reports (RFC 3550, RFC 7587).

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use crate::utc::Utc;

use super::srtp::RTP_HEADER;

/// Length of a sender report, in bytes, without the description that follows.
const REPORT: usize = 28;
/// Length of the source description after it: a header, an SSRC, and a canonical name.
const DESCRIPTION: usize = 8 + 2 + CNAME + 2;
/// Length of the canonical name of a sender (RFC 3550, section 6.5.1).
pub const CNAME: usize = 16;
/// Length of a sender report with the description that must follow it.
pub(super) const SENDER_REPORT: usize = REPORT + DESCRIPTION;

const VERSION: u8 = 2 << 6;
const MARKER: u8 = 0x80;
const TYPE_SENDER_REPORT: u8 = 200;
const TYPE_DESCRIPTION: u8 = 202;
const ITEM_CNAME: u8 = 1;
/// Seconds from 1900, where the time of NTP begins, to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// What identifies one packet of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketHeader {
    /// The payload type that the offer gave to Opus.
    pub payload_type: u8,
    /// Whether the packet is the first one after a pause.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Time of the first sample, at 48 kHz.
    pub timestamp: u32,
    /// The sender.
    pub ssrc: u32,
}

/// What a sender report says (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderReport<'a> {
    /// The sender.
    pub ssrc: u32,
    /// When the audio at `timestamp` was recorded.
    pub utc: Utc,
    /// A time of the stream.
    pub timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Bytes sent so far, without headers.
    pub bytes: u32,
    /// Canonical name of the sender.
    pub cname: &'a [u8; CNAME],
}

impl PacketHeader {
    /// The header's bytes.
    pub(super) fn bytes(self) -> [u8; RTP_HEADER] {
        let mut bytes = [0; RTP_HEADER];
        bytes[0] = VERSION;
        bytes[1] = self.payload_type | if self.marker { MARKER } else { 0 };
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

impl SenderReport<'_> {
    /// The report's bytes, followed by those of the source description.
    pub(super) fn bytes(&self) -> [u8; SENDER_REPORT] {
        let (seconds, fraction) = ntp(self.utc);
        let mut bytes = [0; SENDER_REPORT];
        let mut at = 0_usize;
        let mut put = |piece: &[u8]| {
            let end = at.saturating_add(piece.len());
            bytes[at..end].copy_from_slice(piece);
            at = end;
        };
        put(&[VERSION, TYPE_SENDER_REPORT]);
        put(&words(REPORT));
        for word in [self.ssrc, seconds, fraction, self.timestamp, self.packets, self.bytes] {
            put(&word.to_be_bytes());
        }
        put(&[VERSION | 1, TYPE_DESCRIPTION]);
        put(&words(DESCRIPTION));
        put(&self.ssrc.to_be_bytes());
        put(&[ITEM_CNAME, CNAME as u8]);
        put(self.cname);
        bytes
    }
}

/// The length of a packet as RTCP has it: in words of 32 bits, minus one.
fn words(bytes: usize) -> [u8; 2] {
    ((bytes / 4).saturating_sub(1) as u16).to_be_bytes()
}

/// A time of NTP: seconds since 1900, and a fraction of one.
fn ntp(utc: Utc) -> (u32, u32) {
    let ms = utc.unix_ms();
    let fraction = (ms % 1000).saturating_mul(1 << 32) / 1000;
    // The seconds begin again in 2036 (RFC 5905, section 6).
    ((ms / 1000).wrapping_add(NTP_EPOCH) as u32, fraction as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_its_fields_where_the_rfc_has_them() {
        let (payload_type, sequence, timestamp, ssrc) = (111, 0x0102, 0x0304_0506, 0x0708_090a);
        let header = PacketHeader { payload_type, marker: true, sequence, timestamp, ssrc }.bytes();
        assert_eq!(header, [0x80, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn a_report_has_the_time_since_1900_and_a_name() {
        let utc = Utc::parse("2026-05-01T04:12:30.500Z").unwrap();
        let cname = b"0123456789abcdef";
        let (ssrc, timestamp, packets, bytes) = (1, 2, 3, 4);
        let report = SenderReport { ssrc, utc, timestamp, packets, bytes, cname }.bytes();
        assert_eq!(report[..8], [0x80, 200, 0, 6, 0, 0, 0, 1]);
        let seconds = u32::from_be_bytes(report[8..12].try_into().unwrap());
        assert_eq!(u64::from(seconds), utc.unix_ms() / 1000 + NTP_EPOCH);
        assert_eq!(report[12..16], [0x80, 0, 0, 0], "half a second");
        assert_eq!(report[28..38], [0x81, 202, 0, 6, 0, 0, 0, 1, 1, 16]);
        assert_eq!(&report[38..54], cname);
        assert_eq!(report.len() % 4, 0);
    }
}
