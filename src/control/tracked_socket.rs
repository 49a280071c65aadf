//! Adapts a control-plane connection to hyper: replays the bytes that the door has read, and counts
//! the bytes written to detect a client that does not read.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::tcp::{AckProgress, unacknowledged};

/// Interval at which the kernel is asked whether the client has acknowledged more bytes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The socket and the number of bytes written to it, shared with the [`HyperIo`].
#[derive(Clone, Debug)]
pub(super) struct TrackedSocket {
    pub(super) socket: Rc<TcpStream>,
    written: Rc<Cell<u64>>,
}

/// The stream that hyper reads from and writes to.
pub(super) struct HyperIo {
    connection: TrackedSocket,
    /// Bytes that the door has read, which come before those of the socket.
    read: Chain<Bytes, Bytes>,
}

impl TrackedSocket {
    /// Wraps a connection from which the door has read a request's `head` and the bytes `read`
    /// after it.
    pub(super) fn new(socket: TcpStream, head: Bytes, read: Vec<u8>) -> (Self, HyperIo) {
        let connection = Self { socket: Rc::new(socket), written: Rc::default() };
        (connection.clone(), HyperIo { connection, read: head.chain(Bytes::from(read)) })
    }

    /// Waits until the client has acknowledged nothing for `limit` although data was in flight, or
    /// until nothing at all was written within `limit`.
    pub(super) async fn wait_for_stall(&self, limit: Duration, clock: &Clock) {
        let _watch = clock.watch_for_stalls();
        let (start, mut progress) = (clock.now(), AckProgress::new(clock.now()));
        loop {
            sleep(POLL_INTERVAL).await;
            let (now, written) = (clock.now(), self.written.get());
            let in_flight = unacknowledged(&self.socket).unwrap_or(0);
            let no_response = written == 0 && now.saturating_duration_since(start) >= limit;
            if no_response || progress.stalled(written, in_flight, now) >= limit {
                return;
            }
        }
    }
}

impl HyperIo {
    fn count_written(&self, result: io::Result<usize>) -> io::Result<usize> {
        if let Ok(n) = result {
            let total = &self.connection.written;
            total.set(total.get().saturating_add(n as u64));
        }
        result
    }
}

impl AsyncRead for HyperIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.has_remaining() {
            let n = self.read.remaining().min(buffer.remaining());
            buffer.put_slice(&self.read.copy_to_bytes(n));
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.connection.socket.poll_read_ready(context))?;
            match self.connection.socket.try_read(buffer.initialize_unfilled()) {
                Ok(n) => {
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for HyperIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.connection.socket.poll_write_ready(context))?;
            match self.connection.socket.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(self.count_written(result)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.connection.socket).shutdown(Shutdown::Write))
    }
}
