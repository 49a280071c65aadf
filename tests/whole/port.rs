//! A port that a test keeps while the server on it comes and goes.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// A port on loopback that belongs to a test. The socket that holds it is bound and does not listen: connections are
/// refused until a server listens, which may bind the same port because both sockets have `SO_REUSEADDR`. The kernel
/// gives a port that is bound to nobody else, neither for a bind to port 0 nor for an outgoing connection.
pub(crate) struct Port {
    number: u16,
    _held: Socket,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let number = socket.local_addr().unwrap().as_socket().unwrap().port();
        Self { number, _held: socket }
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[test]
fn a_reserved_port_refuses_connections_until_a_server_listens_on_it() {
    let port = Port::reserve();
    let address = ("127.0.0.1", port.number());
    let refused = std::net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    for _ in 0..2 {
        let server = std::net::TcpListener::bind(address).unwrap();
        std::net::TcpStream::connect(address).unwrap();
        drop(server);
    }
}
