//! The corner that knows the system around the server: its log, its signals, its service manager.
//!
//! It knows nothing of audio.

mod log;
mod signals;
mod systemd;

pub use log::{LOG_MEMORY, Log};
pub use signals::stop_requested;
pub use systemd::{inherited_sockets, notify_ready, notify_stopping};
