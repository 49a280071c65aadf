//! The paths of WHEP: below a mount's own path. No source may send to a mount with such a name.
//!
//! ```text
//! /mic.opus/whep                                     takes offers
//! /mic.opus/whep/0123456789abcdef0123456789abcdef    a session
//! ```

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_mount_and_what_it_names() {
        let session = "0f".repeat(16);
        let path_of_session = format!("/a b.opus/whep/{session}");
        let of_session = WhepResource::Session(session.parse().unwrap());
        for (path, mount, resource) in [
            ("/mic.opus/whep", "/mic.opus", WhepResource::Endpoint),
            ("/group/mic/whep", "/group/mic", WhepResource::Endpoint),
            ("/whep/whep", "/whep", WhepResource::Endpoint),
            (&path_of_session, "/a b.opus", of_session),
        ] {
            let mount = Name::new(mount).unwrap();
            assert_eq!(WhepPath::parse(path), Some(WhepPath { mount, resource }), "{path}");
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
