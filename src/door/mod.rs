//! The door: accepts connections, reads one request head from each, and decides where it goes.
//!
//! Encoders and listeners go to the data plane with their sockets; everything else goes to the
//! control plane. Each refusal is one status, one sentence and one line in the log. The number of
//! connections that wait here is limited, and so are their bytes and their time. Nothing ends the
//! accept loop.
//!
//! A request's way: `accept` gives its connection a slot, `dispatch` reads its head and makes it a
//! `request`, `decide` says what it is for, `admit` checks logins, access and limits; then `dispatch`
//! hands the socket over.

mod accept;
mod address;
mod admit;
mod client_quotas;
mod decide;
mod dispatch;
mod request;
mod settings;
mod socket;

pub(crate) use accept::{Door, MAX_REFUSING, MAX_WAITING};
pub use address::client_of;
pub(crate) use admit::{Admittance, LoginGuards};
pub(crate) use dispatch::{CONNECTION_MEMORY, Dispatcher};
pub use settings::{DoorSettings, Limits};
pub(crate) use socket::bind;
