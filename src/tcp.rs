//! What the kernel is asked about a TCP connection, and how a connection is ended.
//!
//! A socket that is closed over data which its peer has not acknowledged lives on in the kernel for
//! minutes, data and all. So every accepted socket inherits `SO_LINGER` with a time of zero from the
//! listening socket: dropping one resets the connection and frees its memory at once. Only
//! [`finish`] ends a connection in good order, once the peer has acknowledged all of it.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;

/// What is asked for as `SO_RCVBUF` of every accepted socket, in bytes; the kernel doubles it. Small,
/// so that an encoder notices soon when nobody reads.
pub(crate) const RECEIVE_BUFFER: usize = 16 * 1024;
/// What is asked for as `SO_SNDBUF` of every accepted socket, in bytes; the kernel doubles it. Enough
/// for the short answers of the door; listeners and documents are given more later.
pub(crate) const SEND_BUFFER: usize = 4 * 1024;

/// What the kernel holds for a connection beside its buffers, in bytes: the socket, its inode and its file.
pub(crate) const SOCKET_MEMORY: usize = 4 * 1024;

/// What the kernel holds at the most of sent data for a send buffer of this size, in bytes: it begins one more segment
/// while there is any room, and fills it, up to 64 KiB where the network card cuts it later.
pub(crate) const fn sent_memory(buffer: usize) -> usize {
    buffer + 64 * 1024
}

/// What the kernel holds of an answer of a few hundred bytes, in bytes.
pub(crate) const SHORT_ANSWER_MEMORY: usize = 4 * 1024;

/// How long a peer may acknowledge nothing of the last answer before its connection is reset.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// How long a peer that has acknowledged everything is read on, so that it can close first.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what it still sends is read meanwhile, in bytes.
const LINGER_BYTES: usize = 256 * 1024;
/// How often the kernel is asked whether the peer has acknowledged everything.
const LOOK: Duration = Duration::from_millis(20);

mod ioctl {
    #![allow(unsafe_code, reason = "no safe wrapper of SIOCOUTQ exists in our dependencies")]

    // `SIOCOUTQ` of linux/sockios.h has the number of `TIOCOUTQ`, and writes one C int.
    nix::ioctl_read_bad!(siocoutq, nix::libc::TIOCOUTQ, nix::libc::c_int);
}

/// Bytes written to a socket that its peer has not acknowledged (`SIOCOUTQ`, tcp(7)); a FIN counts
/// as one.
///
/// # Errors
/// What the system says of something that is not a connected socket.
pub(crate) fn unacknowledged(socket: &impl AsFd) -> io::Result<u64> {
    let mut bytes: nix::libc::c_int = 0;
    #[allow(unsafe_code, reason = "no safe wrapper of SIOCOUTQ exists in our dependencies")]
    // SAFETY: the descriptor is open while it is borrowed, and SIOCOUTQ writes one C int.
    unsafe { ioctl::siocoutq(socket.as_fd().as_raw_fd(), &raw mut bytes) }?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// How many connections the kernel holds until they are accepted, where so many listeners may come back all at
/// once.
pub(crate) fn backlog(listeners: usize) -> usize {
    listeners.clamp(128, 4096)
}

/// Makes a listening socket, bound here or inherited, ready to accept. Accepted sockets inherit
/// their buffer sizes and how they are closed from it.
///
/// # Errors
/// What the system says.
pub(crate) fn accepting(socket: std::net::TcpListener, backlog: usize) -> io::Result<TcpListener> {
    let options = SockRef::from(&socket);
    // An inherited socket has another number: listening once more changes nothing else.
    options.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    options.set_recv_buffer_size(RECEIVE_BUFFER)?;
    options.set_send_buffer_size(SEND_BUFFER)?;
    options.set_linger(Some(Duration::ZERO))?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Has the kernel probe a peer that is silent while nothing is on its way to it, so that one that
/// vanished is gone after about `timeout`. A peer that has something to acknowledge is judged by
/// its [`AckProgress`].
///
/// # Errors
/// What the system says.
pub(crate) fn keep_alive(socket: &impl AsFd, timeout: Duration) -> io::Result<()> {
    let part =
        |share: u32| (timeout / share).clamp(Duration::from_secs(1), Duration::from_hours(1));
    let probes = TcpKeepalive::new().with_time(part(2)).with_interval(part(6)).with_retries(3);
    SockRef::from(&socket.as_fd()).set_tcp_keepalive(&probes)
}

/// Whether a peer acknowledges what is sent to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckProgress {
    acknowledged: u64,
    since: Instant,
}

impl AckProgress {
    /// A peer to which nothing has been sent.
    pub(crate) fn new(now: Instant) -> Self {
        Self { acknowledged: 0, since: now }
    }

    /// How long the peer has acknowledged nothing although something waits for it, given how many
    /// bytes were ever `sent` and how many of them are `unacknowledged`.
    pub(crate) fn stalled(&mut self, sent: u64, unacknowledged: u64, now: Instant) -> Duration {
        let acknowledged = sent.saturating_sub(unacknowledged);
        if unacknowledged == 0 || acknowledged > self.acknowledged {
            *self = Self { acknowledged, since: now };
        }
        now.saturating_duration_since(self.since)
    }
}

/// Sends an answer that the kernel has room for at once, unless its peer reads nothing.
///
/// # Errors
/// The peer is gone, or did not make room for it in time.
pub(crate) async fn answer(stream: &mut TcpStream, answer: &[u8], clock: &Clock) -> io::Result<()> {
    let written = clock.timeout(UNACKNOWLEDGED, stream.write_all(answer)).await;
    written.unwrap_or_else(|elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)))
}

/// Sends an answer and ends the connection. A peer that does not acknowledge it is reset.
pub(crate) async fn answer_and_finish(mut stream: TcpStream, bytes: &[u8], clock: &Clock) {
    // Best effort: the peer may be gone, and that is as good.
    if answer(&mut stream, bytes, clock).await.is_ok() {
        finish(&stream, clock).await;
    }
}

/// Has a connection closed in good order once it is dropped, if its peer has acknowledged everything;
/// otherwise it will be reset.
pub(crate) fn close(stream: &impl AsFd) {
    if unacknowledged(stream).is_ok_and(|bytes| bytes == 0) {
        // Where the option cannot be changed the connection is reset, which costs no more.
        let _ = SockRef::from(&stream.as_fd()).set_linger(None);
    }
}

/// Ends a connection so that its peer can read the last answer: a socket that is closed over unread
/// input is reset, and the answer lost. So the peer is read until it closes, for a moment. One that
/// acknowledges nothing for 5 s is left to be reset when `stream` is dropped.
pub(crate) async fn finish(stream: &TcpStream, clock: &Clock) {
    let socket = SockRef::from(stream);
    if socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut input = Input::new(stream);
    let Ok(mut waiting) = unacknowledged(stream) else { return };
    let mut since = clock.now();
    while waiting > 0 {
        let look = async {
            input.discard().await;
            std::future::pending::<()>().await;
        };
        // It always elapses: what counts is what the kernel says then.
        let _ = clock.timeout(LOOK, look).await;
        let still = unacknowledged(stream).unwrap_or(waiting);
        if still < waiting {
            (waiting, since) = (still, clock.now());
        } else if input.failed || clock.now().duration_since(since) >= UNACKNOWLEDGED {
            return;
        }
    }
    // Elapsed or not: the peer has had its time.
    let _ = clock.timeout(LINGER, input.discard()).await;
    close(stream);
}

/// What a peer still sends while its connection ends.
struct Input<'s> {
    stream: &'s TcpStream,
    left: usize,
    ended: bool,
    failed: bool,
}

impl<'s> Input<'s> {
    fn new(stream: &'s TcpStream) -> Self {
        Self { stream, left: LINGER_BYTES, ended: false, failed: false }
    }

    /// Reads and discards input until it ends, or until there is too much of it.
    async fn discard(&mut self) {
        let mut unwanted = [0; 4096];
        while !self.ended && self.left > 0 {
            let read = match self.stream.readable().await {
                Ok(()) => self.stream.try_read(&mut unwanted),
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => self.ended = true,
                Ok(n) => self.left = self.left.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => (self.ended, self.failed) = (true, true),
            }
        }
    }
}
