//! All configuration keys: the rows of the modules that read them.

use super::keys::KeyTable;
use super::{access, auth, limits, mounts, peers, server, webrtc};

/// All configuration keys.
pub const KEYS: KeyTable = KeyTable::new(&[
    server::ROWS,
    auth::ROWS,
    limits::ROWS,
    webrtc::ROWS,
    mounts::ROWS,
    access::ROWS,
    peers::ROWS,
]);
