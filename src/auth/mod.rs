//! Credentials, and the rules that decide who may send, listen and administrate.
//!
//! Everything here is pure: no locks, no threads, no clock. Time is an argument.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod access;
mod credentials;
mod hashes;
mod link;
mod lockout;
mod secret;

pub use access::{Access, AccessMode, PresentedCredentials, Token, Verdict, admits};
pub use credentials::{Credentials, DETECTOR_USER, Login, SOURCE_USER, basic};
pub use hashes::{MAX_PASSWORD, PasswordHashes};
pub use link::{Link, LinkError, LinkUrls};
pub use lockout::{LOCKOUT_MEMORY, LockedOut, Lockout};
pub use secret::Secret;
