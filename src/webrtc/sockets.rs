//! The UDP sockets, all on one port.
//!
//! An answer must leave with the address to which its request came, or the client takes it for
//! somebody else's. A socket for all addresses leaves the choice to the routing table, which is wrong
//! on a machine with two addresses in one network, such as one by cable and one by radio. So each
//! address by which a client has come gets a socket of its own beside the one for all.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::network::{NetworkPath, Outbox};

/// The most sockets.
pub const MAX_SOCKETS: usize = 8;
/// Size of a receive buffer, in bytes: below the usual limit of the kernel (`net.core.rmem_max`), and enough
/// for what a hundred clients send at once to begin.
pub const RECEIVE_BUFFER: usize = 200 * 1024;

/// The sockets. Their numbers are those in [`NetworkPath`].
#[derive(Debug)]
pub struct Sockets {
    /// The address of the first one.
    address: SocketAddr,
    sockets: RefCell<Vec<(IpAddr, Rc<UdpSocket>)>>,
}

/// Opens a socket that allows others on the same port for single addresses.
///
/// # Errors
/// The system's error.
pub(super) fn open(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl Sockets {
    /// The socket of the configuration, or the inherited one.
    ///
    /// # Errors
    /// The system's error if the runtime cannot watch it.
    pub fn new(first: std::net::UdpSocket) -> io::Result<Self> {
        let first = UdpSocket::from_std(first)?;
        let address = first.local_addr()?;
        Ok(Self { address, sockets: RefCell::new(vec![(address.ip(), Rc::new(first))]) })
    }

    /// The address of the first socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether what is sent to this address of the machine arrives here.
    pub fn serve(&self, address: IpAddr) -> bool {
        match self.address.ip() {
            // A socket for all addresses of IPv6 takes those of IPv4 too.
            IpAddr::V6(ip) if ip.is_unspecified() => true,
            IpAddr::V4(ip) if ip.is_unspecified() => address.is_ipv4(),
            ip => address == ip,
        }
    }

    /// The socket with this number.
    pub fn get(&self, number: usize) -> Option<Rc<UdpSocket>> {
        self.sockets.borrow().get(number).map(|(_, socket)| Rc::clone(socket))
    }

    /// Makes sure that answers to this address of this machine leave with it. Returns the number of a
    /// socket that is new. If there can be no more, the first one is used.
    pub fn add(&self, address: IpAddr) -> Option<usize> {
        let mut sockets = self.sockets.borrow_mut();
        let is_there = sockets.iter().any(|(of, _)| *of == address);
        if !self.serve(address) || is_there || sockets.len() == MAX_SOCKETS {
            return None;
        }
        let socket = open(SocketAddr::new(address, self.address.port())).ok()?;
        let socket = UdpSocket::from_std(socket).ok()?;
        sockets.push((address, Rc::new(socket)));
        Some(sockets.len() - 1)
    }
}

impl Outbox for &Sockets {
    fn send(&mut self, to: NetworkPath, datagram: &[u8]) -> bool {
        let sockets = self.sockets.borrow();
        let socket = sockets.get(to.socket).map(|(_, socket)| socket);
        socket.is_some_and(|socket| socket.try_send_to(datagram, to.remote).is_ok())
    }
}
