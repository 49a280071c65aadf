//! Who gave an administration command, for the log.

use std::net::IpAddr;

/// The login and the address from which an administration command came.
#[derive(Debug, PartialEq, Eq)]
pub struct Operator {
    /// The user of the login, sanitized: the administrator, or a source.
    pub user: String,
    /// The client's address.
    pub address: IpAddr,
}
