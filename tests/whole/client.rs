//! Clients that a test drives by hand, where it must know every byte.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use base64::Engine;
use socket2::{Domain, Socket, Type};

use crate::daemon::{ADMIN_PASSWORD, Daemon, PASSWORD};
use crate::ogg;
use crate::wait::{PATIENCE, until_received};

/// An answer: its status, its head and the part of its body that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn login(password: &str) -> String {
    login_as("source", password)
}

pub(crate) fn login_as(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {pair}\r\n")
}

/// The administrator's login.
pub(crate) fn admin() -> String {
    login_as("admin", ADMIN_PASSWORD)
}

/// A server that listens on loopback.
pub(crate) trait Server {
    fn port(&self) -> u16;
}

impl Server for Daemon {
    fn port(&self) -> u16 {
        self.port
    }
}

impl Server for u16 {
    fn port(&self) -> u16 {
        *self
    }
}

/// Connects; connecting, reads and writes fail if they take longer than [`PATIENCE`].
fn dial(port: u16, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    prepare(&socket)?;
    socket.connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)).into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

pub(crate) fn connect(server: &impl Server) -> TcpStream {
    let socket = try_connect(server).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Connects, if somebody listens there.
pub(crate) fn try_connect(server: &impl Server) -> io::Result<TcpStream> {
    dial(server.port(), |_| Ok(()))
}

/// Connects from one of this machine's addresses.
pub(crate) fn connect_from(address: [u8; 4], server: &impl Server) -> TcpStream {
    dial(server.port(), |socket| socket.bind(&SocketAddr::from((address, 0)).into())).unwrap()
}

/// Connects with a small receive buffer: what the client does not read soon stays with the server.
pub(crate) fn connect_with_little_room(server: &impl Server) -> TcpStream {
    dial(server.port(), |socket| socket.set_recv_buffer_size(4096)).unwrap()
}

/// Reads one answer's head, byte by byte so that nothing after it is lost.
pub(crate) fn read_head(socket: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let read = socket.read(&mut byte).unwrap();
        let text = || String::from_utf8_lossy(&head);
        assert_eq!(read, 1, "the connection was closed within a head: {:?}", text());
        assert!(head.len() < 64 * 1024, "a head without an end: {:?}", text());
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: Vec::new() }
}

/// Sends a request and reads the whole answer, to its length or to the end.
pub(crate) fn exchange(socket: &mut TcpStream, request: &str) -> Answer {
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = read_head(socket);
    match answer.field("content-length").map(|length| length.parse().unwrap()) {
        Some(length) if !request.starts_with("HEAD") => {
            answer.body = vec![0; length];
            socket.read_exact(&mut answer.body).unwrap();
        }
        None if answer.status != 204 && !request.starts_with("HEAD") => {
            let chunked = answer.field("transfer-encoding") == Some("chunked");
            answer.body = read_to_end(socket);
            if chunked {
                let mut body = Vec::new();
                Chunked::new(&answer.body[..]).read_to_end(&mut body).unwrap();
                answer.body = body;
            }
        }
        _ => {}
    }
    answer
}

/// One request on a connection of its own.
pub(crate) fn request(server: &impl Server, request: &str) -> Answer {
    exchange(&mut connect(server), request)
}

pub(crate) fn get(server: &impl Server, path: &str) -> Answer {
    get_with(server, path, "")
}

/// The same with further header fields.
pub(crate) fn get_with(server: &impl Server, path: &str, fields: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n");
    request(server, &head)
}

/// Reads until the connection ends, in order or by a reset.
pub(crate) fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    until_received("the end of a connection", PATIENCE, || {
        match socket.read(&mut some) {
            Ok(0) => return Ok(()),
            Ok(n) => all.extend_from_slice(&some[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => panic!("{error} after {} bytes", all.len()),
        }
        Err(format!("{} bytes so far", all.len()))
    });
    all
}

/// Decodes a chunked body (RFC 9112, section 7.1).
pub(crate) struct Chunked<R> {
    pub inner: R,
    /// Bytes left in the chunk that is being read.
    left: usize,
}

impl<R: BufRead> Chunked<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, left: 0 }
    }
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            // The line end of the previous chunk comes first, if there was one.
            while line.trim_end().is_empty() && line.len() < 4 {
                if self.inner.read_line(&mut line)? == 0 {
                    return Ok(0);
                }
            }
            self.left = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = self.left.min(buffer.len());
        let n = self.inner.read(&mut buffer[..most])?;
        self.left -= n;
        Ok(n)
    }
}

/// A source that sends what it is told, when it is told.
pub(crate) struct Source {
    pub socket: TcpStream,
    serial: u32,
    next: u32,
}

impl Source {
    /// Connects as FFmpeg does, sends the headers and waits until the server has read them.
    pub(crate) fn connect(server: &Daemon, mount: &str, serial: u32) -> Self {
        let name = percent_encoding::percent_decode_str(mount).decode_utf8().unwrap();
        let began = ["event=\"stream-", "codec=", &format!("mount={name:?}")];
        let before = server.count_lines(&began);
        let source = Self::introduce(server, mount, serial);
        server.wait_for_lines(&began, before + 1);
        source
    }

    /// Connects as FFmpeg does and sends the headers.
    pub(crate) fn introduce(server: &impl Server, mount: &str, serial: u32) -> Self {
        let mut socket = connect(server);
        let login = login(PASSWORD);
        let head =
            format!("PUT {mount} HTTP/1.1\r\nHost: x\r\n{login}Expect: 100-continue\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_head(&mut socket).status, 100);
        socket.write_all(&ogg::headers(serial)).unwrap();
        assert_eq!(read_head(&mut socket).status, 200);
        Self { socket, serial, next: 0 }
    }

    /// Turns Nagle's algorithm on again, as it is unless a program sets `TCP_NODELAY`.
    #[allow(dead_code, reason = "for tests/hostile")]
    pub(crate) fn with_delay(self) -> Self {
        self.socket.set_nodelay(false).unwrap();
        self
    }

    /// Sends pages of 20 ms, each with a packet of `size` bytes.
    pub(crate) fn send(&mut self, pages: u32, size: usize) {
        let mut bytes = Vec::new();
        for number in self.next..self.next + pages {
            bytes.extend(ogg::audio(self.serial, number, size));
        }
        self.next += pages;
        self.socket.write_all(&bytes).unwrap();
    }

    /// Hangs up.
    pub(crate) fn leave(self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }
}

/// A listener that reads one page at a time.
pub(crate) struct Listener {
    pub socket: TcpStream,
    pub answer: Answer,
}

impl Listener {
    pub(crate) fn join(server: &impl Server, target: &str) -> Self {
        Self::join_with(server, target, "")
    }

    pub(crate) fn join_with(server: &impl Server, target: &str, fields: &str) -> Self {
        let mut socket = connect(server);
        write!(socket, "GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").unwrap();
        let answer = read_head(&mut socket);
        assert_eq!(answer.status, 200);
        Self { socket, answer }
    }

    /// A listener that the test does not read from, with a small receive buffer.
    pub(crate) fn join_stuck(server: &impl Server, target: &str) -> Self {
        let mut socket = connect_with_little_room(server);
        write!(socket, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let answer = read_head(&mut socket);
        assert_eq!(answer.status, 200);
        Self { socket, answer }
    }

    /// The next page's bytes; `None` if the connection has ended, in order or by a reset.
    pub(crate) fn page(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 27];
        match self.socket.read(&mut bytes[..1]) {
            Ok(0) => return None,
            Ok(_) => self.socket.read_exact(&mut bytes[1..]).unwrap(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no page: {error}"),
        }
        assert_eq!(&bytes[..4], b"OggS");
        let mut lacing = vec![0; usize::from(bytes[26])];
        self.socket.read_exact(&mut lacing).unwrap();
        let mut body = vec![0; lacing.iter().map(|&l| usize::from(l)).sum()];
        self.socket.read_exact(&mut body).unwrap();
        bytes.extend(lacing);
        bytes.extend(body);
        Some(bytes)
    }

    /// Skips pages of silence and returns the number that [`ogg::audio`] gave the next page, which must be valid.
    pub(crate) fn number(&mut self) -> u32 {
        until_received("a page of audio", PATIENCE, || {
            let bytes = self.page().expect("the stream ended");
            let page = ogg::next_page(&mut &bytes[..]).expect("an invalid page");
            if ogg::is_silence(&page) { Err("silence") } else { Ok(ogg::number(&page)) }
        })
    }

    /// Reads to the end of the stream and returns the last page, if there was any.
    pub(crate) fn last_page(&mut self) -> Option<Vec<u8>> {
        let (mut last, mut pages) = (None, 0);
        until_received("the end of a stream", PATIENCE, || {
            match self.page() {
                None => return Ok(()),
                page => last = page,
            }
            pages += 1;
            Err(format!("{pages} pages so far"))
        });
        last
    }

    /// The two header pages.
    pub(crate) fn headers(&mut self) -> Vec<u8> {
        [self.page().unwrap(), self.page().unwrap()].concat()
    }
}
