//! A control-plane connection as hyper reads and writes it: what the door has read already, then the
//! socket; and how much has been written, to see whether the client takes it.

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

/// How often the kernel is asked whether the client takes its answer.
const LOOK: Duration = Duration::from_secs(1);

/// The socket, and what is known of it while hyper has the [`HyperIo`].
#[derive(Clone, Debug)]
pub(super) struct TrackedSocket {
    pub(super) socket: Rc<TcpStream>,
    written: Rc<Cell<u64>>,
}

/// What hyper reads from and writes to.
pub(super) struct HyperIo {
    connection: TrackedSocket,
    /// What the door has read.
    read: Chain<Bytes, Bytes>,
}

impl TrackedSocket {
    /// A connection from which the door has read a request's `head` and the bytes after it.
    pub(super) fn new(socket: TcpStream, head: Bytes, read: Vec<u8>) -> (Self, HyperIo) {
        let connection = Self { socket: Rc::new(socket), written: Rc::default() };
        (connection.clone(), HyperIo { connection, read: head.chain(Bytes::from(read)) })
    }

    /// Waits until the client has acknowledged nothing for `limit` although something waited for it,
    /// or until nothing has been sent to it for as long after it asked.
    pub(super) async fn stalls(&self, limit: Duration, clock: &Clock) {
        let (began, mut progress) = (clock.now(), AckProgress::new(clock.now()));
        loop {
            sleep(LOOK).await;
            let (now, written) = (clock.now(), self.written.get());
            let waiting = unacknowledged(&self.socket).unwrap_or(0);
            let unanswered = written == 0 && now.saturating_duration_since(began) >= limit;
            if unanswered || progress.stalled(written, waiting, now) >= limit {
                return;
            }
        }
    }
}

impl HyperIo {
    fn count(&self, written: io::Result<usize>) -> io::Result<usize> {
        if let Ok(n) = written {
            let all = &self.connection.written;
            all.set(all.get().saturating_add(n as u64));
        }
        written
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
                written => return Poll::Ready(self.count(written)),
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
