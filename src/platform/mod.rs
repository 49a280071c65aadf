//! The corner that knows the system around the server: its log, its power, its service manager.
//!
//! It knows nothing of audio.

mod combined;
mod log;
mod manager;
mod memory;
mod notify;
mod privileges;
mod pulse;
mod record;
mod sockets;
mod throttle;

pub use log::{LOG_MEMORY, Log, lines_dropped};
pub use manager::{Manager, Reloader, Service};
pub use memory::resident;
pub use notify::Notifier;
pub use privileges::{Given, give_up};
pub use pulse::{Pulse, Pulses};
pub use sockets::{allow_open_files, inherited_sockets};
