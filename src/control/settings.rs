//! Settings of the control plane.

use crate::auth::{Credentials, Secret};
use crate::mount::MountRules;
use crate::quota::Limits;

/// The default of `hostname`, with which URLs have the host that the client asked for.
pub(crate) const DEFAULT_HOSTNAME: &str = "localhost";

/// The control plane's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// What the station is called.
    pub name: Option<String>,
    /// The site whose pages may read responses: `*` for all, or an origin.
    pub allow_origin: String,
    /// Host name in URLs of this server.
    pub hostname: String,
    /// Location of the station, as status shows it.
    pub location: String,
    /// Contact of the administrator, as status shows it.
    pub admin: String,
    /// Limits on connections and requests.
    pub limits: Limits,
    /// Logins of the administrator and of sources. Sources may set the title of their stream.
    pub credentials: Credentials,
    /// The key that signs links. Without it, the server signs none.
    pub share_key: Option<Secret>,
    /// Settings of mounts, by name pattern.
    pub rules: MountRules,
}

/// A configuration as the administrator may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownConfig {
    /// The keys that are set, in TOML. Secrets are masked.
    pub in_force: String,
    /// What is allowed but probably not meant, or not supported.
    pub warnings: Vec<String>,
}
