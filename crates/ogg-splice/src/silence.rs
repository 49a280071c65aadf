//! Silence as Opus has it: three bytes that last 20 ms, whatever was heard before.
//!
//! `F8 FF FE` is a CELT frame of 20 ms, fullband, mono, in which nothing is coded (RFC 6716). With a
//! channel mapping of several Opus streams (RFC 7845, section 5.1.1) each of them gets its own.
//! The last packet of a page is padded (RFC 6716, section 3.2.5), so that the page is as long as
//! the source's were: a browser's media element counts bytes, not time.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "lengths within one page, which is shorter than 64 KiB"
)]

use crate::codec::OpusHead;

/// What one packet of silence lasts, in samples.
pub(crate) const FRAME: u64 = 960;
/// One second, the longest page of silence.
const MOST_PACKETS: usize = 50;

const PACKET: [u8; 3] = [0xf8, 0xff, 0xfe];
/// The same with its length, as all streams but the last have it (RFC 6716, appendix B).
const DELIMITED: [u8; 4] = [0xf8, 2, 0xff, 0xfe];
/// The same frame behind a head that allows for padding, whose length comes in between.
const PADDED: [u8; 2] = [0xfb, 0x41];

/// Makes pages of silence for one stream.
#[derive(Debug)]
pub(crate) struct Silence {
    /// What goes before the last stream's packet.
    others: Vec<u8>,
    packets: usize,
    /// What the page made last was to be.
    wanted: (u64, usize),
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl Silence {
    /// For a stream of this head.
    pub(crate) fn new(head: &OpusHead) -> Self {
        let streams = head.mapping.first().map_or(1, |&streams| usize::from(streams));
        let others = DELIMITED.repeat(streams.saturating_sub(1));
        let segments = (others.len() + PACKET.len()) / 255 + 1;
        // A fifth of the segments is left for padding.
        let packets = MOST_PACKETS.min(200 / segments);
        Self { others, packets, wanted: (0, 0), lacing: Vec::new(), body: Vec::new() }
    }

    /// What a page lasts that is as long as `wanted`, or as near as may be, in samples.
    pub(crate) fn length(&self, wanted: u64) -> u64 {
        (wanted / FRAME).clamp(1, self.packets as u64) * FRAME
    }

    /// The segments of a page of such a [length](Self::length) with `bytes` of body, or as near as
    /// may be. Made anew only if it is another one than the last.
    pub(crate) fn page(&mut self, length: u64, bytes: usize) -> (&[u8], &[u8]) {
        if self.wanted != (length, bytes) {
            self.wanted = (length, bytes);
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

    /// Adds one packet, `size` bytes of it or the least there can be.
    fn add(&mut self, size: usize) {
        let begin = self.body.len();
        self.body.extend_from_slice(&self.others);
        // A length of `n` bytes is said in steps of 254 that cost one byte each.
        match size.saturating_sub(self.others.len() + PADDED.len() + 2) {
            0 => self.body.extend_from_slice(&PACKET),
            rest => {
                let said = rest.div_ceil(255);
                self.body.extend_from_slice(&PADDED);
                self.body.extend(std::iter::repeat_n(255, said - 1));
                self.body.push((rest + 254 - 255 * said) as u8);
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
    fn every_page_lasts_and_is_as_long_as_it_should() {
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
    fn padding_of_any_length_says_its_own_length() {
        for size in 4..2_000 {
            let mut silence = Silence::new(&OpusHead { mapping: Vec::new(), ..head(1) });
            let (_, body) = silence.page(FRAME, size);
            if size == 4 {
                assert_eq!(body, PACKET);
                continue;
            }
            assert_eq!(body.len(), size);
            // As a decoder reads it: steps, then the frame, then what was said.
            let steps = body[2..].iter().take_while(|&&byte| byte == 255).count();
            let said = steps * 254 + usize::from(body[2 + steps]);
            assert_eq!(body.len(), 2 + steps + 1 + 2 + said);
            assert_eq!(body[3 + steps..5 + steps], PACKET[1..]);
        }
    }
}
