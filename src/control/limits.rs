//! Limits of the control plane: numbers of requests, and their memory.

/// Length of the queue of requests from the door to the control plane.
pub(crate) const REQUEST_QUEUE: usize = 64;
/// Maximum number of requests that are served concurrently.
pub(crate) const MAX_REQUESTS: usize = 64;
/// Maximum number of requests beyond [`MAX_REQUESTS`] that wait for a slot or are sent a 503.
/// Further connections are reset.
pub(crate) const MAX_REFUSED_REQUESTS: usize = 64;
/// Maximum memory of one request or one event subscriber, in bytes: hyper's read and write buffers,
/// and the piece that is being written. `request_head` is the maximum length of a request head in
/// bytes. A document takes [`SOURCE_TEXT`] for each source in addition.
pub(crate) const fn request_memory(request_head: usize) -> usize {
    2 * buffer(request_head) + SOURCE_TEXT
}
/// Maximum length of the part of a document that describes one source, in bytes: eight texts and a
/// name of at most 256 bytes each, which XML escaping may make six times as long, and some numbers.
pub(crate) const SOURCE_TEXT: usize = 16 * 1024;
/// `SO_SNDBUF` of a connection, in bytes. The kernel doubles it (socket(7)).
pub(crate) const RESPONSE_SEND_BUFFER: usize = 16 * 1024;

/// Size of hyper's buffer, in bytes: the longest head that the door accepts, plus 8 KiB, which is
/// the minimum that hyper allows.
pub(super) const fn buffer(request_head: usize) -> usize {
    8 * 1024 + request_head
}
