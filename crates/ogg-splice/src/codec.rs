//! The codec of a logical stream, read from the first packet of its first page.
//!
//! FLAC and Vorbis are passed on as they are, so only as much of them is read as a relay needs:
//! what their granule positions count, and which packets are headers.

use crate::page::Page;

/// The codec of a stream, with what its identification header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Opus (RFC 7845).
    Opus(OpusHead),
    /// FLAC (the FLAC project's "Ogg FLAC Mapping", version 1.0).
    Flac {
        /// Samples per second.
        rate: u32,
        /// Number of channels.
        channels: u8,
        /// Number of header packets after the first; 0 if the encoder did not say.
        more_headers: u16,
    },
    /// Vorbis (the Vorbis I specification, section 4.2).
    Vorbis {
        /// Samples per second.
        rate: u32,
        /// Number of channels.
        channels: u8,
    },
}

/// The identification header of Opus (RFC 7845, section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusHead {
    /// Number of output channels.
    pub channels: u8,
    /// Samples at 48 kHz that a decoder discards at the beginning.
    pub pre_skip: u16,
    /// Sample rate of the original input in Hz, for information only: Opus counts at 48 kHz.
    pub input_rate: u32,
    /// Output gain in dB, as a fixed-point number with 8 fractional bits (Q7.8).
    pub gain: i16,
    /// Channel mapping family (section 5.1.1): 0 is mono or stereo, 1 surround, 255 undefined.
    pub family: u8,
    /// Channel mapping table: number of streams, number of coupled streams, and an index for each
    /// channel. Empty for family 0.
    pub mapping: Vec<u8>,
}

/// Why a first page has no known codec. The text completes the sentence "this is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not one of the codecs of [`Codec`].
    #[error("an Ogg stream of a codec other than Opus, FLAC or Vorbis")]
    Unknown,
    /// Opus, with an identification header that RFC 7845 does not allow.
    #[error("an Opus stream with a broken identification header")]
    Opus,
    /// FLAC, with an incomplete or wrong identification header.
    #[error("a FLAC stream with a broken identification header")]
    Flac,
    /// Vorbis, with an incomplete or wrong identification header.
    #[error("a Vorbis stream with a broken identification header")]
    Vorbis,
}

impl Codec {
    /// Whether packets of this codec are those that RTP carries as `opus`: Opus of one or two
    /// channels (RFC 7587).
    pub fn is_in_rtp(&self) -> bool {
        matches!(self, Self::Opus(head) if head.family == 0)
    }

    /// Reads the codec from a stream's first page.
    ///
    /// # Errors
    /// [`CodecError`] if the codec is another one, or its identification header is not valid.
    pub fn of(first: &Page<'_>) -> Result<Self, CodecError> {
        let Some((packet, true)) = first.pieces().next() else {
            return Err(CodecError::Unknown);
        };
        if packet.starts_with(b"OpusHead") {
            OpusHead::read(packet).map(Self::Opus).ok_or(CodecError::Opus)
        } else if packet.starts_with(b"\x7fFLAC") {
            read_flac(packet).ok_or(CodecError::Flac)
        } else if packet.starts_with(b"\x01vorbis") {
            read_vorbis(packet).ok_or(CodecError::Vorbis)
        } else {
            Err(CodecError::Unknown)
        }
    }

    /// The codec's name, as in Icecast's status (`subtype`).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opus(_) => "Opus",
            Self::Flac { .. } => "FLAC",
            Self::Vorbis { .. } => "Vorbis",
        }
    }

    /// Whether a decoder of this stream can decode the packets of `next` as if they were of the
    /// same stream. Only Opus with the same channels and gain can.
    pub fn can_continue_with(&self, next: &Self) -> bool {
        // The other fields have no effect in mid-stream: pre-skip counts only at the beginning, and
        // the sample rate is for information.
        matches!((self, next), (Self::Opus(this), Self::Opus(next))
            if (this.channels, this.family, this.gain, &this.mapping)
                == (next.channels, next.family, next.gain, &next.mapping))
    }

    /// Number of channels.
    pub fn channels(&self) -> u8 {
        match self {
            Self::Opus(head) => head.channels,
            Self::Flac { channels, .. } | Self::Vorbis { channels, .. } => *channels,
        }
    }

    /// How much a granule position advances in one second.
    pub fn granules_per_second(&self) -> u32 {
        match self {
            Self::Opus(_) => 48_000,
            Self::Flac { rate, .. } | Self::Vorbis { rate, .. } => *rate,
        }
    }
}

impl OpusHead {
    /// The header as a packet (RFC 7845, section 5.1).
    pub fn packet(&self) -> Vec<u8> {
        let mut packet = b"OpusHead\x01".to_vec();
        packet.push(self.channels);
        packet.extend_from_slice(&self.pre_skip.to_le_bytes());
        packet.extend_from_slice(&self.input_rate.to_le_bytes());
        packet.extend_from_slice(&self.gain.to_le_bytes());
        packet.push(self.family);
        packet.extend_from_slice(&self.mapping);
        packet
    }

    fn read(packet: &[u8]) -> Option<Self> {
        let (head, mapping) = packet.split_at_checked(19)?;
        let (version, channels, family) = (head[8], head[9], head[18]);
        // The upper four bits are the major version; readers accept any minor version.
        if version >> 4 != 0 || channels == 0 {
            return None;
        }
        let mapping = if family == 0 {
            (channels <= 2).then_some(&[][..])?
        } else {
            let mapping = mapping.get(..2 + usize::from(channels))?;
            let (streams, coupled) = (mapping[0], mapping[1]);
            let decoded = u16::from(streams).saturating_add(u16::from(coupled));
            let known = |&index: &u8| index == 255 || u16::from(index) < decoded;
            let sound = streams > 0 && coupled <= streams && decoded <= 255;
            (sound && mapping[2..].iter().all(known)).then_some(mapping)?
        };
        Some(Self {
            channels,
            pre_skip: u16::from_le_bytes([head[10], head[11]]),
            input_rate: u32::from_le_bytes([head[12], head[13], head[14], head[15]]),
            gain: i16::from_le_bytes([head[16], head[17]]),
            family,
            mapping: mapping.to_vec(),
        })
    }
}

fn read_flac(packet: &[u8]) -> Option<Codec> {
    // 0x7f "FLAC", version, header count, "fLaC", block header, then STREAMINFO.
    let info = packet.get(17..17 + 34)?;
    if &packet[9..13] != b"fLaC" || packet[13] & 0x7f != 0 {
        return None;
    }
    let rate = u32::from_be_bytes([0, info[10], info[11], info[12]]) >> 4;
    let channels = ((info[12] >> 1) & 0x07).saturating_add(1);
    let more_headers = u16::from_be_bytes([packet[7], packet[8]]);
    (rate > 0).then_some(Codec::Flac { rate, channels, more_headers })
}

fn read_vorbis(packet: &[u8]) -> Option<Codec> {
    let head = packet.get(7..30)?;
    let channels = head[4];
    let rate = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
    (head[..4] == [0; 4] && channels > 0 && rate > 0).then_some(Codec::Vorbis { rate, channels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{PageHeader, Probe, write_page};

    fn read(packet: &[u8]) -> Result<Codec, CodecError> {
        let mut bytes = Vec::new();
        write_page(&mut bytes, PageHeader { first: true, ..PageHeader::default() }, &[packet]);
        let Probe::Page(page) = Page::probe(&bytes) else { panic!("not a page") };
        Codec::of(&page)
    }

    const STEREO: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";

    #[test]
    fn an_opus_head_is_read_whole() {
        let Ok(Codec::Opus(head)) = read(STEREO) else { panic!("not Opus") };
        assert_eq!((head.channels, head.pre_skip, head.input_rate), (2, 312, 48_000));
    }

    #[test]
    fn broken_opus_heads_are_refused() {
        for cut in 8..STEREO.len() {
            assert_eq!(read(&STEREO[..cut]), Err(CodecError::Opus), "cut at {cut}");
        }
        let broken = |at: usize, value: u8, tail: &[u8]| {
            let mut packet = STEREO.to_vec();
            packet[at] = value;
            packet.extend_from_slice(tail);
            read(&packet)
        };
        assert_eq!(broken(8, 0x10, &[]), Err(CodecError::Opus), "major version");
        assert_eq!(broken(9, 0, &[]), Err(CodecError::Opus), "no channels");
        assert_eq!(broken(9, 3, &[]), Err(CodecError::Opus), "three channels in family 0");
        assert_eq!(broken(18, 1, &[]), Err(CodecError::Opus), "no mapping");
        assert_eq!(broken(18, 1, &[0, 0, 0, 1]), Err(CodecError::Opus), "no streams");
        assert_eq!(
            broken(18, 1, &[1, 2, 0, 1]),
            Err(CodecError::Opus),
            "more coupled than streams"
        );
        assert_eq!(broken(18, 1, &[1, 1, 0, 2]), Err(CodecError::Opus), "index beyond the streams");
        assert!(broken(18, 1, &[1, 1, 0, 255]).is_ok());
    }

    #[test]
    fn other_codecs_are_named_or_refused() {
        let flac = [
            b"\x7fFLAC\x01\x00\x00\x02fLaC\x00\x00\x00\x22".as_slice(),
            &[
                0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x00, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        ]
        .concat();
        assert_eq!(read(&flac), Ok(Codec::Flac { rate: 48_000, channels: 1, more_headers: 2 }));
        assert_eq!(read(&flac[..40]), Err(CodecError::Flac));
        assert_eq!(read(b"\x01vorbis"), Err(CodecError::Vorbis));
        assert_eq!(read(b"Speex   "), Err(CodecError::Unknown));
    }
}
