//! Where a source's body ends, and what of it is framing.
//!
//! Encoders send neither a length nor chunks: the body is whatever comes until they
//! hang up. Ordinary HTTP uploaders chunk (RFC 9112, section 7.1) or say a length.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

/// The framing of one body, and how far it has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// Until the connection ends.
    Raw,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunked.
    Chunked(ChunkState),
}

/// Where in the chunked framing the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkState {
    /// In the digits of a size; whether there was one, and its value so far.
    Size(bool, u64),
    /// In what follows the size on its line; the size, and how long the line is already.
    Extension(u64, u16),
    /// In data, so many bytes to go.
    Data(u64),
    /// In the line break after data.
    DataEnd,
    /// In the trailer, at a line's beginning or not; how long it is already.
    Trailer(bool, u16),
    /// After the end.
    Done,
}

/// The longest chunk extension or trailer that is read over, in bytes.
const MAX_EXTENSION: u16 = 4096;

/// The framing is not what RFC 9112 says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunked body with broken chunk sizes")]
pub struct BrokenChunks;

impl BodyFraming {
    /// A chunked body at its beginning.
    pub const CHUNKED: Self = Self::Chunked(ChunkState::Size(false, 0));

    /// Whether the end of the body can be told from the end of the connection.
    pub fn is_framed(&self) -> bool {
        !matches!(self, Self::Raw)
    }

    /// Whether all of it has come.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(ChunkState::Done))
    }

    /// Takes the framing out of newly read bytes, in place; returns how many bytes of body are
    /// left at the front.
    ///
    /// # Errors
    /// [`BrokenChunks`].
    pub fn strip(&mut self, bytes: &mut [u8]) -> Result<usize, BrokenChunks> {
        match self {
            Self::Raw => Ok(bytes.len()),
            Self::Length(left) => {
                let take = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left = left.saturating_sub(take as u64);
                Ok(take)
            }
            Self::Chunked(chunk) => chunk.strip(bytes),
        }
    }
}

impl ChunkState {
    fn strip(&mut self, bytes: &mut [u8]) -> Result<usize, BrokenChunks> {
        let (mut read, mut kept) = (0, 0);
        while read < bytes.len() {
            if let Self::Data(left) = *self {
                let rest = bytes.len().saturating_sub(read);
                let take = rest.min(usize::try_from(left).unwrap_or(usize::MAX));
                bytes.copy_within(read..read.saturating_add(take), kept);
                (read, kept) = (read.saturating_add(take), kept.saturating_add(take));
                let left = left.saturating_sub(take as u64);
                *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
            } else {
                *self = self.step(bytes[read])?;
                read = read.saturating_add(1);
            }
        }
        Ok(kept)
    }

    /// The state after one byte of framing.
    #[allow(clippy::match_same_arms, reason = "a table of states reads best in their order")]
    fn step(self, byte: u8) -> Result<Self, BrokenChunks> {
        let sized = |size| if size == 0 { Self::Trailer(true, 0) } else { Self::Data(size) };
        let longer = |length: u16| {
            if length < MAX_EXTENSION { Ok(length.saturating_add(1)) } else { Err(BrokenChunks) }
        };
        Ok(match (self, byte) {
            (Self::Size(_, size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                let size = size.checked_mul(16).and_then(|size| size.checked_add(digit));
                Self::Size(true, size.ok_or(BrokenChunks)?)
            }
            (Self::Size(true, size), b';' | b' ' | b'\t' | b'\r') => Self::Extension(size, 0),
            (Self::Size(true, size) | Self::Extension(size, _), b'\n') => sized(size),
            (Self::Extension(size, length), _) => Self::Extension(size, longer(length)?),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(false, 0),
            (Self::Trailer(true, _), b'\n') => Self::Done,
            (Self::Trailer(_, length), b'\n') => Self::Trailer(true, longer(length)?),
            (Self::Trailer(start, length), b'\r') => Self::Trailer(start, longer(length)?),
            (Self::Trailer(_, length), _) => Self::Trailer(false, longer(length)?),
            // Whatever comes after the end is not ours to read.
            (Self::Done, _) => Self::Done,
            _ => return Err(BrokenChunks),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(body: &mut BodyFraming, input: &[u8], cut: usize) -> Result<Vec<u8>, BrokenChunks> {
        let mut out = Vec::new();
        for piece in input.chunks(cut) {
            let mut piece = piece.to_vec();
            let kept = body.strip(&mut piece)?;
            out.extend_from_slice(&piece[..kept]);
        }
        Ok(out)
    }

    proptest! {
        #[test]
        fn chunks_come_out_whole_however_they_are_cut(
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..10),
            cut in 1usize..400,
        ) {
            let mut wire = Vec::new();
            for chunk in &data {
                wire.extend(format!("{:X};x=\"y\"\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\nTrailer: 1\r\n\r\n");
            let mut body = BodyFraming::CHUNKED;
            prop_assert_eq!(strip(&mut body, &wire, cut).unwrap(), data.concat());
            prop_assert!(body.is_done());
        }
    }

    #[test]
    fn broken_sizes_are_refused() {
        let endless = format!("1;{}", "x".repeat(5_000));
        for wire in [&endless, "\r\n", "xyz\r\n", "11111111111111111\r\n", "1\r\nab\r\n", "-1\r\n"]
        {
            assert_eq!(
                strip(&mut { BodyFraming::CHUNKED }, wire.as_bytes(), 3),
                Err(BrokenChunks),
                "{wire}"
            );
        }
    }

    #[test]
    fn a_length_is_kept_to() {
        let mut body = BodyFraming::Length(5);
        assert_eq!(strip(&mut body, b"12345678", 3).unwrap(), b"12345");
        assert!(body.is_done() && !BodyFraming::Raw.is_done());
    }
}
