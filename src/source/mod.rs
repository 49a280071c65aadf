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

pub use body::{BodyFraming, BrokenChunks, ChunkState};

use crate::clock::Clock;
use crate::http::{CONTINUE, Reply, Version};
use crate::log::journal;
use crate::mount::{Claim, Description, Revocation, RevokeReason};
use crate::platform::Heartbeat;
use crate::quota::{Permit, Quota};
use crate::tcp;
use ogg_splice::{CAPTURE_PATTERN, PageRole, Scanner, StreamError, StreamReader};

/// A source that sends so much without one usable page is no Ogg source, in bytes.
const MAX_BYTES_WITHOUT_PAGE: u64 = 256 * 1024;
/// What may be checksummed and thrown away, in bytes, beside 16 times what came: real damage costs a
/// few pages, but what is made to look like pages can cost thousands of times its size.
const VAIN_EFFORT: u64 = 8 * 1024 * 1024;
/// Sources that may be told at once how they ended.
pub const MAX_GOODBYES: usize = 32;
/// How long an encoder that may be waiting for an answer is looked at before it gets one.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// A source is read no faster than this share of the ring in each [`PACE_TIME`]. What it sent while the server stood
/// still comes all at once, and a listener that reads at once must not be overtaken by it.
const PACE_SHARE: usize = 4;
const PACE_TIME: Duration = Duration::from_millis(20);

/// A source whom the door has let in.
#[derive(Debug)]
pub struct SourceConnection {
    /// The connection.
    pub socket: std::net::TcpStream,
    /// What has been read after the request head.
    pub read: Vec<u8>,
    /// How the body is framed.
    pub body: BodyFraming,
    /// How the client wants to be answered.
    pub timing: ResponseTiming,
    /// What it says of its mount.
    pub description: Description,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Freed when it ends.
    pub permit: Option<Permit>,
}

/// When an encoder gets its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseTiming {
    /// `SOURCE`: it sends nothing until it is answered.
    AnswerFirst,
    /// `Expect: 100-continue`: it gets that, and the answer once its bytes have been seen.
    Expects,
    /// It may send, it may wait: it is looked at for a moment.
    Either,
}

/// Why a source ended.
#[derive(Debug, thiserror::Error)]
enum SourceEnd {
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
    BrokenBody(#[from] BrokenChunks),
    #[error("the source sent too much that is no usable Ogg page")]
    Useless,
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
}

/// Serves a source until it ends or until another source takes over; bytes that arrive after that are
/// discarded. The claim is given back at the end, whichever it was.
pub async fn serve(
    connection: SourceConnection,
    (mut claim, lost): (Claim, Revocation),
    mut heartbeat: Heartbeat,
    clock: Clock,
    goodbyes: Arc<Quota>,
) {
    let began = Instant::now();
    let name = claim.entry().name.clone();
    let peer = connection.peer;
    // Not the same where a proxy stands before it.
    let client = connection.description.address.map(tracing::field::display);
    let agent = connection.description.agent.clone().unwrap_or_default();
    journal!(info, SOURCE_CONNECTED, mount = name.as_str(), %peer, client, agent, "source connected");
    let mut intake = match Intake::new(connection, clock.clone()) {
        Ok(intake) => intake,
        Err(error) => {
            journal!(warn, SOURCE_LOST, mount = name.as_str(), %peer, %error, "source lost");
            return;
        }
    };
    let end = tokio::select! {
        biased;
        loss = lost.revoked() => match loss {
            RevokeReason::TakenOver => SourceEnd::TakenOver,
            RevokeReason::Evicted => SourceEnd::Evicted,
        },
        end = intake.run(&mut claim, &mut heartbeat) => end,
    };
    drop((claim, heartbeat));
    let seconds = began.elapsed().as_secs();
    let (bytes, damaged) = (intake.bytes, intake.damaged);
    match &end {
        SourceEnd::HungUp | SourceEnd::Complete | SourceEnd::TakenOver | SourceEnd::Evicted => {
            journal!(
                info, SOURCE_ENDED, mount = name.as_str(), %peer, reason = %end, seconds, bytes, damaged,
                "source ended"
            );
        }
        _ => journal!(
            warn, SOURCE_ENDED, mount = name.as_str(), %peer, reason = %end, seconds, bytes, damaged,
            "source ended"
        ),
    }
    // Only the socket is needed now: saying goodbye takes a while, and memory counts.
    let Intake { socket, body, answered, scanner, stream, read, .. } = intake;
    drop((scanner, stream, read));
    // Dropped, and so closed, where there are too many of these already.
    let Some(_goodbye) = goodbyes.take(MAX_GOODBYES) else { return };
    if answered {
        tcp::finish(&socket, &clock).await;
    } else {
        say_goodbye(socket, body, &end, &clock).await;
    }
}

/// How much has been read lately.
struct ReadPace {
    taken: usize,
    since: Instant,
}

impl ReadPace {
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
    body: BodyFraming,
    timing: ResponseTiming,
    answered: bool,
    scanner: Scanner,
    stream: StreamReader,
    bytes: u64,
    strays: u64,
    damaged: u64,
    pace: ReadPace,
    clock: Clock,
    _seat: Option<Permit>,
}

impl Intake {
    fn new(connection: SourceConnection, clock: Clock) -> io::Result<Self> {
        // A source has little to read: what it may not have acknowledged can wait for it in the kernel.
        SockRef::from(&connection.socket).set_linger(None)?;
        Ok(Self {
            pace: ReadPace { taken: 0, since: clock.now() },
            clock,
            socket: TcpStream::from_std(connection.socket)?,
            read: connection.read,
            body: connection.body,
            timing: connection.timing,
            answered: false,
            scanner: Scanner::new(),
            stream: StreamReader::default(),
            bytes: 0,
            strays: 0,
            damaged: 0,
            _seat: connection.permit,
        })
    }

    async fn run(&mut self, claim: &mut Claim, heartbeat: &mut Heartbeat) -> SourceEnd {
        let silence = claim.entry().settings().source_timeout;
        match heartbeat.during(self.greet(silence)).await {
            Ok(()) => {}
            Err(end) => return end,
        }
        loop {
            if let Err(end) = self.publish(claim) {
                return end;
            }
            if self.body.is_done() {
                return SourceEnd::Complete;
            }
            let settings = claim.entry().settings_now();
            if self.pace.is_spent(settings.ring / PACE_SHARE, self.clock.now()) {
                heartbeat.during(self.clock.sleep_until(self.pace.end())).await;
            } else {
                // One read of the worst input takes a while to look through; others are waiting.
                yield_now().await;
            }
            let silence = settings.source_timeout;
            let clock = self.clock.clone();
            let patience = silence.max(clock.grace());
            match heartbeat.during(clock.timeout(patience, self.read_more())).await {
                // The server stood still meanwhile, and the source's own network needs as long to notice.
                Err(_) if !clock.grace().is_zero() => {}
                Err(_) => return SourceEnd::Silent(silence),
                Ok(Err(end)) => return end,
                Ok(Ok(())) => {}
            }
        }
    }

    /// Answers the encoder in its timing and sees whether what it sends is Ogg.
    async fn greet(&mut self, silence: Duration) -> Result<(), SourceEnd> {
        if self.timing == ResponseTiming::Expects {
            self.socket.write_all(CONTINUE).await?;
        }
        if self.timing != ResponseTiming::AnswerFirst {
            let patience = if self.timing == ResponseTiming::Expects {
                silence
            } else {
                LOOK_TIMEOUT.min(silence)
            };
            let clock = self.clock.clone();
            let look = async {
                while self.scanner.waiting().len() < CAPTURE_PATTERN.len() && !self.body.is_done() {
                    self.read_more().await?;
                }
                Ok::<_, SourceEnd>(())
            };
            match clock.timeout(patience, look).await {
                Ok(seen) => seen?,
                Err(_) if self.timing == ResponseTiming::Expects => {
                    return Err(SourceEnd::Silent(silence));
                }
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
    fn check_capture(&self) -> Result<(), SourceEnd> {
        let first = self.scanner.waiting();
        let seen = first.len().min(CAPTURE_PATTERN.len());
        if self.bytes > first.len() as u64 || first[..seen] == CAPTURE_PATTERN[..seen] {
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
            return Err(SourceEnd::HungUp);
        }
        let kept = self.body.strip(&mut room[..n])?;
        self.scanner.filled(kept);
        self.bytes += kept as u64;
        self.pace.taken += kept;
        Ok(())
    }

    /// Publishes every page that is complete.
    fn publish(&mut self, claim: &mut Claim) -> Result<(), SourceEnd> {
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
            claim.wake_readers();
        }
        let skipped = self.scanner.take_skipped();
        if skipped > 0 {
            self.damaged += skipped;
            let mount = claim.entry().name.as_str();
            journal!(
                warn,
                SOURCE_DAMAGE,
                mount,
                bytes = skipped,
                "skipped bytes that are no valid Ogg page"
            );
        }
        let in_vain = self.scanner.wasted_checksum_bytes() > VAIN_EFFORT + self.bytes * 16;
        if in_vain || self.scanner.skipped_since_page().max(self.strays) > MAX_BYTES_WITHOUT_PAGE {
            return Err(SourceEnd::Useless);
        }
        Ok(())
    }
}

async fn answer(socket: &mut TcpStream, body: BodyFraming, reply: &Reply) -> io::Result<()> {
    socket.write_all(&reply.render(version(body), false, true)).await
}

/// Old encoders look for 1.0; FFmpeg and HTTP uploaders take either.
fn version(body: BodyFraming) -> Version {
    if body.is_framed() { Version::Http11 } else { Version::Http10 }
}

/// Tells an encoder that has not been answered yet how it ended, and lets it read that.
async fn say_goodbye(socket: TcpStream, body: BodyFraming, end: &SourceEnd, clock: &Clock) {
    let status = match end {
        SourceEnd::HungUp | SourceEnd::Failed(_) | SourceEnd::TakenOver | SourceEnd::Evicted => {
            return;
        }
        SourceEnd::Complete => 200,
        SourceEnd::Silent(_) => 408,
        SourceEnd::BrokenBody(_) => 400,
        SourceEnd::NotOgg(_) | SourceEnd::Refused(_) | SourceEnd::Useless => 415,
    };
    let sentence = if status == 200 { String::new() } else { format!("Refused: {end}.") };
    let reply = Reply::new(status, sentence).render(version(body), false, true);
    tcp::answer_and_finish(socket, &reply, clock).await;
}
