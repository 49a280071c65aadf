//! Ogg (RFC 3533) as a live relay needs it: find the pages, know the headers, make one stream of many.
//!
//! Pure: bytes and the time in, pages out. No sockets, no clocks, and after the headers no allocation.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod codec;
mod edge;
mod opus;
mod page;
mod scan;
mod silence;
mod splice;
mod stream;
mod tags;
mod timeline;

pub use codec::{Codec, OpusHead, Unknown};
pub use opus::{page_samples, samples};
#[cfg(test)]
pub(crate) use page::seal;
pub use page::{CAPTURE, MAX_PAGE, PAGE_HEADER, Page, Probe, Stamp, Stamped, restamp, write};
pub use scan::Scanner;
pub use splice::{MAX_PACKET, Splice, Tally};
pub use stream::{Headers, MAX_HEADERS, MAX_KEPT_HEADERS, Part, Refusal, Stream};
pub use tags::Tags;
