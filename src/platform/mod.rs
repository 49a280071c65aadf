//! The operating system around the server: privileges, sockets, the service manager.
//!
//! It knows nothing of audio.

mod heartbeat;
mod manager;
mod memory;
mod notify;
mod privileges;
mod sockets;

pub use heartbeat::{Heartbeat, Heartbeats};
pub use manager::{Manager, Reloader, Service};
pub use memory::resident;
pub use notify::Notifier;
pub use privileges::{Dropped, drop_privileges};
pub use sockets::{allow_open_files, inherited_sockets};
