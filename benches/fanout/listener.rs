//! One listener: requests a mount, and records which packets arrive and when.

use std::io::{ErrorKind, Read, Write};
use std::mem::take;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use ogg_splice::{CAPTURE_PATTERN, Page, Probe};
use socket2::{Domain, Socket, Type};

use crate::Outcome;
use crate::source::{Mark, path};

/// What all listeners together have received.
#[derive(Default)]
pub(crate) struct Received {
    /// Pages received.
    pub(crate) pages: usize,
    /// Packets missing between received packets.
    pub(crate) gaps: u64,
    /// The time of each page from its source to its listener.
    pub(crate) latencies: Vec<Duration>,
    /// Listeners that were disconnected.
    pub(crate) disconnected: usize,
}

/// A listener that reads.
pub(crate) struct Listener {
    /// The connection.
    pub(crate) socket: TcpStream,
    /// Time from the call of `connect` to the first page of audio.
    pub(crate) first_page: Option<Duration>,
    mount: usize,
    /// When the listener began to connect.
    began: Instant,
    /// The beginning of an incomplete page.
    incomplete: Vec<u8>,
    /// The number of the next packet.
    next: Option<u64>,
}

/// Opens a socket and starts to connect it, without waiting.
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

/// Sends a request such as a player other than a browser sends. False if the socket is not
/// connected yet.
pub(crate) fn send_request(socket: &mut TcpStream, mount: usize) -> Outcome<bool> {
    let path = path(mount);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: fanout\r\n\r\n");
    match socket.write_all(request.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(format!("a listener cannot send its request: {error}").into()),
    }
}

impl Listener {
    /// Starts to connect. [`Self::send_request`] follows when the socket is writable.
    pub(crate) fn connect(server: SocketAddr, mount: usize) -> Outcome<Self> {
        let began = Instant::now();
        let socket = connect(server, None)?;
        Ok(Self { socket, first_page: None, mount, began, incomplete: Vec::new(), next: None })
    }

    /// Sends the request. False if the socket is not connected yet.
    pub(crate) fn send_request(&mut self) -> Outcome<bool> {
        send_request(&mut self.socket, self.mount)
    }

    /// Reads once, at a time counted from `epoch`. False at the end of the connection.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        epoch: Instant,
        received: &mut Received,
    ) -> bool {
        let n = match self.socket.read(buffer) {
            Ok(0) => return false,
            Ok(n) => n,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let now = epoch.elapsed();
        let mut kept = take(&mut self.incomplete);
        let mut bytes = &buffer[..n];
        if !kept.is_empty() {
            kept.extend_from_slice(bytes);
            bytes = &kept;
        }
        loop {
            match Page::probe(bytes) {
                Probe::Page(page) => {
                    self.record(&page, now, received);
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
        self.incomplete = bytes.to_vec();
        true
    }

    /// Records a page: gaps before its packets, and the latency of its newest packet.
    fn record(&mut self, page: &Page<'_>, now: Duration, received: &mut Received) {
        let mut newest = None;
        for mark in Mark::of(page) {
            let expected = self.next.unwrap_or(mark.number);
            received.gaps += mark.number.saturating_sub(expected);
            self.next = Some(mark.number + 1);
            newest = Some(mark);
        }
        if let Some(mark) = newest {
            received.pages += 1;
            received.latencies.push(now.saturating_sub(mark.sent));
            self.first_page.get_or_insert_with(|| self.began.elapsed());
        }
    }
}
