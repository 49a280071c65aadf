//! The sockets that the door accepts on.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// Connections that the kernel holds until the door begins to accept, and says how many it is to hold then.
const BACKLOG: i32 = 128;

/// Binds one address and listens on it.
///
/// # Errors
/// What the system says.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
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
