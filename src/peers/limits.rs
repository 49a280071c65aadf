//! How much is read of another server.

/// The longest list or event that is read, in bytes.
pub(crate) const MAX_LIST: usize = 256 * 1024;
/// The longest response head that is read, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// Maximum memory of one `[[relay]]` or `[[forward]]` for what it reads of another server, in bytes. A
/// buffer may have doubled.
pub const PEER_MEMORY: usize = 2 * MAX_LIST + MAX_HEAD;
