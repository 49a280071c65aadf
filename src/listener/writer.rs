//! One listener: a socket, a cursor, and what it is still owed before the cursor counts.
//!
//! It holds no queue. What the kernel does not take now stays in the ring, and is
//! lost to this listener alone if it stays away for longer than the ring is.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::mount::{Cursor, JoinPoint, Lag, PageLog, Registration, Ring};
use crate::quota::Permit;
use crate::tcp::{AckProgress, unacknowledged};
use ogg_splice::{CAPTURE, MAX_PAGE, PAGE_HEADER};

/// Stands in for the rest of a page that the ring overwrote while it was half sent: the length
/// stays true, the checksum does not, and a player loses that one page and no more. It begins as
/// every page does.
static PADDING: [u8; PAGE_HEADER + MAX_PAGE] = {
    let mut padding = [0; PAGE_HEADER + MAX_PAGE];
    let mut at = 0;
    while at < CAPTURE.len() {
        padding[at] = CAPTURE[at];
        at += 1;
    }
    padding
};

/// A connected listener. What is not needed for every page is behind a pointer, as all of them
/// are walked through for every page.
#[derive(Debug)]
pub struct Listener {
    socket: TcpStream,
    opening: Option<Box<Opening>>,
    /// What is left of [`PADDING`] to be sent.
    padding: Range<usize>,
    cursor: Cursor,
    /// Which of the mount's streams it hears.
    pub era: u64,
    /// The kernel takes nothing for it at the moment.
    pub blocked: bool,
    /// It has been written everything that it will get, and has yet to acknowledge it.
    pub finishing: bool,
    acknowledged: AckProgress,
    /// How much audio it was given at once.
    ahead: Duration,
    /// Bytes that the kernel has taken.
    pub sent: u64,
    /// How often the ring overtook it.
    pub skips: u64,
    /// Who it is, for the record.
    pub session: Box<ListenerSession>,
}

/// Who listens, and the seats taken for it.
#[derive(Debug)]
pub struct ListenerSession {
    /// Its registration among those who listen.
    pub registration: Registration,
    /// When it has to go, if it may not stay as long as it likes.
    pub until: Option<Instant>,
    /// Freed when it leaves.
    pub permits: Vec<Permit>,
}

/// The response head and the stream's headers, until the kernel has them. The headers belong to the mount. If
/// listeners kept them, a source that restarts often would leave one copy per restart with listeners that read nothing.
#[derive(Debug)]
struct Opening {
    head: Vec<u8>,
    stream: Weak<JoinPoint>,
    sent: usize,
}

/// How far a write got.
#[derive(Debug)]
pub enum WriteOutcome {
    /// All there is has been taken.
    CaughtUp,
    /// The kernel takes no more for now.
    Blocked,
    /// The stream is over, and all of it has been taken.
    Ended,
    /// Its headers were replaced before all of them were taken.
    HeadersGone,
    /// The peer is gone.
    Gone(io::Error),
}

impl Listener {
    /// A listener that is owed `head` and the headers of a stream, and then the pages from `cursor`; what there is of
    /// them now lasts for as long as it is `ahead`.
    pub fn new(
        socket: TcpStream,
        (head, stream): (Vec<u8>, &Arc<JoinPoint>),
        (cursor, ahead): (Cursor, Duration),
        era: u64,
        session: ListenerSession,
        now: Instant,
    ) -> Self {
        let opening = Opening { head, stream: Arc::downgrade(stream), sent: 0 };
        Self {
            socket,
            opening: Some(Box::new(opening)),
            padding: 0..0,
            cursor,
            era,
            blocked: false,
            finishing: false,
            acknowledged: AckProgress::new(now),
            ahead,
            sent: 0,
            skips: 0,
            session: Box::new(session),
        }
    }

    /// The socket, for registration.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// How far it is behind what the ring has, in bytes.
    pub fn lag(&self, ring: &Ring) -> u64 {
        ring.head().saturating_sub(self.cursor.position())
    }

    /// Writes what is ready, straight from the ring, until all is taken or the kernel is full.
    /// `end` is where the stream ends, if it has.
    pub fn write(&mut self, ring: &Ring, end: Option<u64>) -> WriteOutcome {
        loop {
            if let Lag::Overtaken { padding: torn, header_read: taken } =
                ring.catch_up(&mut self.cursor)
            {
                self.skips += 1;
                if torn > 0 {
                    self.padding = taken..taken + torn;
                }
            }
            let pages = ring.ready(&self.cursor, end.unwrap_or(u64::MAX));
            let stream = self.opening.as_ref().map(|opening| opening.stream.upgrade());
            let (first, second) = match (&self.opening, &stream) {
                (Some(opening), Some(Some(stream))) => opening.rest(&stream.headers.pages),
                (Some(_), _) => return WriteOutcome::HeadersGone,
                (None, _) => (&[][..], &[][..]),
            };
            let padding = &PADDING[self.padding.clone()];
            let total =
                first.len() + second.len() + padding.len() + pages[0].len() + pages[1].len();
            if total == 0 {
                let over = end.is_some_and(|end| self.cursor.position() >= end);
                return if over { WriteOutcome::Ended } else { WriteOutcome::CaughtUp };
            }
            // Nearly every write is one slice of the ring: the plain call is the cheaper one.
            let written = if total == pages[0].len() {
                (&self.socket).write(pages[0])
            } else {
                let slices = [first, second, padding, pages[0], pages[1]].map(IoSlice::new);
                (&self.socket).write_vectored(&slices)
            };
            match written {
                Ok(taken) => {
                    self.took(ring, taken, first.len() + second.len());
                    if taken < total {
                        return WriteOutcome::Blocked;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return WriteOutcome::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return WriteOutcome::Gone(error),
            }
        }
    }

    /// Goes on with the stream that follows the one that it has heard to the end; false if there is
    /// none, or if the ring took that end away.
    pub fn go_on(&mut self, pages: &PageLog) -> bool {
        let heard_out = pages.end_of(self.era) == Some(self.cursor.position());
        let Some(stream) = pages.stream.as_ref().filter(|_| heard_out) else { return false };
        let opening = Opening { head: Vec::new(), stream: Arc::downgrade(stream), sent: 0 };
        self.opening = Some(Box::new(opening));
        (self.cursor, self.era) = (pages.ring.at(stream.start), pages.era);
        true
    }

    /// Takes the headers that are the stream's now in place of those that are gone; false if it has been given
    /// a part of those, or if its stream is over.
    pub fn take_new_headers(&mut self, pages: &PageLog) -> bool {
        match (&mut self.opening, &pages.stream) {
            (Some(opening), Some(stream))
                if pages.era == self.era && opening.sent <= opening.head.len() =>
            {
                opening.stream = Arc::downgrade(stream);
                true
            }
            _ => false,
        }
    }

    /// How long its peer has acknowledged nothing although something waits for it, beyond the time for which it may
    /// still play what it has. A player stays as far behind live as its burst was long, and one with much room makes
    /// none before it has played half of what fills it.
    pub fn stalled(&mut self, now: Instant) -> Duration {
        // The kernel cannot fail to say this of a socket; were it to, nobody would be dropped for it.
        let waiting = unacknowledged(&self.socket).unwrap_or(0);
        self.acknowledged.stalled(self.sent, waiting, now).saturating_sub(self.ahead)
    }

    /// Ends the connection in good order; true if the peer has acknowledged everything, the end among it.
    pub fn is_finished(&mut self) -> bool {
        if !std::mem::replace(&mut self.finishing, true)
            && self.socket.shutdown(Shutdown::Write).is_err()
        {
            return true;
        }
        unacknowledged(&self.socket).map_or(true, |bytes| bytes == 0)
    }

    /// Counts `taken` bytes, of which as many belong to the opening as there were of it.
    fn took(&mut self, ring: &Ring, taken: usize, opening_left: usize) {
        self.sent += taken as u64;
        let of_opening = taken.min(opening_left);
        if of_opening == opening_left {
            self.opening = None;
        } else if let Some(opening) = &mut self.opening {
            opening.sent += of_opening;
        }
        let taken = taken - of_opening;
        let padding = taken.min(self.padding.len());
        self.padding.start += padding;
        ring.advance(&mut self.cursor, taken - padding);
    }

    /// Takes what the peer sent and nobody wants: a socket closed over unread bytes is reset, and
    /// the peer may lose the end of the stream.
    pub fn discard_input(&self) {
        let mut unwanted = [0; 4096];
        for _ in 0..4 {
            if !matches!((&self.socket).read(&mut unwanted), Ok(1..)) {
                break;
            }
        }
    }
}

impl Opening {
    /// What is left of the head, and of these headers.
    fn rest<'a>(&'a self, headers: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let of_head = self.sent.min(self.head.len());
        (&self.head[of_head..], &headers[self.sent - of_head..])
    }
}
