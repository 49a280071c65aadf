//! How much is read of another server.

use crate::mount::MAX_NAME;

/// The longest list or event that is read, in bytes.
pub(crate) const MAX_LIST: usize = 256 * 1024;
/// The longest response head that is read, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// The most mounts of one server that are known; more than any server may pull.
pub(super) const MAX_LISTED: usize = 1024;
/// Maximum memory of one `[[relay]]` or `[[forward]]` for what it reads of another server, in bytes: a
/// buffer, which may have doubled, and the names of mounts.
pub const PEER_MEMORY: usize = 2 * MAX_LIST + MAX_HEAD + MAX_LISTED * (MAX_NAME + NAME);
/// What keeping a name takes beside its text, in bytes.
const NAME: usize = 48;
/// How much of a stream is read at once to be sent in a chunk, in bytes: pages of audio, and not much
/// more of what has waited.
pub(super) const MAX_CHUNK: usize = 4096;
/// Maximum memory of a stream that is sent in chunks, in bytes: what is read, its chunk, the server's
/// answer, and the task.
pub const CHUNKED_MEMORY: usize = 3 * MAX_CHUNK;
