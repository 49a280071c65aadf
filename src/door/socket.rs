//! Binds the listening sockets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// Backlog until [`tcp::accepting`](crate::tcp::accepting) sets the final one.
const BACKLOG: i32 = 128;

/// Binds a socket to `address` and listens on it.
///
/// # Errors
/// The error of the system call that failed.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Allows `listen` to contain both 0.0.0.0 and [::] with the same port.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
