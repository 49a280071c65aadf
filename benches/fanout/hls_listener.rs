//! One HLS listener: a player and its connection. It fetches one file after the other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use socket2::{Domain, Socket, Type};

use crate::Outcome;
use crate::hls_player::{HlsPlayer, MediaFile, MediaPlaylist, Playback};
use crate::http_response::{ResponseReader, WholeResponse};

/// Pause before a failed request for the playlist is made again.
const RETRY: Duration = Duration::from_secs(1);

/// How listeners connect.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// To what.
    pub(crate) server: SocketAddr,
    /// Whether the connection stays open for the next request.
    pub(crate) keeps: bool,
    /// Whether they fetch parts.
    pub(crate) is_low_latency: bool,
}

/// What all listeners together have done.
#[derive(Default)]
pub(crate) struct Fetched {
    /// Playlists received.
    pub(crate) playlists: usize,
    /// Segments or parts received.
    pub(crate) files: usize,
    /// Bytes of all responses, with their heads.
    pub(crate) bytes: usize,
    /// Responses with another status than 200, and connections that broke.
    pub(crate) errors: usize,
    /// What they were, and how often.
    pub(crate) kinds_of_errors: BTreeMap<String, usize>,
    /// Files with other bytes than the first listener received.
    pub(crate) different: usize,
    /// The bytes that the first listener received, by URI.
    files_seen: HashMap<String, Vec<u8>>,
}

impl Fetched {
    /// Forgets the counts.
    pub(crate) fn reset(&mut self) {
        let files_seen = std::mem::take(&mut self.files_seen);
        *self = Self { files_seen, ..Self::default() };
    }

    fn note_error(&mut self, error: String) {
        self.errors += 1;
        *self.kinds_of_errors.entry(error).or_default() += 1;
    }

    fn compare(&mut self, uri: &str, body: &[u8]) {
        match self.files_seen.get(uri) {
            Some(first) => self.different += usize::from(first != body),
            None => _ = self.files_seen.insert(uri.to_owned(), body.to_vec()),
        }
    }
}

/// What a listener is waiting for.
pub(crate) enum Waiting {
    /// Its connection.
    ForConnection,
    /// A time.
    Until(Instant),
}

enum Requested {
    Playlist,
    File(MediaFile),
}

/// A listener.
pub(crate) struct HlsListener {
    manner: Manner,
    number: usize,
    /// Each listener has an address of its own.
    from: Ipv4Addr,
    player: HlsPlayer,
    playback: Playback,
    socket: Option<TcpStream>,
    /// What has been requested.
    requested: Option<Requested>,
    /// The request, until it is sent.
    unsent: String,
    reader: ResponseReader,
    queue: VecDeque<MediaFile>,
    /// When it requests the playlist again.
    reload: Instant,
    /// When it last did.
    reloaded: Instant,
}

impl HlsListener {
    /// A listener that begins at a time.
    pub(crate) fn new(manner: Manner, number: usize, begin: Instant) -> Self {
        let [high, low] = ((number % 65_536) as u16).to_be_bytes();
        Self {
            manner,
            number,
            from: Ipv4Addr::new(127, 1, high, low.max(1)),
            player: HlsPlayer::new(manner.is_low_latency),
            playback: Playback::default(),
            socket: None,
            requested: None,
            unsent: String::new(),
            reader: ResponseReader::default(),
            queue: VecDeque::new(),
            reload: begin,
            reloaded: begin,
        }
    }

    /// The next segment that it fetches.
    pub(crate) fn next_segment(&self) -> u64 {
        self.player.next_segment()
    }

    /// Segments or parts that it has lost, and how often one came late.
    pub(crate) fn lost_and_late(&self) -> (u64, u64) {
        (self.player.lost, self.playback.late)
    }

    /// Whether it waits for a response.
    pub(crate) fn is_waiting(&self) -> bool {
        self.requested.is_some()
    }

    /// Makes the next request if it is due.
    pub(crate) fn proceed(&mut self, epoll: &Epoll, fetched: &mut Fetched) -> Outcome<Waiting> {
        if self.requested.is_some() {
            return Ok(Waiting::ForConnection);
        }
        let now = Instant::now();
        let path = match self.queue.pop_front() {
            Some(file) => {
                let path = file.uri.clone();
                self.requested = Some(Requested::File(file));
                path
            }
            None if now < self.reload => return Ok(Waiting::Until(self.reload)),
            None => {
                self.requested = Some(Requested::Playlist);
                self.reloaded = now;
                self.player.playlist()
            }
        };
        let close = if self.manner.keeps { "" } else { "Connection: close\r\n" };
        self.unsent = format!(
            "GET {}/{path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: fanout\r\n{close}\r\n",
            crate::source::path(0)
        );
        if self.socket.is_none() {
            let socket = connect(self.manner.server, self.from)?;
            let event =
                EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT, self.number as u64);
            epoll.add(&socket, event)?;
            self.socket = Some(socket);
        } else {
            self.send(epoll, fetched)?;
        }
        Ok(match self.requested {
            Some(_) => Waiting::ForConnection,
            None => Waiting::Until(self.reload),
        })
    }

    /// Sends the request and reads what has arrived.
    pub(crate) fn handle(
        &mut self,
        epoll: &Epoll,
        buffer: &mut [u8],
        fetched: &mut Fetched,
    ) -> Outcome<()> {
        self.send(epoll, fetched)?;
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let n = match socket.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return self.fail(error.to_string(), fetched),
            Ok(0) if self.requested.is_none() => {
                // The server has closed a connection that was not used.
                self.socket = None;
                return Ok(());
            }
            Ok(0) => return self.fail("closed before the response".into(), fetched),
            Ok(n) => n,
        };
        if let Some(response) = self.reader.push(&buffer[..n])? {
            if !self.manner.keeps {
                self.socket = None;
            }
            self.take(&response, fetched)?;
        }
        Ok(())
    }

    fn send(&mut self, epoll: &Epoll, fetched: &mut Fetched) -> Outcome<()> {
        let Some(socket) = self.socket.as_mut().filter(|_| !self.unsent.is_empty()) else {
            return Ok(());
        };
        match socket.write_all(self.unsent.as_bytes()) {
            Ok(()) => {
                self.unsent.clear();
                let mut reading = EpollEvent::new(EpollFlags::EPOLLIN, self.number as u64);
                Ok(epoll.modify(socket, &mut reading)?)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => self.fail(format!("a request was not sent: {error}"), fetched),
        }
    }

    /// The connection broke.
    #[allow(clippy::unnecessary_wraps, reason = "ends its callers")]
    fn fail(&mut self, error: String, fetched: &mut Fetched) -> Outcome<()> {
        fetched.note_error(error);
        self.socket = None;
        self.unsent.clear();
        self.reader = ResponseReader::default();
        self.requested = None;
        self.reload = self.reload.max(Instant::now() + RETRY);
        Ok(())
    }

    fn take(&mut self, response: &WholeResponse, fetched: &mut Fetched) -> Outcome<()> {
        let requested = self.requested.take().ok_or("a response that nobody requested")?;
        fetched.bytes += response.length;
        if response.status != 200 {
            let body = String::from_utf8_lossy(&response.body);
            fetched.note_error(format!("{}: {}", response.status, body.trim_end()));
            self.reload = self.reload.max(Instant::now() + RETRY);
            return Ok(());
        }
        let Requested::File(file) = requested else {
            fetched.playlists += 1;
            let text = std::str::from_utf8(&response.body)?;
            let step = self.player.read(&MediaPlaylist::parse(text)?);
            self.queue.extend(step.files);
            self.reload = self.reloaded + step.reload_after;
            return Ok(());
        };
        fetched.compare(&file.uri, &response.body);
        if !file.duration.is_zero() {
            fetched.files += 1;
            self.playback.add(file.duration, Instant::now());
        }
        Ok(())
    }
}

/// Starts to connect from an address, without waiting.
fn connect(server: SocketAddr, from: Ipv4Addr) -> Outcome<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error.into()),
        _ => Ok(socket.into()),
    }
}
