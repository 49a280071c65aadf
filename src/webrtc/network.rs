//! The way to a client, and where datagrams are sent: a session does not know the network itself.

use std::net::SocketAddr;

/// A way to a client: a socket of this server, and the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkPath {
    /// Number of the socket.
    pub socket: usize,
    /// The other end.
    pub remote: SocketAddr,
}

/// Where sessions send their datagrams.
pub trait Outbox {
    /// Sends a datagram. Returns whether it was taken.
    fn send(&mut self, to: NetworkPath, datagram: &[u8]) -> bool;
}
