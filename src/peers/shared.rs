//! What pulling and pushing uses of this server.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::directory::PeerDirectory;
use super::settings::PeerSettings;
use crate::mount::MountTable;
use crate::quota::Quota;
use crate::worker::Workers;

/// What pulling and pushing uses of this server.
#[derive(Debug)]
pub struct Peers {
    /// The settings in force.
    pub settings: Arc<ArcSwap<PeerSettings>>,
    /// All mounts.
    pub table: Arc<MountTable>,
    /// The data plane.
    pub workers: Workers,
    /// The quota of listeners of the whole server.
    pub listeners: Arc<Quota>,
    /// Where it is shown how it goes.
    pub directory: PeerDirectory,
}

/// What the tasks share.
pub(super) type Shared = Peers;
