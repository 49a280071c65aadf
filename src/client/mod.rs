//! Protection of the server against single clients that take too much or guess passwords.
//!
//! - [`Admission`]: a limited number of slots for connections. When all are taken, the client that
//!   holds the most loses one.
//! - [`ConnectionQuotas`]: a limited number of connections for each client.
//! - [`LinkRegister`]: which links are in use, and which of them are revoked.
//! - [`LoginGuard`]: checks credentials and locks out clients that guess.
//! - [`RateLimit`]: how often a client may do what costs more.
//! - [`PasswordChecker`]: checks passwords against bcrypt hashes on a separate thread.

mod admission;
mod connection_quotas;
mod link_register;
mod login_guard;
mod password_checker;
mod rate_limit;

pub(crate) use admission::{Admission, AdmissionSlot, Full, WhenFull};
pub(crate) use connection_quotas::ConnectionQuotas;
pub(crate) use link_register::{KnownLink, LINK_REGISTER_MEMORY, LinkRegister};
pub(crate) use login_guard::{CredentialKind, KnownCredentials, LoginAttempt, LoginGuard};
pub(crate) use password_checker::{CheckerOverloaded, PasswordChecker};
pub(crate) use rate_limit::{RateLimit, TooOften};
