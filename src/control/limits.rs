//! Limits of the control plane, in numbers and in memory.

/// Requests that may wait between the door and the control plane.
pub(crate) const REQUEST_QUEUE: usize = 64;
/// Requests that may be served at once.
pub(crate) const MAX_REQUESTS: usize = 64;
/// Requests beyond [`MAX_REQUESTS`] that may wait for a place; more are reset.
pub(crate) const MAX_REFUSING: usize = 64;
/// Memory that one request, or one subscriber to events, may take at most, in bytes, where a head has at
/// most `request_head` bytes: hyper's buffers for reading and writing, and what is
/// being written. [`SOURCE_TEXT`] for each source comes on top.
pub(crate) const fn request_memory(request_head: usize) -> usize {
    2 * buffer(request_head) + SOURCE_TEXT
}
/// What a document says of one source, at most, in bytes: eight texts of at most 256 bytes, which XML
/// may make six times as long, its name likewise, and some numbers.
pub(crate) const SOURCE_TEXT: usize = 16 * 1024;
/// What is asked for as `SO_SNDBUF` of a connection, in bytes; the kernel doubles it.
pub(crate) const SEND_BUFFER: usize = 16 * 1024;

/// The size of hyper's buffer, in bytes: the longest head that the door lets in, and some more; hyper
/// takes no less than 8 KiB.
pub(super) const fn buffer(request_head: usize) -> usize {
    8 * 1024 + request_head
}
