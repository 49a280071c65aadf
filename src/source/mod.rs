//! A source: reads one encoder's connection for as long as it lasts and publishes its pages.
//!
//! Nothing here waits for anything but the encoder's next bytes, and for milliseconds where an
//! encoder sends many times faster than real time: publishing is synchronous, and no listener, log or
//! status reader is in the way. So the socket is always drained, and the recording at its other end is
//! never held up.

mod body;
mod sniff;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;

pub use body::{Body, Broken, Chunk};

use crate::clock::Clock;
use crate::events::journal;
use crate::http::{CONTINUE, Reply, Version};
use crate::mount::{Claim, Description, Loss, Lost, Seat, Seats};
use crate::platform::Pulse;
use crate::tcp;
use ogg_splice::{CAPTURE_PATTERN, PageRole, Scanner, StreamError, StreamReader};

/// A source that sends so much without one usable page is no Ogg source, in bytes.
const PATIENCE: u64 = 256 * 1024;
/// What may be checksummed and thrown away, in bytes, beside 16 times what came: real damage costs a
/// few pages, but what is made to look like pages can cost thousands of times its size.
const VAIN_EFFORT: u64 = 8 * 1024 * 1024;
/// Sources that may be told at once how they ended.
pub const MOST_GOODBYES: usize = 32;
/// How long an encoder that may be waiting for an answer is looked at before it gets one.
const LOOK: Duration = Duration::from_millis(500);

/// A source is read no faster than this share of the ring in each [`PACE_TIME`]. What it sent while the server stood
/// still comes all at once, and a listener that reads at once must not be overtaken by it.
const PACE_SHARE: usize = 4;
const PACE_TIME: Duration = Duration::from_millis(20);

/// A source whom the door has let in.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub socket: std::net::TcpStream,
    /// What has been read after the request head.
    pub read: Vec<u8>,
    /// How the body is framed.
    pub body: Body,
    /// How the client wants to be answered.
    pub manner: Manner,
    /// What it says of its mount.
    pub description: Description,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Freed when it ends.
    pub seat: Option<Seat>,
}

/// When an encoder gets its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// `SOURCE`: it sends nothing until it is answered.
    AnswerFirst,
    /// `Expect: 100-continue`: it gets that, and the answer once its bytes have been seen.
    Expects,
    /// It may send, it may wait: it is looked at for a moment.
    Either,
}

/// Why a source ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the source hung up")]
    HungUp,
    #[error("the source ended its upload")]
    Complete,
    #[error("another source took the mount over")]
    TakenOver,
    #[error("the administrator ended it")]
    Evicted,
    #[error("the source sent nothing for {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("the source sent {0}; send Ogg with Opus, FLAC or Vorbis in it")]
    NotOgg(String),
    #[error("the source sent {0}; send one Ogg stream with Opus, FLAC or Vorbis in it")]
    Refused(#[from] StreamError),
    #[error("the source sent {0}")]
    Broken(#[from] Broken),
    #[error("the source sent too much that is no usable Ogg page")]
    Useless,
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
}

/// Serves a source until it ends or until another source takes over; bytes that arrive after that are
/// discarded. The claim is given back at the end, whichever it was.
pub async fn serve(
    arrival: Arrival,
    (mut claim, lost): (Claim, Lost),
    mut pulse: Pulse,
    clock: Clock,
    goodbyes: Arc<Seats>,
) {
    let began = Instant::now();
    let name = claim.slot().name.clone();
    let peer = arrival.peer;
    // Not the same where a proxy stands before it.
    let client = arrival.description.address.map(tracing::field::display);
    let agent = arrival.description.agent.clone().unwrap_or_default();
    journal!(info, SOURCE_CONNECTED, mount = name.as_str(), %peer, client, agent, "source connected");
    let mut intake = match Intake::new(arrival, clock.clone()) {
        Ok(intake) => intake,
        Err(error) => {
            journal!(warn, SOURCE_LOST, mount = name.as_str(), %peer, %error, "source lost");
            return;
        }
    };
    let end = tokio::select! {
        biased;
        loss = lost.told() => match loss {
            Loss::TakenOver => End::TakenOver,
            Loss::Evicted => End::Evicted,
        },
        end = intake.run(&mut claim, &mut pulse) => end,
    };
    drop((claim, pulse));
    let seconds = began.elapsed().as_secs();
    let (bytes, damaged) = (intake.bytes, intake.damaged);
    match &end {
        End::HungUp | End::Complete | End::TakenOver | End::Evicted => journal!(
            info, SOURCE_ENDED, mount = name.as_str(), %peer, reason = %end, seconds, bytes, damaged,
            "source ended"
        ),
        _ => journal!(
            warn, SOURCE_ENDED, mount = name.as_str(), %peer, reason = %end, seconds, bytes, damaged,
            "source ended"
        ),
    }
    // Only the socket is needed now: saying goodbye takes a while, and memory counts.
    let Intake { socket, body, answered, scanner, stream, read, .. } = intake;
    drop((scanner, stream, read));
    // Dropped, and so closed, where there are too many of these already.
    let Some(_goodbye) = goodbyes.take(MOST_GOODBYES) else { return };
    if answered {
        tcp::finish(&socket, &clock).await;
    } else {
        say_goodbye(socket, body, &end, &clock).await;
    }
}

/// How much has been read lately.
struct Pace {
    taken: usize,
    since: Instant,
}

impl Pace {
    /// Whether as much has been read as may be until [`Self::end`].
    fn is_spent(&mut self, most: usize, now: Instant) -> bool {
        if now >= self.end() {
            *self = Self { taken: 0, since: now };
        }
        self.taken >= most
    }

    fn end(&self) -> Instant {
        self.since + PACE_TIME
    }
}

/// One connection's way from bytes to pages.
struct Intake {
    socket: TcpStream,
    read: Vec<u8>,
    body: Body,
    manner: Manner,
    answered: bool,
    scanner: Scanner,
    stream: StreamReader,
    bytes: u64,
    strays: u64,
    damaged: u64,
    pace: Pace,
    clock: Clock,
    _seat: Option<Seat>,
}

impl Intake {
    fn new(arrival: Arrival, clock: Clock) -> io::Result<Self> {
        // A source has little to read: what it may not have acknowledged can wait for it in the kernel.
        SockRef::from(&arrival.socket).set_linger(None)?;
        Ok(Self {
            pace: Pace { taken: 0, since: clock.now() },
            clock,
            socket: TcpStream::from_std(arrival.socket)?,
            read: arrival.read,
            body: arrival.body,
            manner: arrival.manner,
            answered: false,
            scanner: Scanner::new(),
            stream: StreamReader::default(),
            bytes: 0,
            strays: 0,
            damaged: 0,
            _seat: arrival.seat,
        })
    }

    async fn run(&mut self, claim: &mut Claim, pulse: &mut Pulse) -> End {
        let silence = claim.slot().settings().source_timeout;
        match pulse.during(self.greet(silence)).await {
            Ok(()) => {}
            Err(end) => return end,
        }
        loop {
            if let Err(end) = self.publish(claim) {
                return end;
            }
            if self.body.is_done() {
                return End::Complete;
            }
            let settings = claim.slot().settings_now();
            if self.pace.is_spent(settings.ring / PACE_SHARE, self.clock.now()) {
                pulse.during(self.clock.sleep_until(self.pace.end())).await;
            } else {
                // One read of the worst input takes a while to look through; others are waiting.
                yield_now().await;
            }
            let silence = settings.source_timeout;
            let clock = self.clock.clone();
            let patience = silence.max(clock.grace());
            match pulse.during(clock.timeout(patience, self.read_more())).await {
                // The server stood still meanwhile, and the source's own network needs as long to notice.
                Err(_) if !clock.grace().is_zero() => {}
                Err(_) => return End::Silent(silence),
                Ok(Err(end)) => return end,
                Ok(Ok(())) => {}
            }
        }
    }

    /// Answers the encoder in its manner and sees whether what it sends is Ogg.
    async fn greet(&mut self, silence: Duration) -> Result<(), End> {
        if self.manner == Manner::Expects {
            self.socket.write_all(CONTINUE).await?;
        }
        if self.manner != Manner::AnswerFirst {
            let patience = if self.manner == Manner::Expects { silence } else { LOOK.min(silence) };
            let clock = self.clock.clone();
            let look = async {
                while self.scanner.waiting().len() < CAPTURE_PATTERN.len() && !self.body.is_done() {
                    self.read_more().await?;
                }
                Ok::<_, End>(())
            };
            match clock.timeout(patience, look).await {
                Ok(seen) => seen?,
                Err(_) if self.manner == Manner::Expects => return Err(End::Silent(silence)),
                Err(_) => {}
            }
            self.check_capture()?;
        }
        // A framed upload is answered at its end, as HTTP has it.
        if !self.body.is_framed() {
            self.answered = true;
            answer(&mut self.socket, self.body, &Reply::new(200, "")).await?;
        }
        Ok(())
    }

    /// The very first bytes tell what it is. Later ones that are no Ogg are damage.
    fn check_capture(&self) -> Result<(), End> {
        let first = self.scanner.waiting();
        let seen = first.len().min(CAPTURE_PATTERN.len());
        if self.bytes > first.len() as u64 || first[..seen] == CAPTURE_PATTERN[..seen] {
            Ok(())
        } else {
            Err(End::NotOgg(sniff::describe(first)))
        }
    }

    async fn read_more(&mut self) -> Result<(), End> {
        let room = self.scanner.room();
        let n = if self.read.is_empty() {
            match self.socket.read(room).await {
                Ok(n) => n,
                // FFmpeg leaves with a reset: it never reads the answer to its PUT.
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
            return Err(End::HungUp);
        }
        let kept = self.body.strip(&mut room[..n])?;
        self.scanner.filled(kept);
        self.bytes += kept as u64;
        self.pace.taken += kept;
        Ok(())
    }

    /// Publishes every page that is complete.
    fn publish(&mut self, claim: &mut Claim) -> Result<(), End> {
        self.check_capture()?;
        let now = self.clock.moment();
        let mut news = false;
        while let Some(page) = self.scanner.next_page() {
            match self.stream.push(&page)? {
                PageRole::Header => {}
                PageRole::Headers(headers) => claim.begin(headers, now),
                PageRole::Audio => {
                    self.strays = 0;
                    news = true;
                    claim.publish(&page, now);
                }
                PageRole::Stray => self.strays += page.bytes().len() as u64,
            }
        }
        if news {
            claim.announce();
        }
        let skipped = self.scanner.take_skipped();
        if skipped > 0 {
            self.damaged += skipped;
            let mount = claim.slot().name.as_str();
            journal!(
                warn,
                SOURCE_DAMAGE,
                mount,
                bytes = skipped,
                "skipped bytes that are no valid Ogg page"
            );
        }
        let in_vain = self.scanner.wasted_checksum_bytes() > VAIN_EFFORT + self.bytes * 16;
        if in_vain || self.scanner.skipped_since_page().max(self.strays) > PATIENCE {
            return Err(End::Useless);
        }
        Ok(())
    }
}

async fn answer(socket: &mut TcpStream, body: Body, reply: &Reply) -> io::Result<()> {
    socket.write_all(&reply.render(version(body), false, true)).await
}

/// Old encoders look for 1.0; FFmpeg and HTTP uploaders take either.
fn version(body: Body) -> Version {
    if body.is_framed() { Version::Http11 } else { Version::Http10 }
}

/// Tells an encoder that has not been answered yet how it ended, and lets it read that.
async fn say_goodbye(socket: TcpStream, body: Body, end: &End, clock: &Clock) {
    let status = match end {
        End::HungUp | End::Failed(_) | End::TakenOver | End::Evicted => return,
        End::Complete => 200,
        End::Silent(_) => 408,
        End::Broken(_) => 400,
        End::NotOgg(_) | End::Refused(_) | End::Useless => 415,
    };
    let sentence = if status == 200 { String::new() } else { format!("Refused: {end}.") };
    let reply = Reply::new(status, sentence).render(version(body), false, true);
    tcp::answer_and_finish(socket, &reply, clock).await;
}
