//! A mount: one source publishes pages to it, and any number of listeners read them.
//!
//! A mount has two halves, which the compiler keeps apart:
//!
//! - [`HomeMount`] belongs to one data-plane thread, which the mount's name selects. It holds the
//!   claims of the sources and the logical stream, and cannot leave its thread (`!Send`).
//! - [`SharedMount`] is what listeners on any thread use: the pages and the wake-up for new ones.
//!
//! A source publishes through a [`Claim`]. A claim takes over the mount when the headers of its
//! stream are complete, so a source that sends no valid stream does not interrupt the current one.
//! The stream outlives its source: silence fills the time until the next source continues it, or
//! until the hold time is over. Readers see the pages through a [`MountView`]. [`MountTable`] lists all
//! mounts.

mod arrivals;
mod bans;
mod claim;
mod demand;
mod gap_filler;
mod home;
mod known;
mod listener_directory;
mod logical_stream;
mod name;
mod operator;
mod page_log;
mod pattern;
mod ring;
mod ring_page;
mod settings;
mod shared;
mod silences;
mod source_slots;
mod stats;
mod stream_history;
mod stream_info;
mod stream_packets;
mod table;
mod takeovers;
mod view;

pub(crate) use bans::BAN_MEMORY;
pub use claim::{Claim, Revocation, RevokeReason};
pub use demand::{Demand, Offer, WaitingListener};
pub use gap_filler::fill_gaps;
pub use home::HomeMount;
pub use known::{KNOWN_MOUNT_MEMORY, MAX_KNOWN_MOUNTS, OffMount};
pub use listener_directory::{
    Departure, ListenerDirectory, ListenerInfo, ListenerProtocol, Progress, Registration,
};
pub use name::{MAX_NAME, Name, NameError};
pub use operator::Operator;
pub use page_log::{JoinPoint, PageLog};
pub use pattern::{Pattern, PatternError};
pub use ring::{Cursor, Lag, MIN_RING, Ring};
pub use ring_page::{PlacedPacket, RingPacket, RingPage};
pub use settings::{
    Burst, DetectionSettings, Gap, HlsSettings, MountRules, MountSettings, RingLength, WebRtcSwitch,
};
pub use shared::{MountEntry, Reservation, SharedMount};
pub use stats::{MAX_THREADS, MountCounters, StreamGauges};
pub use stream_history::{
    MAX_STREAMS, STREAM_HISTORY_MEMORY, StreamEnd, StreamHistory, StreamRecord, duration, samples,
};
pub use stream_info::{Description, SourceInfo, SourceState, StreamInfo};
pub use stream_packets::StreamPackets;
pub use table::{MountTable, NoRoom};
pub use view::{MountView, PageLogRef};
