//! A clip: a part of what a mount's ring holds, as a finished Ogg/Opus file.
//!
//! The packets are those of the stream, so nothing is decoded. The pages are new: they begin at 0, and a
//! decoder discards (RFC 7845, section 4.2) what comes before the first sample and after the last one,
//! so the file has exactly the samples that were asked for. A clip is read from the ring while it is
//! sent, so it takes no memory for its audio.
//!
//! [`ClipSpan`] is what a client asks for, [`ClipCut`] which packets that are, and [`ClipReader`] makes the
//! pages.

mod cut;
mod reader;
mod span;

pub use cut::{ClipCut, ClipPart, NotHeld, audio_since, held};
pub use reader::{ClipReader, ClipSize, Overwritten};
pub use span::ClipSpan;
pub(crate) use span::time_of;
