//! How a request with detections is read.

use crate::utc::Utc;

/// The most detections in one request.
pub const MAX_POSTED: usize = 256;
/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostFormat {
    /// JSON.
    Json,
    /// A table of BirdNET-Analyzer, with times from the beginning of the audio, which was then.
    Table(Utc),
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// What it is.
    pub format: PostFormat,
    /// Added to all times, in microseconds.
    pub shift: i64,
    /// When it was received.
    pub received: Utc,
}
