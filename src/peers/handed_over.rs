//! A connection that the data plane has taken over.

use std::io;
use std::net::{Shutdown, TcpStream};

use tokio::sync::oneshot;

/// A connection that the data plane reads from or writes to. Dropping this ends it.
pub(super) struct HandedOver {
    /// The same socket as the data plane has.
    socket: TcpStream,
    /// Resolves when the data plane is done with it.
    ended: oneshot::Receiver<String>,
}

impl HandedOver {
    /// For a socket that is about to be handed over. Also returns what the data plane must drop when it
    /// is done with the socket, or give the reason for which it ends the connection.
    ///
    /// # Errors
    /// The system's error if there is no free descriptor.
    pub(super) fn new(socket: &TcpStream) -> io::Result<(Self, oneshot::Sender<String>)> {
        let (on_end, ended) = oneshot::channel();
        Ok((Self { socket: socket.try_clone()?, ended }, on_end))
    }

    /// Waits until the data plane is done with it. Returns why this server has ended the connection;
    /// `None` if the other one has.
    pub(super) async fn ended(&mut self) -> Option<String> {
        (&mut self.ended).await.ok()
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        // The data plane sees the end of the connection. It fails if it has ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
