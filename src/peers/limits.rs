//! How much is read of another server.

/// The longest list or event that is read, in bytes.
pub(crate) const MAX_LIST: usize = 256 * 1024;
/// The longest response head that is read, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// Maximum memory of one `[[relay]]` or `[[forward]]` for what it reads of another server, in bytes. A
/// buffer may have doubled.
pub const PEER_MEMORY: usize = 2 * MAX_LIST + MAX_HEAD;
/// How much of a stream is read at once to be sent in a chunk, in bytes: pages of audio, and not much
/// more of what has waited.
pub(super) const MAX_CHUNK: usize = 4096;
/// Maximum memory of a stream that is sent in chunks, in bytes: what is read, its chunk, the server's
/// answer, and the task.
pub const CHUNKED_MEMORY: usize = 3 * MAX_CHUNK;
