//! Socket options, the state of TCP connections, and their end.
//!
//! If a socket is closed before its peer has acknowledged all data, the kernel keeps the socket and
//! the data for minutes. So every accepted socket inherits `SO_LINGER` with a timeout of zero from
//! the listening socket: dropping the socket resets the connection and frees its memory at once.
//! Only [`finish`] and [`close`] end a connection with a FIN, after the peer has acknowledged
//! everything.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;

/// `SO_RCVBUF` of every accepted socket, in bytes. The kernel doubles it. It is small, so that an
/// encoder notices soon that its data is not read.
pub(crate) const RECEIVE_BUFFER: usize = 16 * 1024;

/// Kernel memory of a connection without its buffers, in bytes: the socket, its inode and its file.
pub(crate) const SOCKET_MEMORY: usize = 4 * 1024;

/// Upper limit of the kernel memory for data in a send buffer of this size, in bytes. The kernel
/// starts another segment while there is any room, and a segment has up to 64 KiB if the network
/// card splits it (TCP segmentation offload).
pub(crate) const fn sent_memory(buffer: usize) -> usize {
    buffer + 64 * 1024
}

/// Kernel memory for a response of a few hundred bytes, in bytes.
pub(crate) const SHORT_ANSWER_MEMORY: usize = 4 * 1024;

/// How long a peer may acknowledge nothing of the last response before its connection is reset.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to keep reading from a peer that has acknowledged everything, so that it can close
/// first.
const LINGER: Duration = Duration::from_secs(1);
/// How many bytes are read and discarded while a connection ends.
const LINGER_BYTES: usize = 256 * 1024;
/// How often the kernel is asked whether the peer has acknowledged everything.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

mod ioctl {
    #![allow(unsafe_code, reason = "no safe wrapper of SIOCOUTQ exists in our dependencies")]

    // `SIOCOUTQ` in linux/sockios.h has the same number as `TIOCOUTQ`. It writes one C int.
    nix::ioctl_read_bad!(siocoutq, nix::libc::TIOCOUTQ, nix::libc::c_int);
}

/// The number of bytes that were written to a socket and that its peer has not acknowledged
/// (`SIOCOUTQ`, tcp(7)). A FIN counts as one byte.
///
/// # Errors
/// The system's error if the descriptor is not a connected socket.
pub(crate) fn unacknowledged(socket: &impl AsFd) -> io::Result<u64> {
    let mut bytes: nix::libc::c_int = 0;
    #[allow(unsafe_code, reason = "no safe wrapper of SIOCOUTQ exists in our dependencies")]
    // SAFETY: the descriptor is open while it is borrowed, and SIOCOUTQ writes one C int.
    unsafe { ioctl::siocoutq(socket.as_fd().as_raw_fd(), &raw mut bytes) }?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// The backlog of a listening socket: room for all `listeners` to reconnect at once.
pub(crate) fn backlog(listeners: usize) -> usize {
    listeners.clamp(128, 4096)
}

/// The options of a listener's socket. They are set on the listening sockets, from which accepted
/// sockets inherit them: a listener that joins costs no system call for them, unless its mount or a
/// reload wants others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Size of the kernel's send buffer, in bytes.
    pub send_buffer: usize,
    /// After about how long the kernel ends a connection whose peer is silent and does not reply to
    /// probes.
    pub keep_alive: Duration,
}

impl SocketOptions {
    /// Sets the options of `socket` that differ from those in `inherited`, which it has.
    ///
    /// `TCP_USER_TIMEOUT` (tcp(7)) is not used: it resets a connection whose window is closed at
    /// each probe, even if the peer has read data between the probes.
    ///
    /// # Errors
    /// The system's error if an option cannot be set.
    pub fn set(self, socket: &impl AsFd, inherited: Option<Self>) -> io::Result<()> {
        let options = SockRef::from(socket);
        if inherited.is_none_or(|inherited| inherited.send_buffer != self.send_buffer) {
            // The kernel doubles the requested size, to make room for its own overhead (socket(7)).
            options.set_send_buffer_size(self.send_buffer / 2)?;
        }
        if inherited.is_none_or(|inherited| inherited.keep_alive != self.keep_alive) {
            keep_alive(socket, self.keep_alive)?;
        }
        Ok(())
    }
}

/// Prepares a listening socket, bound here or inherited. Accepted sockets inherit the buffer sizes,
/// `SO_LINGER`, `TCP_NODELAY` and the other `options` from it.
///
/// # Errors
/// The system's error if an option cannot be set.
pub(crate) fn accepting(
    socket: std::net::TcpListener,
    backlog: usize,
    options: SocketOptions,
) -> io::Result<TcpListener> {
    options.set(&socket, None)?;
    let options = SockRef::from(&socket);
    // An inherited socket has another backlog. Calling listen(2) again changes only that.
    options.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    options.set_recv_buffer_size(RECEIVE_BUFFER)?;
    options.set_linger(Some(Duration::ZERO))?;
    options.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Enables TCP keepalive: while no data is in flight, the kernel probes a silent peer, and ends the
/// connection after about `timeout` if the peer does not reply. While data is in flight,
/// [`AckProgress`] detects a peer that is gone.
///
/// # Errors
/// The system's error if the option cannot be set.
fn keep_alive(socket: &impl AsFd, timeout: Duration) -> io::Result<()> {
    let part =
        |share: u32| (timeout / share).clamp(Duration::from_secs(1), Duration::from_hours(1));
    let probes = TcpKeepalive::new().with_time(part(2)).with_interval(part(6)).with_retries(3);
    SockRef::from(&socket.as_fd()).set_tcp_keepalive(&probes)
}

/// Tracks whether a peer acknowledges what is sent to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckProgress {
    /// Bytes acknowledged so far.
    acknowledged: u64,
    /// When that number last grew, or when nothing was left to acknowledge.
    since: Instant,
}

impl AckProgress {
    /// Starts with a peer to which nothing has been sent.
    pub(crate) fn new(now: Instant) -> Self {
        Self { acknowledged: 0, since: now }
    }

    /// How long the peer has acknowledged nothing although data is waiting for it. `sent` is the
    /// number of all bytes sent so far, `unacknowledged` how many of them are not acknowledged.
    pub(crate) fn stalled(&mut self, sent: u64, unacknowledged: u64, now: Instant) -> Duration {
        let acknowledged = sent.saturating_sub(unacknowledged);
        if unacknowledged == 0 || acknowledged > self.acknowledged {
            *self = Self { acknowledged, since: now };
        }
        now.saturating_duration_since(self.since)
    }
}

/// Sends a short response. It fits into the send buffer unless the peer does not read.
///
/// # Errors
/// The peer is gone, or the response did not fit into the send buffer within 5 s.
pub(crate) async fn answer(stream: &mut TcpStream, bytes: &[u8], clock: &Clock) -> io::Result<()> {
    let written = clock.timeout(ACK_TIMEOUT, stream.write_all(bytes)).await;
    written.unwrap_or_else(|elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)))
}

/// Sends a short response and ends the connection. Resets it if the peer does not acknowledge the
/// response.
pub(crate) async fn answer_and_finish(mut stream: TcpStream, bytes: &[u8], clock: &Clock) {
    // If the response cannot be sent, the connection is reset when `stream` is dropped.
    if answer(&mut stream, bytes, clock).await.is_ok() {
        finish(&stream, clock).await;
    }
}

/// If the peer has acknowledged everything, dropping the connection sends a FIN; otherwise dropping
/// it resets the connection.
pub(crate) fn close(stream: &impl AsFd) {
    if unacknowledged(stream).is_ok_and(|bytes| bytes == 0) {
        // If the option cannot be set, the connection is reset. The peer has all data anyway.
        let _ = SockRef::from(&stream.as_fd()).set_linger(None);
    }
}

/// Ends a connection so that the peer can read the last response. Closing a socket with unread
/// input would reset the connection, and the peer could lose the response. So input is discarded
/// until the peer closes, but only for a limited time. If the peer acknowledges nothing for 5 s,
/// dropping `stream` resets the connection.
pub(crate) async fn finish(stream: &TcpStream, clock: &Clock) {
    let socket = SockRef::from(stream);
    if socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let _watch = clock.watch_for_stalls();
    let mut input = PeerInput::new(stream);
    let Ok(mut waiting) = unacknowledged(stream) else { return };
    let mut since = clock.now();
    while waiting > 0 {
        let discard = async {
            input.discard().await;
            std::future::pending::<()>().await;
        };
        // This always times out. It discards input until the kernel is asked again.
        let _ = clock.timeout(POLL_INTERVAL, discard).await;
        let still_waiting = unacknowledged(stream).unwrap_or(waiting);
        if still_waiting < waiting {
            (waiting, since) = (still_waiting, clock.now());
        } else if input.failed || clock.now().duration_since(since) >= ACK_TIMEOUT {
            return;
        }
    }
    // Whether the peer has closed or the time is over, the connection is closed now.
    let _ = clock.timeout(LINGER, input.discard()).await;
    close(stream);
}

/// The input of a connection that is ending.
struct PeerInput<'s> {
    stream: &'s TcpStream,
    /// How many more bytes may be discarded.
    remaining: usize,
    /// The peer has closed, or reading failed.
    ended: bool,
    /// Reading failed.
    failed: bool,
}

impl<'s> PeerInput<'s> {
    fn new(stream: &'s TcpStream) -> Self {
        Self { stream, remaining: LINGER_BYTES, ended: false, failed: false }
    }

    /// Reads and discards input until it ends, or until [`LINGER_BYTES`] have been read.
    async fn discard(&mut self) {
        while !self.ended && self.remaining > 0 {
            let read = match self.stream.readable().await {
                Ok(()) => self.try_discard(),
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => self.ended = true,
                Ok(n) => self.remaining = self.remaining.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => (self.ended, self.failed) = (true, true),
            }
        }
    }

    /// Not a part of [`Self::discard`]: each task that may end a connection would have the buffer
    /// in its memory all the time.
    fn try_discard(&self) -> io::Result<usize> {
        self.stream.try_read(&mut [0; 4096])
    }
}
