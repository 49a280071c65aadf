//! Who may do what: decided here, from what a request says and the rules that are in force.
//!
//! Everything is a pure function or struct; time is an argument. The one thing that takes long, a
//! password's hash, is computed on a thread of its own.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod access;
mod checker;
mod credentials;
mod gate;
mod link;
mod lockout;
mod secret;

pub use access::{Access, Kind, Offer, Token, Verdict, admits};
pub use checker::{Checker, Hashes, LONGEST_PASSWORD, Overwhelmed};
pub use credentials::{Credentials, Login, SOURCE_USER, basic};
pub use gate::Gate;
pub use link::{Link, LinkError};
pub use lockout::{LOCKOUT_MEMORY, Lockout, network};
pub use secret::Secret;
