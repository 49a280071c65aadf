//! The sockets that the door accepts on.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, SockRef, Socket, Type};

/// What the kernel may hold of unread bytes per connection; it doubles the number. Small, so that
/// an encoder notices soon when nobody reads.
pub const RECEIVE_BUFFER: usize = 16 * 1024;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Binds one address and listens on it.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be listed side by side.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes a listening socket, bound here or inherited, ready for the door. What it accepts
/// inherits its bounds.
///
/// # Errors
/// What the system says.
pub fn accepting(socket: std::net::TcpListener) -> io::Result<tokio::net::TcpListener> {
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(socket)
}
