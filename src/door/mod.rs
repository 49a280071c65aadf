//! The door: accepts connections, reads one request head from each, and decides where it goes.
//!
//! Sockets of sources and listeners are handed to the data plane, all others to the control plane.
//! A refusal has one status, one sentence and one log line. The number of connections at the door,
//! their memory and the time for a request head are limited. No error ends the accept loop.
//!
//! `accept` gives each connection an admission slot. `dispatch` reads the request head (`head`) and
//! makes a `request` of it, `decide` classifies the request, `access` checks who may listen, and
//! `admit` checks logins and limits. Then `dispatch` hands the socket over.

mod accept;
mod access;
mod address;
mod admit;
mod decide;
mod dispatch;
mod head;
mod request;
mod settings;
mod socket;

pub(crate) use accept::{Door, MAX_REFUSED_CONNECTIONS, MAX_WAITING_CONNECTIONS};
pub(crate) use access::LoginGuards;
pub use address::client_of;
pub(crate) use admit::{Admittance, MAX_CLIPS};
pub(crate) use dispatch::{CONNECTION_MEMORY, Dispatcher};
pub use settings::DoorSettings;
pub(crate) use socket::bind;
