//! Binds the listening sockets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// Backlog until [`tcp::accepting`](crate::tcp::accepting) sets the final one.
const BACKLOG: i32 = 128;

/// Binds a socket to `address`, one of the addresses in `all`, and listens on it. As in Icecast,
/// `[::]` accepts IPv4 too, whatever `net.ipv6.bindv6only` says. It accepts only IPv6 if an IPv4
/// address with the same port is in `all`, because both sockets could not be bound otherwise.
///
/// # Errors
/// The error of the system call that failed.
pub(crate) fn bind(address: SocketAddr, all: &[SocketAddr]) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        let has_ipv4 = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        socket.set_only_v6(address.ip().is_unspecified() && all.iter().any(has_ipv4))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
