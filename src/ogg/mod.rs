//! Ogg (RFC 3533) as a live relay needs it: find the pages, know the headers.
//!
//! Pure: bytes in, pages out. No sockets, no clocks, and after the headers no allocation.

mod codec;
mod opus;
mod page;
mod scan;
mod stream;
mod tags;

pub use codec::{Codec, OpusHead, Unknown};
pub use opus::{page_samples, samples};
pub use page::{CAPTURE, MAX_PAGE, Page, Probe, Stamp, restamp, write};
pub use scan::Scanner;
pub use stream::{Headers, MAX_HEADERS, Part, Refusal, Stream};
pub use tags::Tags;
