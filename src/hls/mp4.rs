//! Opus in fragmented MP4: a beginning for each stream, and a fragment header for each run of
//! packets.
//!
//! Times are in samples at 48 kHz, the unit of Ogg's granule positions, so nothing is rounded.
//! Sources: ISO/IEC 14496-12, and "Encapsulation of Opus in ISO Base Media File Format" (Opus
//! project) for the boxes `Opus` and `dOps`.

use ogg_splice::OpusHead;

/// The only track.
const TRACK: u32 = 1;
const SCALE: u32 = 48_000;
/// A fixed-point 1.0 with 16 fractional bits.
const ONE: u32 = 0x1_0000;
/// The language "und", as three letters of 5 bits.
const UNDETERMINED: u16 = 0x55c4;
/// `tfhd`: data offsets count from the beginning of the `moof` box.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `trun`: it has a data offset, and durations and sizes of samples.
const OFFSET_DURATION_SIZE: u32 = 0x301;
/// `tkhd`: the track is enabled, and used in the presentation and in previews.
const TRACK_ENABLED: u32 = 7;
/// Length of a box's header: its size and type.
const BOX_HEADER: usize = 8;

/// Writes nested boxes, whose sizes are set when they are complete.
#[derive(Default)]
struct Boxes(Vec<u8>);

impl Boxes {
    fn add(&mut self, kind: [u8; 4], content: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.u32(0);
        self.bytes(&kind);
        content(self);
        let size = (self.0.len() - start) as u32;
        self.0[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// A box with a version and flags.
    fn full(&mut self, kind: [u8; 4], version: u8, flags: u32, content: impl FnOnce(&mut Self)) {
        self.add(kind, |boxes| {
            boxes.u32(u32::from(version) << 24 | flags);
            content(boxes);
        });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn zeros(&mut self, count: usize) {
        self.0.resize(self.0.len() + count, 0);
    }

    fn identity_matrix(&mut self) {
        for value in [ONE, 0, 0, 0, ONE, 0, 0, 0, 0x4000_0000] {
            self.u32(value);
        }
    }
}

/// The media initialization section of a stream with this head: the boxes `ftyp` and `moov`.
pub fn initialization(head: &OpusHead) -> Vec<u8> {
    let mut boxes = Boxes::default();
    boxes.add(*b"ftyp", |ftyp| {
        ftyp.bytes(b"iso6");
        ftyp.u32(0);
        ftyp.bytes(b"iso6cmfcmp41");
    });
    boxes.add(*b"moov", |moov| {
        moov.full(*b"mvhd", 0, 0, |mvhd| {
            mvhd.zeros(8);
            mvhd.u32(SCALE);
            mvhd.u32(0);
            mvhd.u32(ONE);
            mvhd.u16(0x100);
            mvhd.zeros(10);
            mvhd.identity_matrix();
            mvhd.zeros(24);
            mvhd.u32(TRACK + 1);
        });
        moov.add(*b"trak", |trak| {
            trak.full(*b"tkhd", 0, TRACK_ENABLED, |tkhd| {
                tkhd.zeros(8);
                tkhd.u32(TRACK);
                tkhd.zeros(20);
                tkhd.u16(0x100);
                tkhd.u16(0);
                tkhd.identity_matrix();
                tkhd.zeros(8);
            });
            trak.add(*b"mdia", |mdia| media(mdia, head));
        });
        moov.add(*b"mvex", |mvex| {
            mvex.full(*b"trex", 0, 0, |trex| {
                trex.u32(TRACK);
                trex.u32(1);
                trex.zeros(12);
            });
        });
    });
    boxes.0
}

fn media(mdia: &mut Boxes, head: &OpusHead) {
    mdia.full(*b"mdhd", 0, 0, |mdhd| {
        mdhd.zeros(8);
        mdhd.u32(SCALE);
        mdhd.u32(0);
        mdhd.u16(UNDETERMINED);
        mdhd.u16(0);
    });
    mdia.full(*b"hdlr", 0, 0, |hdlr| {
        hdlr.u32(0);
        hdlr.bytes(b"soun");
        hdlr.zeros(12);
        hdlr.bytes(b"\0");
    });
    mdia.add(*b"minf", |minf| {
        minf.full(*b"smhd", 0, 0, |smhd| smhd.zeros(4));
        minf.add(*b"dinf", |dinf| {
            dinf.full(*b"dref", 0, 0, |dref| {
                dref.u32(1);
                // The media is in the same file.
                dref.full(*b"url ", 0, 1, |_| {});
            });
        });
        minf.add(*b"stbl", |stbl| {
            stbl.full(*b"stsd", 0, 0, |stsd| {
                stsd.u32(1);
                stsd.add(*b"Opus", |entry| sample_entry(entry, head));
            });
            stbl.full(*b"stts", 0, 0, |stts| stts.u32(0));
            stbl.full(*b"stsc", 0, 0, |stsc| stsc.u32(0));
            stbl.full(*b"stsz", 0, 0, |stsz| stsz.zeros(8));
            stbl.full(*b"stco", 0, 0, |stco| stco.u32(0));
        });
    });
}

fn sample_entry(entry: &mut Boxes, head: &OpusHead) {
    entry.zeros(6);
    entry.u16(1);
    entry.zeros(8);
    entry.u16(u16::from(head.channels));
    entry.u16(16);
    entry.zeros(4);
    entry.u32(SCALE << 16);
    entry.add(*b"dOps", |dops| {
        dops.bytes(&[0, head.channels]);
        // What a decoder discards at the beginning of a recording. A player joins in the middle, and
        // all that it decodes has its place in time (docs/decisions/0053).
        dops.u16(0);
        dops.u32(head.input_rate);
        dops.bytes(&head.gain.to_be_bytes());
        dops.bytes(&[head.family]);
        dops.bytes(&head.mapping);
    });
}

/// The boxes before the bytes of some packets: `moof`, and the header of `mdat`. `packets` are
/// durations and lengths. The first packet is heard at `time`. `sequence` must be greater in each
/// fragment that follows.
pub fn fragment_header(sequence: u32, time: u64, packets: &[(u32, u32)]) -> Vec<u8> {
    let mut boxes = Boxes(Vec::with_capacity(100 + 8 * packets.len()));
    let mut offset_at = 0;
    boxes.add(*b"moof", |moof| {
        moof.full(*b"mfhd", 0, 0, |mfhd| mfhd.u32(sequence));
        moof.add(*b"traf", |traf| {
            traf.full(*b"tfhd", 0, DEFAULT_BASE_IS_MOOF, |tfhd| tfhd.u32(TRACK));
            traf.full(*b"tfdt", 1, 0, |tfdt| tfdt.bytes(&time.to_be_bytes()));
            traf.full(*b"trun", 0, OFFSET_DURATION_SIZE, |trun| {
                trun.u32(packets.len() as u32);
                offset_at = trun.0.len();
                trun.u32(0);
                for &(samples, length) in packets {
                    trun.u32(samples);
                    trun.u32(length);
                }
            });
        });
    });
    let offset = (boxes.0.len() + BOX_HEADER) as u32;
    boxes.0[offset_at..offset_at + 4].copy_from_slice(&offset.to_be_bytes());
    let length: u32 = packets.iter().map(|&(_, length)| length).sum();
    boxes.u32(length + BOX_HEADER as u32);
    boxes.bytes(b"mdat");
    boxes.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks through boxes and returns the types of all, each with its depth.
    fn types(mut bytes: &[u8], depth: usize, into: &mut Vec<(usize, String)>) {
        const CONTAINERS: [&str; 10] =
            ["moov", "trak", "mdia", "minf", "dinf", "stbl", "mvex", "moof", "traf", "stsd"];
        while !bytes.is_empty() {
            let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            let kind = String::from_utf8(bytes[4..8].to_vec()).unwrap();
            let inside = match &*kind {
                "stsd" => 16,
                _ => 8,
            };
            into.push((depth, kind.clone()));
            if CONTAINERS.contains(&&*kind) {
                types(&bytes[inside..size], depth + 1, into);
            }
            bytes = &bytes[size..];
        }
    }

    fn head() -> OpusHead {
        let (pre_skip, input_rate, gain) = (312, 44_100, -256);
        let (family, mapping) = (1, vec![2, 1, 0, 1, 2]);
        OpusHead { channels: 3, pre_skip, input_rate, gain, family, mapping }
    }

    #[test]
    fn the_beginning_has_the_head_of_the_stream() {
        let bytes = initialization(&head());
        let mut all = Vec::new();
        types(&bytes, 0, &mut all);
        assert_eq!(all.len(), 21, "{all:?}");
        let at = bytes.windows(4).position(|window| window == b"dOps").unwrap();
        // Version, channels, no pre-skip, input rate, gain -1 dB, family, mapping.
        let expected = [0, 3, 0, 0, 0, 0, 0xac, 0x44, 0xff, 0x00, 1, 2, 1, 0, 1, 2];
        assert_eq!(bytes[at + 4..][..expected.len()], expected);
    }

    #[test]
    fn the_data_of_a_fragment_begins_where_it_says() {
        let header = fragment_header(7, 0x1_0000_0000, &[(960, 3), (2880, 500)]);
        let moof = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
        assert_eq!(header.len(), moof + 8);
        let mdat = u32::from_be_bytes(header[moof..moof + 4].try_into().unwrap());
        assert_eq!(mdat, 8 + 503);
        let trun = header.windows(4).position(|window| window == b"trun").unwrap();
        let word = |at: usize| u32::from_be_bytes(header[trun + at..][..4].try_into().unwrap());
        assert_eq!((word(8), word(12) as usize), (2, header.len()));
        assert_eq!((word(16), word(20), word(24), word(28)), (960, 3, 2880, 500));
    }
}
