//! The framing of a source's request body.
//!
//! Icecast encoders use no framing: the body ends when they close the connection. HTTP clients use
//! chunked framing (RFC 9112, section 7.1) or `Content-Length`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

/// The framing of one body, and the state of parsing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// The body ends with the connection.
    Raw,
    /// `Content-Length`: this many bytes are still missing.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(ChunkState),
}

/// Which part of the chunked framing the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkState {
    /// A chunk size: whether it has a digit yet, and its value so far.
    Size(bool, u64),
    /// The rest of the line after a chunk size: the size, and the bytes skipped so far.
    Extension(u64, u16),
    /// Chunk data: the number of bytes still missing.
    Data(u64),
    /// The line break after chunk data.
    DataEnd,
    /// The trailer: whether this is the start of a line, and the bytes skipped so far.
    Trailer(bool, u16),
    /// After the end of the body.
    Done,
}

/// The longest chunk extension or trailer that is skipped, in bytes.
const MAX_EXTENSION: u16 = 4096;

/// The chunked framing violates RFC 9112, section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunked body with invalid framing")]
pub struct BrokenChunks;

impl BodyFraming {
    /// The initial state of a chunked body.
    pub const CHUNKED: Self = Self::Chunked(ChunkState::Size(false, 0));

    /// Whether the body can end before the connection does.
    pub fn is_framed(&self) -> bool {
        !matches!(self, Self::Raw)
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(ChunkState::Done))
    }

    /// Removes the framing from newly read bytes, in place. Returns the number of body bytes, which
    /// are now at the front.
    ///
    /// # Errors
    /// [`BrokenChunks`] if the chunked framing is invalid.
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
    #[allow(clippy::match_same_arms, reason = "the arms are in the order of the states")]
    fn step(self, byte: u8) -> Result<Self, BrokenChunks> {
        let after_size = |size| if size == 0 { Self::Trailer(true, 0) } else { Self::Data(size) };
        let increment = |length: u16| {
            if length < MAX_EXTENSION { Ok(length.saturating_add(1)) } else { Err(BrokenChunks) }
        };
        Ok(match (self, byte) {
            (Self::Size(_, size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                let size = size.checked_mul(16).and_then(|size| size.checked_add(digit));
                Self::Size(true, size.ok_or(BrokenChunks)?)
            }
            (Self::Size(true, size), b';' | b' ' | b'\t' | b'\r') => Self::Extension(size, 0),
            (Self::Size(true, size) | Self::Extension(size, _), b'\n') => after_size(size),
            (Self::Extension(size, length), _) => Self::Extension(size, increment(length)?),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(false, 0),
            (Self::Trailer(true, _), b'\n') => Self::Done,
            (Self::Trailer(_, length), b'\n') => Self::Trailer(true, increment(length)?),
            (Self::Trailer(start, length), b'\r') => Self::Trailer(start, increment(length)?),
            (Self::Trailer(_, length), _) => Self::Trailer(false, increment(length)?),
            // Bytes after the end are discarded.
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
        fn chunks_are_decoded_from_reads_of_any_size(
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
    fn invalid_chunk_sizes_are_refused() {
        let long_extension = format!("1;{}", "x".repeat(5_000));
        for wire in
            [&long_extension, "\r\n", "xyz\r\n", "11111111111111111\r\n", "1\r\nab\r\n", "-1\r\n"]
        {
            assert_eq!(
                strip(&mut { BodyFraming::CHUNKED }, wire.as_bytes(), 3),
                Err(BrokenChunks),
                "{wire}"
            );
        }
    }

    #[test]
    fn bytes_beyond_the_content_length_are_discarded() {
        let mut body = BodyFraming::Length(5);
        assert_eq!(strip(&mut body, b"12345678", 3).unwrap(), b"12345");
        assert!(body.is_done() && !BodyFraming::Raw.is_done());
    }
}
