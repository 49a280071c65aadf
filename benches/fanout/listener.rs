//! One listener: asks for a mount, and takes down what it hears and when.

use std::io::{ErrorKind, Read, Write};
use std::mem::take;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use ogg_splice::{CAPTURE_PATTERN, Page, Probe};
use socket2::{Domain, Socket, Type};

use crate::Outcome;
use crate::source::{Mark, path};

/// What the listeners heard, all together.
#[derive(Default)]
pub(crate) struct Tally {
    /// Pages received.
    pub(crate) pages: usize,
    /// Packets that are missing between others.
    pub(crate) gaps: u64,
    /// Each page's time from its source to its listener.
    pub(crate) latencies: Vec<Duration>,
    /// Listeners that were cut off.
    pub(crate) lost: usize,
}

/// A listener that reads.
pub(crate) struct Listener {
    /// Its connection.
    pub(crate) socket: TcpStream,
    /// From the call of `connect` to the first page of audio.
    pub(crate) first_page: Option<Duration>,
    mount: usize,
    asked: Instant,
    /// The beginning of a page whose end has not come yet.
    rest: Vec<u8>,
    /// Number of the next packet.
    next: Option<u64>,
}

/// Opens a socket and begins to connect it, without waiting.
pub(crate) fn connect(server: SocketAddr, receive_buffer: Option<usize>) -> Outcome<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error.into()),
        _ => Ok(socket.into()),
    }
}

/// Sends the request of a player that is no browser; false if the connection is not there yet.
pub(crate) fn ask(socket: &mut TcpStream, mount: usize) -> Outcome<bool> {
    let path = path(mount);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: fanout\r\n\r\n");
    match socket.write_all(request.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(format!("a listener cannot ask: {error}").into()),
    }
}

impl Listener {
    /// Begins to connect; [`Listener::ask`] follows once the socket can be written to.
    pub(crate) fn connect(server: SocketAddr, mount: usize) -> Outcome<Self> {
        let asked = Instant::now();
        let socket = connect(server, None)?;
        Ok(Self { socket, first_page: None, mount, asked, rest: Vec::new(), next: None })
    }

    /// Asks, if the connection is there; else false.
    pub(crate) fn ask(&mut self) -> Outcome<bool> {
        ask(&mut self.socket, self.mount)
    }

    /// Reads once; false if that was the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8], began: Instant, tally: &mut Tally) -> bool {
        let n = match self.socket.read(buffer) {
            Ok(0) => return false,
            Ok(n) => n,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let now = began.elapsed();
        let mut kept = take(&mut self.rest);
        let mut bytes = &buffer[..n];
        if !kept.is_empty() {
            kept.extend_from_slice(bytes);
            bytes = &kept;
        }
        loop {
            match Page::probe(bytes) {
                Probe::Page(page) => {
                    self.hear(&page, now, tally);
                    bytes = &bytes[page.bytes().len()..];
                }
                Probe::Incomplete(_) => break,
                // The answer's head, or a page that lost its end.
                Probe::NotAPage | Probe::Corrupt(_) => {
                    let next = bytes[1..].iter().position(|byte| *byte == CAPTURE_PATTERN[0]);
                    bytes = next.map_or(&[], |at| &bytes[1 + at..]);
                }
            }
        }
        self.rest = bytes.to_vec();
        true
    }

    fn hear(&mut self, page: &Page<'_>, now: Duration, tally: &mut Tally) {
        let mut newest = None;
        for mark in Mark::of(page) {
            let expected = self.next.unwrap_or(mark.number);
            tally.gaps += mark.number.saturating_sub(expected);
            self.next = Some(mark.number + 1);
            newest = Some(mark);
        }
        if let Some(mark) = newest {
            tally.pages += 1;
            tally.latencies.push(now.saturating_sub(mark.sent));
            self.first_page.get_or_insert_with(|| self.asked.elapsed());
        }
    }
}
