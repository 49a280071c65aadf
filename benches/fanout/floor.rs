//! The floor: the least work that a relay can do. One thread with one epoll set sends the complete
//! pages of each read from a source to each listener. It has no queue, no lag policy, no log and no
//! limits. Bytes that do not fit into a send buffer at once are dropped; the listener sees a gap.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;
use socket2::{Domain, SockRef, Socket, Type};

use crate::Outcome;
use crate::contender::SEND_BUFFER;

/// The epoll data of the listening socket.
const LISTENING: u64 = u64::MAX;
const HEADER_PAGES: usize = 2;
/// The kernel lowers this to its maximum. With the 128 of the standard library, most of a thousand
/// listeners who join at once would have to connect again after a second.
const BACKLOG: i32 = 16_384;

/// Serves until the process is killed.
pub(crate) fn serve(port: u16) -> Outcome<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    let listening = TcpListener::from(socket);
    listening.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listening, EpollEvent::new(EpollFlags::EPOLLIN, LISTENING))?;
    let mut floor = Floor { epoll, connections: Slab::new(), mounts: HashMap::new() };
    let mut events = [EpollEvent::empty(); 64];
    let mut buffer = [0; 16 * 1024];
    loop {
        let ready = floor.epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() == LISTENING {
                floor.admit(listening.accept()?.0)?;
            } else if floor.read(event.data() as usize, &mut buffer).is_err() {
                floor.connections.try_remove(event.data() as usize);
            }
        }
    }
}

struct Floor {
    epoll: Epoll,
    connections: Slab<Connection>,
    mounts: HashMap<String, Mount>,
}

/// A connection that is read: a source's, or one whose request is not complete yet.
struct Connection {
    socket: TcpStream,
    request: Vec<u8>,
    mount: Option<String>,
}

#[derive(Default)]
struct Mount {
    /// Bytes from the source that are not a complete page yet.
    bytes: Vec<u8>,
    headers: Vec<u8>,
    header_pages: usize,
    listeners: Vec<TcpStream>,
}

impl Floor {
    fn admit(&mut self, socket: TcpStream) -> Outcome<()> {
        socket.set_nonblocking(true)?;
        let entry = self.connections.vacant_entry();
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, entry.key() as u64))?;
        entry.insert(Connection { socket, request: Vec::new(), mount: None });
        Ok(())
    }

    /// Reads from a connection once. An error ends the connection.
    fn read(&mut self, id: usize, buffer: &mut [u8]) -> Outcome<()> {
        let connection = &mut self.connections[id];
        let bytes = match connection.socket.read(buffer)? {
            0 => return Err("the client closed the connection".into()),
            n => &buffer[..n],
        };
        if let Some(mount) = connection.mount.as_ref().and_then(|name| self.mounts.get_mut(name)) {
            mount.publish(bytes);
            return Ok(());
        }
        connection.request.extend_from_slice(bytes);
        let Some(end) = connection.request.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(());
        };
        let head = str::from_utf8(&connection.request[..end])?;
        let mut words = head.split(' ');
        let (method, path) =
            (words.next(), words.next().ok_or("the request has no path")?.to_owned());
        connection.socket.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/ogg\r\n\r\n")?;
        let mount = self.mounts.entry(path.clone()).or_default();
        if method == Some("GET") {
            let mut socket = self.connections.remove(id).socket;
            self.epoll.delete(&socket)?;
            socket.set_nodelay(true)?;
            SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER / 2)?;
            socket.write_all(&mount.headers)?;
            mount.listeners.push(socket);
        } else {
            mount.publish(&connection.request[end + 4..]);
            connection.mount = Some(path);
        }
        Ok(())
    }
}

impl Mount {
    fn publish(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let mut whole = 0;
        while let Some(length) = page_length(&self.bytes[whole..]) {
            if self.header_pages < HEADER_PAGES {
                self.headers.extend_from_slice(&self.bytes[whole..whole + length]);
                self.header_pages += 1;
            }
            whole += length;
        }
        let pages = &self.bytes[..whole];
        if whole > 0 {
            self.listeners.retain_mut(|socket| match socket.write(pages) {
                // Bytes that do not fit into the send buffer are dropped.
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            });
        }
        self.bytes.drain(..whole);
    }
}

/// The length of the first page in `bytes`, if it is complete.
fn page_length(bytes: &[u8]) -> Option<usize> {
    let header = 27 + usize::from(*bytes.get(26)?);
    let lacing = bytes.get(27..header)?;
    let length = header + lacing.iter().map(|&l| usize::from(l)).sum::<usize>();
    (length <= bytes.len()).then_some(length)
}
