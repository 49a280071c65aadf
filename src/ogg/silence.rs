//! Silence as Opus has it: three bytes that last 20 ms, whatever was heard before.
//!
//! `F8 FF FE` is a CELT frame of 20 ms, fullband, mono, in which nothing is coded (RFC 6716). With a
//! channel mapping of several Opus streams (RFC 7845, section 5.1.1) each of them gets its own.

use super::codec::OpusHead;

/// What one packet of silence lasts, in samples.
pub(super) const FRAME: u64 = 960;
/// One second, the longest page of silence.
const MOST_PACKETS: usize = 50;

const PACKET: [u8; 3] = [0xf8, 0xff, 0xfe];
/// The same with its length, as all streams but the last have it (RFC 6716, appendix B).
const DELIMITED: [u8; 4] = [0xf8, 2, 0xff, 0xfe];

/// Pages of silence for one stream, made once.
#[derive(Debug)]
pub(super) struct Silence {
    lacing: Vec<u8>,
    body: Vec<u8>,
    most: usize,
}

impl Silence {
    /// For a stream of this head.
    pub(super) fn new(head: &OpusHead) -> Self {
        let streams = head.mapping.first().map_or(1, |&streams| usize::from(streams));
        let packet = [&DELIMITED.repeat(streams - 1)[..], &PACKET].concat();
        let mut lacing = vec![255; packet.len() / 255];
        lacing.push((packet.len() % 255) as u8);
        let most = MOST_PACKETS.min(255 / lacing.len());
        Self { lacing: lacing.repeat(most), body: packet.repeat(most), most }
    }

    /// What a page lasts that is as long as `wanted`, or as near as may be, in samples.
    pub(super) fn length(&self, wanted: u64) -> u64 {
        (wanted / FRAME).clamp(1, self.most as u64) * FRAME
    }

    /// The segments of a page of such a [length](Self::length).
    pub(super) fn segments(&self, length: u64) -> (&[u8], &[u8]) {
        let packets = (length / FRAME) as usize;
        let part = |all: &[u8]| all.len() / self.most * packets;
        (&self.lacing[..part(&self.lacing)], &self.body[..part(&self.body)])
    }
}
