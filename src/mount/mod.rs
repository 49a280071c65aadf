//! A mount: where one source's pages go in and any number of listeners take them out.
//!
//! A mount has two halves, and the compiler keeps them apart:
//!
//! - [`HomeMount`] belongs to the one data-plane thread that the mount's name chooses. It holds the
//!   sources and the logical stream in the making, and cannot leave its thread (`!Send`).
//! - [`SharedMount`] is what listeners on any thread read: the pages and who to wake for new ones.
//!
//! A source publishes through a [`Claim`]. It takes the mount over when its stream's headers are
//! complete, so a source that turns out to send no stream takes nothing from anybody. The stream
//! outlives its source: the next source continues it, and silence fills the time between, until the
//! hold time is over. Readers see the pages through a [`MountView`]. [`Table`] lists all mounts.

mod claim;
mod gap_filler;
mod home;
mod listener_directory;
mod logical_stream;
mod name;
mod page_log;
mod ring;
mod settings;
mod shared;
mod source_slots;
mod stats;
mod stream_info;
mod table;
mod view;

pub use claim::{Claim, Revocation, RevokeReason};
pub use gap_filler::fill_gaps;
pub use home::HomeMount;
pub use listener_directory::{ListenerDirectory, ListenerInfo, Registration};
pub use name::{MAX_NAME, Name, NameError, Pattern};
pub use page_log::{JoinPoint, PageLog};
pub use ring::{Cursor, Lag, MIN_RING, Ring};
pub use settings::{Burst, Gap, MountRules, MountSettings};
pub use shared::{MountEntry, Reservation, SharedMount};
pub use stats::{MAX_THREADS, MountCounters, StreamGauges};
pub use stream_info::{Description, SourceInfo, SourceState, StreamInfo};
pub use table::{NoRoom, Table};
pub use view::{MountView, PageLogRef};
