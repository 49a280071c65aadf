//! HLS (RFC 8216 and its successor, draft-pantos-hls-rfc8216bis): a mount as files, for phones, for
//! caches that carry a stream further than this server's uplink, and for servers that pull.
//!
//! There is no second store. A segment is cut from the pages in the ring when it is requested: the
//! same Opus packets, in fragmented MP4. The names of files say what they are, so that a cache may
//! keep them.
//!
//! `name` has the names of files, `cut` finds the packets of a segment, `mp4` and `playlist` write
//! files, `dates` knows when a segment was heard, and `listeners` counts clients, which hold no
//! connection. The control plane's `hls` answers requests with them.

mod cut;
mod dates;
mod listeners;
mod listing;
mod mp4;
mod name;
mod playlist;
mod units;

pub use cut::{Fragment, SegmentIndex, StreamCut};
pub use dates::{SegmentDates, StreamDates};
pub use listeners::{HlsClient, HlsListener, HlsListeners};
pub use listing::{StreamState, list};
pub use mp4::{fragment_header, initialization};
pub use name::{HlsFile, HlsPath, PlaylistKind, StreamId};
pub use playlist::{
    Awaited, FarAhead, ListedPart, ListedSegment, ListedStream, Playlist, target_duration,
};
pub use units::{PART, response_memory};

#[cfg(test)]
mod tests;
