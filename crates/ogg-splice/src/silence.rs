//! Pages of Opus silence, with as many bytes as the source's pages have.
//!
//! `F8 FF FE` is a fullband mono CELT frame of 20 ms in which nothing is coded (RFC 6716). It is
//! silent whatever precedes it. With a channel mapping of several Opus streams (RFC 7845, section
//! 5.1.1), a packet has one such frame for each of them.
//!
//! A browser's media element buffers by bytes, not by time, and three bytes in 20 ms would fill its
//! buffer slowly. So the last packet of a page is padded (RFC 6716, section 3.2.5).

#![allow(
    clippy::arithmetic_side_effects,
    reason = "lengths within one page, which is shorter than 64 KiB"
)]

use crate::codec::OpusHead;

/// Duration of one packet of silence, in samples.
pub(crate) const FRAME: u64 = 960;
/// Packets on the longest page of silence: one second.
const MOST_PACKETS: usize = 50;

/// A packet for one stream, and the last one's part of a packet for several.
const PACKET: [u8; 3] = [0xf8, 0xff, 0xfe];
/// The other streams' parts, which have a length as well (RFC 6716, appendix B).
const DELIMITED: [u8; 4] = [0xf8, 2, 0xff, 0xfe];
/// The beginning of a padded packet: code 3, one frame, with padding. The padding's length follows.
const PADDED: [u8; 2] = [0xfb, 0x41];

/// Makes pages of silence for one stream.
#[derive(Debug)]
pub(crate) struct Silence {
    /// The parts of all streams but the last.
    others: Vec<u8>,
    /// The most packets on a page.
    packets: usize,
    /// Length and size that the page below was made for.
    made: (u64, usize),
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl Silence {
    /// For a stream with this head.
    pub(crate) fn new(head: &OpusHead) -> Self {
        let streams = head.mapping.first().map_or(1, |&streams| usize::from(streams));
        let others = DELIMITED.repeat(streams.saturating_sub(1));
        let segments = (others.len() + PACKET.len()) / 255 + 1;
        // A fifth of the segments is left for padding.
        let packets = MOST_PACKETS.min(200 / segments);
        Self { others, packets, made: (0, 0), lacing: Vec::new(), body: Vec::new() }
    }

    /// Duration, in samples, of the page of silence closest to `wanted`.
    pub(crate) fn length(&self, wanted: u64) -> u64 {
        (wanted / FRAME).clamp(1, self.packets as u64) * FRAME
    }

    /// Segment table and body of a page of `length` samples, as [`Self::length`] returns it. The
    /// body has `bytes` bytes, or as near to that as possible. Rebuilt only if it differs from
    /// the last one.
    pub(crate) fn page(&mut self, length: u64, bytes: usize) -> (&[u8], &[u8]) {
        if self.made != (length, bytes) {
            self.made = (length, bytes);
            self.lacing.clear();
            self.body.clear();
            for _ in 1..length / FRAME {
                self.add(0);
            }
            let room = (255 - self.lacing.len()) * 255 - 1;
            self.add(bytes.saturating_sub(self.body.len()).min(room));
        }
        (&self.lacing, &self.body)
    }

    /// Adds one packet of `size` bytes, or of the fewest possible.
    fn add(&mut self, size: usize) {
        let begin = self.body.len();
        self.body.extend_from_slice(&self.others);
        // The length of the padding is coded in steps of 254, each of which takes one byte more.
        match size.saturating_sub(self.others.len() + PADDED.len() + 2) {
            0 => self.body.extend_from_slice(&PACKET),
            rest => {
                let length_bytes = rest.div_ceil(255);
                self.body.extend_from_slice(&PADDED);
                self.body.extend(std::iter::repeat_n(255, length_bytes - 1));
                self.body.push((rest + 254 - 255 * length_bytes) as u8);
                self.body.extend_from_slice(&PACKET[1..]);
                self.body.resize(begin + size, 0);
            }
        }
        let size = self.body.len() - begin;
        self.lacing.extend(std::iter::repeat_n(255, size / 255));
        self.lacing.push((size % 255) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opus::packet_samples;

    fn head(streams: u8) -> OpusHead {
        let mapping = [&[streams, 0][..], &vec![0; usize::from(streams)]].concat();
        let (channels, family) = (streams, 1);
        OpusHead { channels, pre_skip: 0, input_rate: 0, gain: 0, family, mapping }
    }

    #[test]
    fn pages_have_the_wanted_duration_and_size() {
        for streams in [1, 2, 8, 255] {
            let mut silence = Silence::new(&head(streams));
            let least = 4 * usize::from(streams) - 1;
            for (wanted, bytes) in
                [(960, 0), (960, 160), (2880, 5_000), (48_000, 8_000), (48_000, 1 << 20)]
            {
                let length = silence.length(wanted);
                let packets = (length / FRAME) as usize;
                let (lacing, body) = silence.page(length, bytes);
                assert!(lacing.len() <= 255);
                assert_eq!(lacing.iter().filter(|&&l| l < 255).count(), packets);
                assert_eq!(lacing.iter().map(|&l| usize::from(l)).sum::<usize>(), body.len());
                let fits = bytes > packets * least && bytes < 40_000;
                assert!(!fits || body.len() == bytes, "{streams} {wanted} {bytes}: {}", body.len());
                let last = &body[(packets - 1) * least + least - 3..];
                assert_eq!(packet_samples(last), Some(FRAME));
            }
        }
    }

    #[test]
    fn padding_of_any_length_is_coded_as_decoders_read_it() {
        for size in 4..2_000 {
            let mut silence = Silence::new(&OpusHead { mapping: Vec::new(), ..head(1) });
            let (_, body) = silence.page(FRAME, size);
            if size == 4 {
                assert_eq!(body, PACKET);
                continue;
            }
            assert_eq!(body.len(), size);
            // As a decoder reads it: the steps of the length, the frame, the padding.
            let steps = body[2..].iter().take_while(|&&byte| byte == 255).count();
            let padding = steps * 254 + usize::from(body[2 + steps]);
            assert_eq!(body.len(), 2 + steps + 1 + 2 + padding);
            assert_eq!(body[3 + steps..5 + steps], PACKET[1..]);
        }
    }
}
