//! The floor: the least that a relay can do. One thread, one epoll set, and for every read from a
//! source one `send` of its whole pages to each listener. No queue, no lag policy, no log, no
//! limits: what the kernel does not take at once is dropped, and shows as a gap at the listener.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;
use socket2::SockRef;

use crate::Outcome;
use crate::server::SEND_BUFFER;

const DOOR: u64 = u64::MAX;
const HEADER_PAGES: usize = 2;

/// Serves until it is killed.
pub(crate) fn serve(port: u16) -> Outcome<()> {
    let door = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    door.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&door, EpollEvent::new(EpollFlags::EPOLLIN, DOOR))?;
    let mut floor = Floor { epoll, guests: Slab::new(), mounts: HashMap::new() };
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let ready = floor.epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() == DOOR {
                floor.admit(door.accept()?.0)?;
            } else if floor.read(event.data() as usize).is_err() {
                floor.guests.try_remove(event.data() as usize);
            }
        }
    }
}

struct Floor {
    epoll: Epoll,
    guests: Slab<Guest>,
    mounts: HashMap<String, Mount>,
}

/// Whoever sends: a source, or a request that is not complete yet.
struct Guest {
    socket: TcpStream,
    request: Vec<u8>,
    mount: Option<String>,
}

#[derive(Default)]
struct Mount {
    /// Bytes of the source that are not all sent on yet: the beginning of a page.
    bytes: Vec<u8>,
    headers: Vec<u8>,
    header_pages: usize,
    listeners: Vec<TcpStream>,
}

impl Floor {
    fn admit(&mut self, socket: TcpStream) -> Outcome<()> {
        socket.set_nonblocking(true)?;
        let place = self.guests.vacant_entry();
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, place.key() as u64))?;
        place.insert(Guest { socket, request: Vec::new(), mount: None });
        Ok(())
    }

    /// Takes what a guest sent; an error is its end.
    fn read(&mut self, id: usize) -> Outcome<()> {
        let guest = &mut self.guests[id];
        let mut buffer = [0; 16 * 1024];
        let bytes = match guest.socket.read(&mut buffer)? {
            0 => return Err("it hung up".into()),
            n => &buffer[..n],
        };
        if let Some(mount) = guest.mount.as_ref().and_then(|name| self.mounts.get_mut(name)) {
            mount.publish(bytes);
            return Ok(());
        }
        guest.request.extend_from_slice(bytes);
        let Some(end) = guest.request.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(());
        };
        let head = str::from_utf8(&guest.request[..end])?;
        let mut words = head.split(' ');
        let (method, path) = (words.next(), words.next().ok_or("there is no path")?.to_owned());
        guest.socket.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/ogg\r\n\r\n")?;
        let mount = self.mounts.entry(path.clone()).or_default();
        if method == Some("GET") {
            let mut socket = self.guests.remove(id).socket;
            self.epoll.delete(&socket)?;
            socket.set_nodelay(true)?;
            SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER / 2)?;
            socket.write_all(&mount.headers)?;
            mount.listeners.push(socket);
        } else {
            mount.publish(&guest.request[end + 4..]);
            guest.mount = Some(path);
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
                // What it cannot take is lost to it.
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            });
        }
        self.bytes.drain(..whole);
    }
}

/// Length of the page at the front, if all of it is there.
fn page_length(bytes: &[u8]) -> Option<usize> {
    let header = 27 + usize::from(*bytes.get(26)?);
    let lacing = bytes.get(27..header)?;
    let length = header + lacing.iter().map(|&l| usize::from(l)).sum::<usize>();
    (length <= bytes.len()).then_some(length)
}
