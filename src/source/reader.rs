//! Reads pages from a source's connection, publishes them and begins to deliver them.
//!
//! A read waits for nothing but the socket and the pace limit. Input that wastes time, or that holds no
//! audio, ends the source.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use ogg_splice::{CAPTURE_PATTERN, PageRole, Scanner, StreamReader};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::body::BodyFraming;
use super::connection::{ResponseTiming, SourceConnection};
use super::end::SourceEnd;
use super::sniff;
use crate::clock::{Clock, Moment};
use crate::http::{CONTINUE, SERVER, date};
use crate::listener::Audience;
use crate::log::journal;
use crate::mount::{Claim, MountEntry};
use crate::quota::Permit;

/// A source that sends this many bytes without a usable page is disconnected.
const MAX_BYTES_WITHOUT_PAGE: u64 = 256 * 1024;
/// A source is disconnected if more than this many bytes, plus 16 times those received, were
/// checksummed without finding a valid page. Real damage costs a few pages, but crafted input can
/// cost thousands of times its size.
const MAX_REJECTED_BYTES: u64 = 8 * 1024 * 1024;
/// How long to wait for an encoder's first bytes before answering it. The encoder may itself be
/// waiting for the response.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_millis(500);

/// In each [`PACE_INTERVAL`], at most the ring's size divided by this is read from a source. After
/// the server was suspended, the source's backlog arrives all at once, and must not overtake a
/// listener that reads without delay.
const PACE_DIVISOR: usize = 4;
const PACE_INTERVAL: Duration = Duration::from_millis(20);
/// After this many bytes were received or checksummed, the source lets other tasks run. A page of
/// usual length has a few hundred.
const BYTES_BEFORE_YIELD: u64 = 64 * 1024;

/// How many bytes were read in the current pace interval.
struct ReadPace {
    read: usize,
    since: Instant,
}

impl ReadPace {
    /// Whether `limit` bytes have been read in the current interval. Begins a new interval if the
    /// current one is over.
    fn is_exhausted(&mut self, limit: usize, now: Instant) -> bool {
        if now >= self.interval_end() {
            *self = Self { read: 0, since: now };
        }
        self.read >= limit
    }

    fn interval_end(&self) -> Instant {
        self.since + PACE_INTERVAL
    }
}

/// Reads pages from one connection.
pub(super) struct SourceReader {
    socket: TcpStream,
    /// Bytes that the door has read already, and that come before those in the socket.
    read: Vec<u8>,
    body: BodyFraming,
    timing: ResponseTiming,
    /// Whether the final response has been sent.
    answered: bool,
    scanner: Scanner,
    stream: StreamReader,
    /// Bytes of the body received so far, without its framing.
    pub(super) bytes: u64,
    /// Bytes of pages that do not belong to the stream, since the last audio page.
    stray_bytes: u64,
    /// Bytes that were skipped because they are not valid pages.
    pub(super) damaged_bytes: u64,
    pace: ReadPace,
    /// Bytes received or checksummed when other tasks were last given a turn.
    done_before_yield: u64,
    clock: Clock,
    _permit: Option<Permit>,
    on_end: Option<oneshot::Sender<String>>,
}

impl SourceReader {
    /// # Errors
    /// The system's error if the socket cannot be set up.
    pub(super) fn new(connection: SourceConnection, clock: Clock) -> io::Result<Self> {
        // Do not reset the connection on close. The unacknowledged response is small enough to stay
        // in the kernel until the source has acknowledged it.
        let options = SockRef::from(&connection.socket);
        options.set_linger(None)?;
        // Acknowledge two pages at once, as TCP allows (RFC 9293, section 3.8.6.3), instead of each
        // page at once: half as many packets on the encoder's network, and less work here.
        options.set_tcp_quickack(false)?;
        Ok(Self {
            pace: ReadPace { read: 0, since: clock.now() },
            clock,
            socket: TcpStream::from_std(connection.socket)?,
            read: connection.read,
            body: connection.body,
            timing: connection.timing,
            answered: false,
            scanner: Scanner::new(),
            stream: StreamReader::default(),
            bytes: 0,
            stray_bytes: 0,
            damaged_bytes: 0,
            done_before_yield: 0,
            _permit: connection.permit,
            on_end: connection.on_end,
        })
    }

    /// Tells the task that made the connection why this server ends it.
    pub(super) fn report_end(&mut self, end: &SourceEnd) {
        if let Some(on_end) = self.on_end.take()
            && !matches!(end, SourceEnd::Disconnected | SourceEnd::Complete)
        {
            // It may wait no longer.
            let _ = on_end.send(end.to_string());
        }
    }

    /// Reads and publishes until the source ends. Sets `heard` to the time of each read.
    pub(super) async fn run(
        &mut self,
        claim: &mut Claim,
        audience: &Audience,
        heard: &Cell<Instant>,
    ) -> SourceEnd {
        let timeout = claim.entry().settings().source_timeout;
        if let Err(end) = self.respond(timeout).await {
            return end;
        }
        let limit = claim.ring() / PACE_DIVISOR;
        loop {
            let now = self.clock.moment();
            heard.set(now.at);
            match self.publish(claim, now) {
                Ok(true) => audience.deliver(),
                Ok(false) => {}
                Err(end) => return end,
            }
            if self.body.is_done() {
                return SourceEnd::Complete;
            }
            if self.pace.is_exhausted(limit, now.at) {
                self.clock.sleep_until(self.pace.interval_end()).await;
            } else if self.is_time_to_yield() {
                yield_now().await;
            }
            if let Err(end) = self.read_more().await {
                return end;
            }
        }
    }

    /// Whether so much was done since this last returned true that other tasks should run.
    fn is_time_to_yield(&mut self) -> bool {
        // One read of crafted input can be checksummed thousands of times.
        let done = self.bytes + self.scanner.wasted_checksum_bytes();
        let is_time = done - self.done_before_yield >= BYTES_BEFORE_YIELD;
        if is_time {
            self.done_before_yield = done;
        }
        is_time
    }

    /// The socket, how its body is framed, and whether the final response has been sent. Frees
    /// everything else.
    pub(super) fn into_connection(self) -> (TcpStream, BodyFraming, bool) {
        (self.socket, self.body, self.answered)
    }

    /// Responds when the encoder expects it, and checks whether its first bytes are Ogg.
    async fn respond(&mut self, timeout: Duration) -> Result<(), SourceEnd> {
        match self.timing {
            ResponseTiming::Never => {
                self.answered = true;
                return Ok(());
            }
            ResponseTiming::AnswerFirst => return self.answer().await,
            ResponseTiming::Expects | ResponseTiming::Either => {}
        }
        if self.timing == ResponseTiming::Expects {
            self.socket.write_all(CONTINUE).await?;
        }
        let clock = self.clock.clone();
        let first_bytes = async {
            while self.scanner.waiting().len() < CAPTURE_PATTERN.len() && !self.body.is_done() {
                self.read_more().await?;
            }
            Ok::<_, SourceEnd>(())
        };
        let waits_for_response =
            match clock.timeout(FIRST_BYTES_TIMEOUT.min(timeout), first_bytes).await {
                Ok(read) => {
                    read?;
                    false
                }
                Err(_) => self.timing == ResponseTiming::Expects,
            };
        self.check_first_bytes()?;
        // Clients that frame their upload expect the response after its end.
        if waits_for_response || !self.body.is_framed() {
            self.answer().await?;
        }
        Ok(())
    }

    /// Accepts the stream before its end. Old Icecast encoders require HTTP/1.0. There is no
    /// `Content-Length`: curl would take the response for complete, and stop sending.
    async fn answer(&mut self) -> Result<(), SourceEnd> {
        self.answered = true;
        let head = format!(
            "HTTP/1.0 200 OK\r\nServer: {SERVER}\r\nDate: {}\r\nConnection: Close\r\n\r\n",
            date()
        );
        self.socket.write_all(head.as_bytes()).await?;
        Ok(())
    }

    /// Checks that the source's first bytes are Ogg. Later bytes that are not Ogg count as damage.
    #[inline]
    fn check_first_bytes(&self) -> Result<(), SourceEnd> {
        let first = self.scanner.waiting();
        let compared = first.len().min(CAPTURE_PATTERN.len());
        if self.bytes > first.len() as u64 || first[..compared] == CAPTURE_PATTERN[..compared] {
            Ok(())
        } else {
            Err(SourceEnd::NotOgg(sniff::describe(first)))
        }
    }

    async fn read_more(&mut self) -> Result<(), SourceEnd> {
        let room = self.scanner.room();
        let n = if self.read.is_empty() {
            match self.socket.read(room).await {
                Ok(n) => n,
                // FFmpeg never reads the response to its PUT, so its close resets the connection.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                Err(error) => return Err(error.into()),
            }
        } else {
            let n = self.read.len().min(room.len());
            room[..n].copy_from_slice(&self.read[..n]);
            self.read.drain(..n);
            n
        };
        if n == 0 {
            return Err(SourceEnd::Disconnected);
        }
        let kept = self.body.strip(&mut room[..n])?;
        self.scanner.filled(kept);
        self.bytes += kept as u64;
        self.pace.read += kept;
        Ok(())
    }

    /// Publishes all complete pages; returns whether there was any audio.
    fn publish(&mut self, claim: &mut Claim, now: Moment) -> Result<bool, SourceEnd> {
        self.check_first_bytes()?;
        let mut published = false;
        while let Some(page) = self.scanner.next_page() {
            match self.stream.push(&page)? {
                PageRole::Header => {}
                PageRole::Headers(headers) => claim.begin(headers, now),
                PageRole::Audio => {
                    self.stray_bytes = 0;
                    published = true;
                    claim.publish(&page, now);
                }
                PageRole::Stray => self.stray_bytes += page.bytes().len() as u64,
            }
        }
        let skipped = self.scanner.take_skipped();
        if skipped > 0 {
            self.count_damage(skipped, claim.entry());
        }
        let is_crafted =
            self.scanner.wasted_checksum_bytes() > MAX_REJECTED_BYTES + self.bytes * 16;
        let unusable = self.scanner.skipped_since_page().max(self.stray_bytes);
        if is_crafted || unusable > MAX_BYTES_WITHOUT_PAGE {
            return Err(SourceEnd::NoUsablePage);
        }
        Ok(published)
    }

    #[cold]
    fn count_damage(&mut self, bytes: u64, entry: &MountEntry) {
        self.damaged_bytes += bytes;
        let mount = entry.name.as_str();
        journal!(warn, SOURCE_DAMAGE, mount, bytes, "skipped bytes that are not valid Ogg pages");
    }
}
