//! What the control plane needs of the configuration.

use crate::auth::Credentials;

/// The control plane's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// The host name by which clients reach the server.
    pub hostname: String,
    /// Where the server is, for status.
    pub location: String,
    /// Who maintains it, for status.
    pub admin: String,
    /// The longest request head that the door lets in, in bytes.
    pub request_head: usize,
    /// The logins of the administrator, and of sources, which may set their title.
    pub credentials: Credentials,
}
