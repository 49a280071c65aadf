//! The log: to the journal with its fields where systemd started us, else readable lines on stderr.
//!
//! Whoever takes the lines may be slow or stopped, journald too: its socket blocks. So a thread of
//! its own writes them, and the queue in front of it is bounded and drops rather than waits, as nothing
//! may hold up a thread that moves audio. What was dropped is counted, and said as soon as somebody listens again;
//! so is what could not be written, as to a disk that is full. Of each kind of line only so many are taken in a
//! second (`throttle`).

mod access;
pub mod journal;
mod output;
mod record;
pub mod refusals;
mod throttle;

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

pub(crate) use journal::journal;

use output::{DROPPED_LINES, Output};
use record::Record;
use throttle::{LineVerdict, Throttle};

/// Lines that may wait to be written.
const QUEUED_LINES: usize = 512;
/// What they take at the most, in bytes: the texts that clients choose are cut long before, and each may stand in a line twice.
pub const LOG_MEMORY: usize = QUEUED_LINES * 2048;
/// How long the end waits for lines to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How often what was dropped is said.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The running log; dropping it writes what still waits, for as long as somebody takes it.
pub struct Log {
    queue: SyncSender<LogMessage>,
}

enum LogMessage {
    Line(Record),
    /// A line was left out: that has to be said.
    LeftOut,
    /// The last one; dropped when all before it are written.
    End(#[allow(dead_code, reason = "it says what it says by being dropped")] SyncSender<()>),
}

impl Log {
    /// Starts logging for the whole process; with `combined`, each listener that leaves is a line on
    /// standard output as well.
    ///
    /// # Errors
    /// What the system says where it gives no thread.
    pub fn start(combined: bool) -> io::Result<Self> {
        let output = Output::open();
        let (queue, lines) = sync_channel(QUEUED_LINES);
        let throttle = Arc::new(Throttle::new());
        let capture = Capture {
            queue: queue.clone(),
            for_journald: output.is_journald,
            throttle: Arc::clone(&throttle),
        };
        thread::Builder::new()
            .name("log".into())
            .spawn(move || write(&lines, &output, combined, &throttle))?;
        // `try_init` fails if a subscriber is already installed, as when tests start several servers in one
        // process; the first one stays.
        let _ = tracing_subscriber::registry().with(LevelFilter::INFO).with(capture).try_init();
        Ok(Self { queue })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (written, all) = sync_channel(0);
        let (mut end, began) = (LogMessage::End(written), Instant::now());
        // The queue is full only where nobody takes lines: that may last for ever.
        while let Err(TrySendError::Full(item)) = self.queue.try_send(end) {
            if began.elapsed() >= FLUSH_TIMEOUT {
                return;
            }
            end = item;
            thread::sleep(Duration::from_millis(10));
        }
        // Nothing is ever sent: what is waited for is the end.
        let _ = all.recv_timeout(FLUSH_TIMEOUT);
    }
}

/// How many lines of this process nobody has taken in time, or could not be written.
pub fn lines_dropped() -> u64 {
    DROPPED_LINES.load(Relaxed)
}

/// Takes events where they happen.
struct Capture {
    queue: SyncSender<LogMessage>,
    for_journald: bool,
    throttle: Arc<Throttle>,
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut record = Record::of(event, if self.for_journald { &[] } else { &["message_id"] });
        if self.for_journald {
            record.append_fields();
        }
        let Some(record) = capture_own(record) else { return };
        let kind = record.value("event").unwrap_or_default();
        match self.throttle.judge(&kind, Instant::now()) {
            LineVerdict::Write => {}
            LineVerdict::LeaveOut => return,
            LineVerdict::LeaveOutAndSay => {
                // Where the queue is full, whatever is written next says this too.
                let _ = self.queue.try_send(LogMessage::LeftOut);
                return;
            }
        }
        if self.queue.try_send(LogMessage::Line(record)).is_err() {
            DROPPED_LINES.fetch_add(1, Relaxed);
        }
    }
}

thread_local! {
    /// What the log's own thread has to say, while it says it: its queue may be full, and nobody else empties it.
    static OWN: RefCell<Option<Vec<Record>>> = const { RefCell::new(None) };
}

/// Keeps a line of the log's own thread; gives back any other one.
fn capture_own(record: Record) -> Option<Record> {
    OWN.with_borrow_mut(|own| match own {
        Some(lines) => {
            lines.push(record);
            None
        }
        None => Some(record),
    })
}

/// The lines that `say` writes.
fn captured_lines(say: impl FnOnce()) -> Vec<Record> {
    OWN.set(Some(Vec::new()));
    say();
    OWN.take().unwrap_or_default()
}

fn write(lines: &Receiver<LogMessage>, output: &Output, combined: bool, throttle: &Throttle) {
    let tell = |record: &Record| {
        output.write(record);
        if combined
            && let Some(line) = access::line(record)
            && writeln!(io::stdout(), "{line}").is_err()
        {
            // Whoever wanted them may have gone away; the log goes on.
            DROPPED_LINES.fetch_add(1, Relaxed);
        }
    };
    let mut count = LossReport::default();
    loop {
        let item = match count.due {
            None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => lines.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let end = match item {
            Ok(LogMessage::Line(record)) => {
                tell(&record);
                None
            }
            Ok(LogMessage::LeftOut) | Err(RecvTimeoutError::Timeout) => None,
            Ok(LogMessage::End(written)) => Some(written),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        captured_lines(|| count.say(throttle, end.is_some())).iter().for_each(tell);
        if end.is_some() {
            while let Ok(item) = lines.try_recv() {
                if let LogMessage::Line(record) = item {
                    tell(&record);
                }
            }
            return;
        }
    }
}

/// Says what was not written, once a [`REPORT_INTERVAL`].
#[derive(Default)]
struct LossReport {
    said: Option<Instant>,
    /// When there will be something to say.
    due: Option<Instant>,
    dropped: u64,
}

impl LossReport {
    fn say(&mut self, throttle: &Throttle, now_or_never: bool) {
        if !now_or_never && self.said.is_some_and(|said| said.elapsed() < REPORT_INTERVAL) {
            self.due = self.said.and_then(|said| said.checked_add(REPORT_INTERVAL));
            return;
        }
        let lines = lines_dropped() - self.dropped;
        let left_out = throttle.take_left_out();
        if lines > 0 {
            self.dropped += lines;
            journal!(
                warn,
                LOG_DROPPED,
                lines,
                "log lines were dropped: nobody took them in time, or they could not be written"
            );
        }
        for (kind, count) in &left_out {
            journal!(info, MORE_LINES, of = kind, count, "more lines of this kind were left out");
        }
        self.due = None;
        if lines > 0 || !left_out.is_empty() {
            self.said = Some(Instant::now());
        }
    }
}
