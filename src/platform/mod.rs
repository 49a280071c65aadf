//! The operating system around the server: privileges, inherited sockets, limits on open files, and
//! the service manager.
//!
//! Nothing in this module depends on audio.

mod heartbeat;
mod manager;
mod memory;
mod notify;
mod privileges;
mod sockets;

pub use heartbeat::{Heartbeat, Heartbeats};
pub use manager::{FileCheck, Manager, Reloader, Service};
pub use memory::resident;
pub use notify::Notifier;
pub use privileges::{Dropped, PrivilegeError, check_user, drop_privileges};
pub use sockets::{
    FileLimitError, InheritedSocketError, InheritedSockets, allow_open_files, inherited_sockets,
};
