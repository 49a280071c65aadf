//! Detections: which species a detector has heard in the audio of a mount, and when.
//!
//! Detectors such as BirdNET-Go post them, some seconds after the call. [`Post`] reads what they send and
//! says everything that is wrong with it, and [`DetectionLog`] keeps the latest of each mount in memory.
//! Detections are text from elsewhere: they are limited in length and number, and have no control
//! characters.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod check;
mod detection;
mod item;
mod local_time;
mod log;
mod post;
mod problems;
mod read_options;
mod table;

pub use detection::{DETECTION_MEMORY, Detection};
pub use log::{DetectionCount, DetectionLog, Kept, KeptDetection};
pub use post::Post;
pub use problems::Problems;
pub use read_options::{MAX_POSTED, PostFormat, ReadOptions};
