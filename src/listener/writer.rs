//! One listener: a socket, a cursor into the ring, and bytes to send before those at the cursor.
//!
//! A listener has no queue. Pages that do not fit in the kernel's send buffer stay in the ring. If
//! the ring overwrites them before the listener catches up, it alone loses them.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::filler::Filler;
use tokio::sync::oneshot;

use crate::mount::{Cursor, JoinPoint, Lag, PageLog, Registration, Ring};
use crate::quota::Permit;
use crate::tcp::{AckProgress, unacknowledged};
use ogg_splice::{CAPTURE_PATTERN, MAX_PAGE, PAGE_HEADER_LEN};

/// Replaces the rest of a page that the ring overwrote after a part of it was sent. The page keeps
/// its length and fails its checksum, so a player loses this page only. Begins with the capture
/// pattern, in case only a part of that was sent.
static PADDING: [u8; PAGE_HEADER_LEN + MAX_PAGE] = {
    let mut padding = [0; PAGE_HEADER_LEN + MAX_PAGE];
    let mut at = 0;
    while at < CAPTURE_PATTERN.len() {
        padding[at] = CAPTURE_PATTERN[at];
        at += 1;
    }
    padding
};

/// A connected listener. Data that is not needed for every page is behind a pointer, because an
/// audience walks through all its listeners for every page.
#[derive(Debug)]
pub struct Listener {
    socket: TcpStream,
    preamble: Option<Box<Preamble>>,
    /// The part of [`PADDING`] that is still to be sent.
    padding: Range<usize>,
    cursor: Cursor,
    /// The stream that it receives.
    pub era: u64,
    /// Whether the session has a filler.
    pub takes_filler: bool,
    /// Whether the kernel's send buffer is full.
    pub blocked: bool,
    /// Whether everything was written to it, and only the acknowledgement is missing.
    pub finishing: bool,
    ack_progress: AckProgress,
    /// Duration of the burst.
    burst: Duration,
    /// Bytes written to the socket.
    pub sent: u64,
    /// How often the ring overtook it.
    pub skips: u64,
    /// Its registration and permits.
    pub session: Box<ListenerSession>,
}

/// What a listener holds until it leaves, and how long it may stay.
#[derive(Debug)]
pub struct ListenerSession {
    /// Its entry in the listener directory.
    pub registration: Registration,
    /// When it is disconnected; `None` for no limit.
    pub until: Option<Instant>,
    /// Whether its player goes on when another stream follows on the same connection.
    pub takes_chains: bool,
    /// What fills up quiet audio; `None` for a player that does not need it.
    pub filler: Option<Filler>,
    /// Its permits from the quotas, freed when it leaves.
    pub permits: Vec<Permit>,
    /// Receives the reason when this server ends the connection. Dropped when the peer ends it.
    pub on_end: Option<oneshot::Sender<String>>,
}

/// The response head and the stream's headers, until they are written.
///
/// The headers belong to the mount. If listeners kept them, a source that restarts often would
/// leave one copy per restart with listeners that read nothing.
#[derive(Debug)]
struct Preamble {
    head: Vec<u8>,
    stream: Weak<JoinPoint>,
    sent: usize,
}

/// The pages that a listener needs next that has received all earlier ones. Nearly all listeners
/// are at the same place, so these are looked up once for a walk through them.
#[derive(Clone, Copy, Debug)]
pub struct NewestPages<'r> {
    era: u64,
    from: u64,
    pages: &'r [u8],
}

/// The result of [`Listener::write`].
#[derive(Debug)]
pub enum WriteOutcome {
    /// Everything that was published has been written.
    CaughtUp,
    /// The kernel's send buffer is full.
    Blocked,
    /// The stream has ended, and all of it has been written.
    Ended,
    /// The stream's headers were replaced before all of them were written.
    HeadersReplaced,
    /// The connection failed.
    Failed(io::Error),
}

impl Listener {
    /// A listener that is sent `head`, then the headers of `stream`, then the pages from `cursor`
    /// on. `burst` is the duration of the pages that exist now.
    pub fn new(
        socket: TcpStream,
        (head, stream): (Vec<u8>, &Arc<JoinPoint>),
        (cursor, burst): (Cursor, Duration),
        era: u64,
        session: ListenerSession,
        now: Instant,
    ) -> Self {
        let preamble = Preamble { head, stream: Arc::downgrade(stream), sent: 0 };
        Self {
            socket,
            preamble: Some(Box::new(preamble)),
            padding: 0..0,
            cursor,
            era,
            takes_filler: session.filler.is_some(),
            blocked: false,
            finishing: false,
            ack_progress: AckProgress::new(now),
            burst,
            sent: 0,
            skips: 0,
            session: Box::new(session),
        }
    }

    /// The listener's socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// By how many bytes the listener is behind the newest page.
    pub fn lag(&self, ring: &Ring) -> u64 {
        ring.head().saturating_sub(self.cursor.position())
    }

    /// The pages that this listener needs next, and probably others too. `None` if it has all pages, if
    /// the pages wrap in the ring, or if the listener needs anything else.
    pub fn newest_pages<'r>(&self, log: &'r PageLog) -> Option<NewestPages<'r>> {
        let [pages, rest] = log.ring.ready(&self.cursor, u64::MAX);
        let from = self.cursor.position();
        let is_usual = self.needs_only_pages() && self.era == log.era && from >= log.ring.tail();
        let is_one_piece = rest.is_empty() && !pages.is_empty();
        (is_usual && is_one_piece).then_some(NewestPages { era: log.era, from, pages })
    }

    /// Whether the listener needs just these pages.
    pub fn needs(&self, newest: &NewestPages<'_>) -> bool {
        self.cursor.position() == newest.from && self.era == newest.era && self.needs_only_pages()
    }

    /// Writes the pages that the listener [needs](Self::needs).
    pub fn write_newest(&mut self, newest: &NewestPages<'_>, ring: &Ring) -> WriteOutcome {
        loop {
            match (&self.socket).write(newest.pages) {
                Ok(written) => {
                    self.sent += written as u64;
                    ring.advance(&mut self.cursor, written);
                    let is_complete = written == newest.pages.len();
                    return if is_complete {
                        WriteOutcome::CaughtUp
                    } else {
                        WriteOutcome::Blocked
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return WriteOutcome::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return WriteOutcome::Failed(error),
            }
        }
    }

    fn needs_only_pages(&self) -> bool {
        self.preamble.is_none() && self.padding.is_empty() && !self.takes_filler && !self.finishing
    }

    /// Writes directly from the ring until everything is written or the kernel's send buffer is
    /// full. `end` is the ring position where the listener's stream has ended, if it has.
    pub fn write(&mut self, ring: &Ring, end: Option<u64>) -> WriteOutcome {
        loop {
            if let Lag::Overtaken { padding, header_read } = ring.catch_up(&mut self.cursor) {
                self.skips += 1;
                if padding > 0 {
                    self.padding = header_read..header_read + padding;
                }
            }
            let pages = ring.ready(&self.cursor, end.unwrap_or(u64::MAX));
            let stream = self.preamble.as_ref().map(|preamble| preamble.stream.upgrade());
            let (head, headers) = match (&self.preamble, &stream) {
                (Some(preamble), Some(Some(stream))) => preamble.unsent(&stream.headers.pages),
                (Some(_), _) => return WriteOutcome::HeadersReplaced,
                (None, _) => (&[][..], &[][..]),
            };
            let padding = &PADDING[self.padding.clone()];
            // Most listeners have none, and their session is not looked at for it.
            let filler = if self.takes_filler { self.session.unsent_filler() } else { &[] };
            let slices = [head, headers, padding, filler, pages[0], pages[1]];
            let total = slices.iter().map(|slice| slice.len()).sum();
            if total == 0 {
                let ended = end.is_some_and(|end| self.cursor.position() >= end);
                return if ended { WriteOutcome::Ended } else { WriteOutcome::CaughtUp };
            }
            match (&self.socket).write_vectored(&slices.map(IoSlice::new)) {
                Ok(written) => {
                    let before = head.len() + headers.len();
                    self.count_written(ring, written, before, filler.len());
                    if written < total {
                        return WriteOutcome::Blocked;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return WriteOutcome::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return WriteOutcome::Failed(error),
            }
        }
    }

    /// Continues with the stream that follows the one that the listener has received to its end.
    /// Returns false if no stream follows, or if the ring has overwritten that end.
    pub fn join_next_stream(&mut self, pages: &PageLog) -> bool {
        let is_complete = pages.end_of(self.era) == Some(self.cursor.position());
        let Some(stream) = pages.stream.as_ref().filter(|_| is_complete) else { return false };
        let preamble = Preamble { head: Vec::new(), stream: Arc::downgrade(stream), sent: 0 };
        self.preamble = Some(Box::new(preamble));
        (self.cursor, self.era) = (pages.ring.at(stream.start), pages.era);
        true
    }

    /// Switches to the stream's current headers after its old headers were replaced. Returns false
    /// if a part of the old headers was written, or if the stream has ended.
    pub fn replace_headers(&mut self, pages: &PageLog) -> bool {
        match (&mut self.preamble, &pages.stream) {
            (Some(preamble), Some(stream))
                if pages.era == self.era && preamble.sent <= preamble.head.len() =>
            {
                preamble.stream = Arc::downgrade(stream);
                true
            }
            _ => false,
        }
    }

    /// How long the peer has acknowledged nothing although data is waiting for it, minus the
    /// duration of the burst.
    ///
    /// A player buffers as much audio as its burst had. If its buffers are full, it may not read
    /// again before it has played half of them.
    pub fn stalled(&mut self, now: Instant) -> Duration {
        // This ioctl does not fail on a connected socket. If it did, the listener would stay.
        let unacknowledged = unacknowledged(&self.socket).unwrap_or(0);
        self.ack_progress.stalled(self.sent, unacknowledged, now).saturating_sub(self.burst)
    }

    /// Sends a FIN at the first call. Returns whether the peer has acknowledged everything,
    /// including the FIN, or cannot do so any more.
    pub fn finish(&mut self) -> bool {
        if !std::mem::replace(&mut self.finishing, true)
            && self.socket.shutdown(Shutdown::Write).is_err()
        {
            return true;
        }
        unacknowledged(&self.socket).map_or(true, |bytes| bytes == 0)
    }

    /// Fills up quiet audio, once all of it was written. Returns whether there is anything to write.
    pub fn top_up(&mut self, now: Instant) -> bool {
        let Some(filler) = &mut self.session.filler else { return false };
        filler.top_up(now);
        !filler.unsent().is_empty()
    }

    /// Counts `written` bytes: first against the `unsent` bytes of the preamble, then against the
    /// padding, then against the `filler` bytes, then against the pages.
    fn count_written(&mut self, ring: &Ring, written: usize, unsent: usize, filler: usize) {
        self.sent += written as u64;
        let of_preamble = written.min(unsent);
        if of_preamble == unsent {
            self.preamble = None;
        } else if let Some(preamble) = &mut self.preamble {
            preamble.sent += of_preamble;
        }
        let of_padding = (written - of_preamble).min(self.padding.len());
        self.padding.start += of_padding;
        let rest = written - of_preamble - of_padding;
        let of_filler = rest.min(filler);
        if let Some(filler) = &mut self.session.filler {
            filler.advance(of_filler);
            filler.count((rest - of_filler) as u64);
        }
        ring.advance(&mut self.cursor, rest - of_filler);
    }

    /// Reads and discards up to 16 KiB of input. Closing a socket with unread input resets the
    /// connection, and the peer may lose the end of the stream.
    pub fn discard_input(&self) {
        let mut buffer = [0; 4096];
        for _ in 0..4 {
            if !matches!((&self.socket).read(&mut buffer), Ok(1..)) {
                break;
            }
        }
    }
}

impl ListenerSession {
    fn unsent_filler(&self) -> &'static [u8] {
        self.filler.as_ref().map_or(&[], Filler::unsent)
    }
}

impl Preamble {
    /// The unsent parts of the response head and of `headers`.
    fn unsent<'a>(&'a self, headers: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let of_head = self.sent.min(self.head.len());
        (&self.head[of_head..], &headers[self.sent - of_head..])
    }
}
