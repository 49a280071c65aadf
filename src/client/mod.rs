//! Protection against single clients: how many requests are served at once, and who may try
//! passwords.
//!
//! - [`Admission`]: a limited number of slots for connections; when all are taken, the client that
//!   holds most of them gives way.
//! - [`LoginGuard`]: asks for credentials and locks out clients that guess.
//! - [`PasswordChecker`]: computes bcrypt hashes on a thread of its own.

mod admission;
mod login_guard;
mod password_checker;

pub(crate) use admission::{Admission, AdmissionSlot, Full, WhenFull};
pub(crate) use login_guard::LoginGuard;
pub(crate) use password_checker::{CheckerOverloaded, PasswordChecker};
