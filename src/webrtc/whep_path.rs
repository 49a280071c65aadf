//! The paths of WHEP: below a mount's own path. No source may send to a mount with such a name.
//!
//! ```text
//! /mic.opus/whep                                     takes offers
//! /mic.opus/whep/0123456789abcdef0123456789abcdef    a session
//! ```

use std::fmt;

use super::identity::SessionId;
use crate::mount::Name;

const ENDPOINT: &str = "/whep";

/// A path of WHEP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhepPath {
    /// The mount.
    pub mount: Name,
    /// What the path names.
    pub resource: WhepResource,
}

/// What a path of WHEP names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhepResource {
    /// What takes offers.
    Endpoint,
    /// A session.
    Session(SessionId),
}

impl WhepPath {
    /// Reads a path; `None` if it is not one of WHEP.
    pub fn parse(path: &str) -> Option<Self> {
        if let Some(mount) = path.strip_suffix(ENDPOINT) {
            return Some(Self { mount: Name::new(mount).ok()?, resource: WhepResource::Endpoint });
        }
        let (endpoint, session) = path.rsplit_once('/')?;
        let mount = Name::new(endpoint.strip_suffix(ENDPOINT)?).ok()?;
        Some(Self { mount, resource: WhepResource::Session(session.parse().ok()?) })
    }
}

impl WhepResource {
    /// The methods that it takes, as the value of `Allow`.
    pub fn methods(self) -> &'static str {
        match self {
            Self::Endpoint => "OPTIONS, POST",
            Self::Session(_) => "DELETE, OPTIONS",
        }
    }
}

impl fmt::Display for WhepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{ENDPOINT}", crate::http::encoded_path(self.mount.as_str()))?;
        match self.resource {
            WhepResource::Endpoint => Ok(()),
            WhepResource::Session(id) => write!(f, "/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_they_are_written() {
        let session = format!("/a%20b.opus/whep/{}", "0f".repeat(16));
        for (path, written) in [
            ("/mic.opus/whep", "/mic.opus/whep"),
            ("/group/mic/whep", "/group/mic/whep"),
            ("/whep/whep", "/whep/whep"),
            (&*session.replace("%20", " "), &*session),
        ] {
            assert_eq!(WhepPath::parse(path).unwrap().to_string(), written);
        }
    }

    #[test]
    fn other_paths_are_mounts() {
        let long = format!("/mic/whep/{}", "0".repeat(33));
        for path in ["/whep", "/mic.opus", "/mic/whepp", "/mic/whep/", "/mic/whep/x", &*long] {
            assert_eq!(WhepPath::parse(path), None, "{path}");
        }
    }
}
