//! One listener: a socket, a cursor, and what it is still owed before the cursor counts.
//!
//! It holds no queue. What the kernel does not take now stays in the ring, and is
//! lost to this listener alone if it stays away for longer than the ring is.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::mount::{Air, Cursor, Entry, Lag, Ring, Seat};
use crate::ogg::{CAPTURE, MAX_PAGE, PAGE_HEADER};

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
    /// Since when the kernel takes nothing for it.
    pub blocked: Option<Instant>,
    /// Bytes that the kernel has taken.
    pub sent: u64,
    /// How often the ring overtook it.
    pub skips: u64,
    /// Who it is, for the record.
    pub visitor: Box<Visitor>,
}

/// Who listens, and the seats taken for it.
#[derive(Debug)]
pub struct Visitor {
    /// Its entry among those who listen.
    pub entry: Entry,
    /// When it has to go, if it may not stay as long as it likes.
    pub until: Option<Instant>,
    /// Freed when it leaves.
    pub seats: Vec<Seat>,
}

/// The response head and the stream's headers, until the kernel has them.
#[derive(Debug)]
struct Opening {
    head: Vec<u8>,
    headers: Arc<[u8]>,
    sent: usize,
}

/// How far a write got.
#[derive(Debug)]
pub enum Progress {
    /// All there is has been taken.
    CaughtUp,
    /// The kernel takes no more for now.
    Blocked,
    /// The stream is over, and all of it has been taken.
    Ended,
    /// The peer is gone.
    Gone(io::Error),
}

impl Listener {
    /// A listener that is owed `head` and `headers`, and then the pages from `cursor`.
    pub fn new(
        socket: TcpStream,
        (head, headers): (Vec<u8>, Arc<[u8]>),
        cursor: Cursor,
        era: u64,
        visitor: Visitor,
    ) -> Self {
        let opening = Some(Box::new(Opening { head, headers, sent: 0 }));
        let visitor = Box::new(visitor);
        Self {
            socket,
            opening,
            padding: 0..0,
            cursor,
            era,
            blocked: None,
            sent: 0,
            skips: 0,
            visitor,
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
    pub fn write(&mut self, ring: &Ring, end: Option<u64>) -> Progress {
        loop {
            if let Lag::Overtaken { torn, taken } = ring.catch_up(&mut self.cursor) {
                self.skips += 1;
                if torn > 0 {
                    self.padding = taken..taken + torn;
                }
            }
            let pages = ring.ready(&self.cursor, end.unwrap_or(u64::MAX));
            let (first, second) =
                self.opening.as_ref().map_or((&[][..], &[][..]), |opening| opening.rest());
            let padding = &PADDING[self.padding.clone()];
            let total =
                first.len() + second.len() + padding.len() + pages[0].len() + pages[1].len();
            if total == 0 {
                let over = end.is_some_and(|end| self.cursor.position() >= end);
                return if over { Progress::Ended } else { Progress::CaughtUp };
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
                    self.took(ring, taken);
                    if taken < total {
                        return Progress::Blocked;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Progress::Gone(error),
            }
        }
    }

    /// Goes on with the stream that follows the one that it has heard to the end; false if there is
    /// none, or if the ring took that end away.
    pub fn go_on(&mut self, air: &Air) -> bool {
        let heard_out = air.end_of(self.era) == Some(self.cursor.position());
        let Some(stream) = air.stream.as_ref().filter(|_| heard_out) else { return false };
        let headers = Arc::clone(&stream.headers.pages);
        self.opening = Some(Box::new(Opening { head: Vec::new(), headers, sent: 0 }));
        (self.cursor, self.era) = (air.ring.at(stream.since), air.era);
        true
    }

    fn took(&mut self, ring: &Ring, mut taken: usize) {
        self.sent += taken as u64;
        if let Some(opening) = &mut self.opening {
            taken = opening.took(taken);
            if opening.rest() == (&[], &[]) {
                self.opening = None;
            }
        }
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
    fn rest(&self) -> (&[u8], &[u8]) {
        let of_head = self.sent.min(self.head.len());
        (&self.head[of_head..], &self.headers[self.sent - of_head..])
    }

    /// Counts bytes as sent; returns those that were none of its own.
    fn took(&mut self, taken: usize) -> usize {
        let (head, headers) = self.rest();
        let own = taken.min(head.len() + headers.len());
        self.sent += own;
        taken - own
    }
}
