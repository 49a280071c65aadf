//! Ogg (RFC 3533) as a live relay needs it: find the pages, know the headers, make one stream of many.
//!
//! Pure: bytes and the time in, pages out. No sockets, no clocks, and after the headers no allocation.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod codec;
mod headers;
mod live_edge;
mod opus;
mod page;
mod scan;
mod silence;
mod source;
mod splice;
mod stream;
mod tags;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timeline;

pub use codec::{Codec, CodecError, OpusHead};
pub use headers::{Headers, MAX_HEADERS, MAX_KEPT_HEADERS};
pub use opus::{packet_samples, page_samples};
pub use page::{
    CAPTURE_PATTERN, MAX_PAGE, OutputPage, PAGE_HEADER_LEN, Page, PageHeader, Probe,
    rewrite_header, write_page,
};
pub use scan::Scanner;
pub use splice::{MAX_PACKET, Splice, SpliceStats};
pub use stream::{PageRole, StreamError, StreamReader};
pub use tags::Tags;
