//! The duration of Opus packets (RFC 6716, section 3.1).

use crate::page::Page;

/// Duration of an Opus packet, in samples at 48 kHz; `None` if it is not a valid packet.
///
/// It is read from the first byte or two (RFC 6716, section 3.1). The rest of the packet is not
/// checked.
pub fn packet_samples(packet: &[u8]) -> Option<u64> {
    let (&toc, rest) = packet.split_first()?;
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..16 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(rest.first()? & 0x3f),
    };
    // A packet has at most 120 ms.
    Some(u64::saturating_mul(frame, frames)).filter(|samples| (1..=5760).contains(samples))
}

/// Duration of the Opus packets that end on a page, in samples at 48 kHz.
///
/// A packet that began on an earlier page is read from what is here of it, so this is exact only
/// for pages without one.
pub fn page_samples(page: &Page<'_>) -> u64 {
    page.pieces().filter(|(_, ends)| *ends).filter_map(|(packet, _)| packet_samples(packet)).sum()
}

#[cfg(test)]
mod tests {
    use super::packet_samples;

    #[test]
    fn packets_last_as_their_first_byte_says() {
        assert_eq!(packet_samples(&[0xf8, 0xff, 0xfe]), Some(960), "the 20 ms silence frame");
        assert_eq!(packet_samples(&[0x18]), Some(2880), "SILK, 60 ms");
        assert_eq!(packet_samples(&[0x60, 0]), Some(480), "hybrid, 10 ms");
        assert_eq!(packet_samples(&[0xe0]), Some(120), "CELT, 2.5 ms");
        assert_eq!(packet_samples(&[0xf9]), Some(1920), "two frames");
        assert_eq!(packet_samples(&[0xfb, 0x03]), Some(2880), "three frames");
        for wrong in [&[][..], &[0xfb], &[0xfb, 0], &[0x1b, 3]] {
            assert_eq!(packet_samples(wrong), None, "{wrong:?}");
        }
    }
}
