//! The log: to the journal with its fields where systemd started us, else readable lines on stderr.
//!
//! Whoever takes the lines may be slow or stopped, journald too: its socket blocks. So a thread of
//! its own writes them, and the queue in front of it is bounded and drops rather than waits, as nothing
//! may hold up a thread that moves audio. What was dropped is counted, and said as soon as somebody listens again;
//! so is what could not be written, as to a disk that is full. Of each kind of line only so many are taken in a
//! second ([`throttle`](super::throttle)).

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use super::combined;
use super::record::Record;
use super::throttle::{Throttle, Verdict};
use crate::events::journal;

/// Lines that may wait to be written.
const QUEUE: usize = 512;
/// What they take at the most, in bytes: the texts that clients choose are cut long before, and each may stand in a line twice.
pub const LOG_MEMORY: usize = QUEUE * 2048;
/// How long the end waits for lines to be taken.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often what was dropped is said.
const PAUSE: Duration = Duration::from_secs(1);

/// The running log; dropping it writes what still waits, for as long as somebody takes it.
pub struct Log {
    queue: SyncSender<Item>,
}

enum Item {
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
        let journal = is_journal(&io::stderr());
        let journald = journal.then(to_journald).and_then(Result::ok);
        let (queue, lines) = sync_channel(QUEUE);
        let throttle = Arc::new(Throttle::new());
        let capture = Capture {
            queue: queue.clone(),
            for_journald: journald.is_some(),
            throttle: Arc::clone(&throttle),
        };
        let output = journald.unwrap_or_else(|| to_stderr(journal));
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
        let (mut end, began) = (Item::End(written), Instant::now());
        // The queue is full only where nobody takes lines: that may last for ever.
        while let Err(TrySendError::Full(item)) = self.queue.try_send(end) {
            if began.elapsed() >= FAREWELL {
                return;
            }
            end = item;
            thread::sleep(Duration::from_millis(10));
        }
        // Nothing is ever sent: what is waited for is the end.
        let _ = all.recv_timeout(FAREWELL);
    }
}

/// How many lines of this process nobody has taken in time, or could not be written.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Relaxed)
}

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Takes events where they happen.
struct Capture {
    queue: SyncSender<Item>,
    for_journald: bool,
    throttle: Arc<Throttle>,
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut record = Record::of(event, if self.for_journald { &[] } else { &["message_id"] });
        if self.for_journald {
            record.tell_all();
        }
        let Some(record) = keep_own(record) else { return };
        let kind = record.value("event").unwrap_or_default();
        match self.throttle.judge(&kind, Instant::now()) {
            Verdict::Write => {}
            Verdict::LeaveOut => return,
            Verdict::LeaveOutAndSay => {
                // Where the queue is full, whatever is written next says this too.
                let _ = self.queue.try_send(Item::LeftOut);
                return;
            }
        }
        if self.queue.try_send(Item::Line(record)).is_err() {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
}

thread_local! {
    /// What the log's own thread has to say, while it says it: its queue may be full, and nobody else empties it.
    static OWN: RefCell<Option<Vec<Record>>> = const { RefCell::new(None) };
}

/// Keeps a line of the log's own thread; gives back any other one.
fn keep_own(record: Record) -> Option<Record> {
    OWN.with_borrow_mut(|own| match own {
        Some(lines) => {
            lines.push(record);
            None
        }
        None => Some(record),
    })
}

/// The lines that `say` writes.
fn own_lines(say: impl FnOnce()) -> Vec<Record> {
    OWN.set(Some(Vec::new()));
    say();
    OWN.take().unwrap_or_default()
}

fn write(lines: &Receiver<Item>, output: &Dispatch, combined: bool, throttle: &Throttle) {
    let tell = |record: &Record| {
        REPLAYED.set((record.at, record.level()));
        record.replay(output);
        if combined
            && let Some(line) = combined::line(record)
            && writeln!(io::stdout(), "{line}").is_err()
        {
            // Whoever wanted them may have gone away; the log goes on.
            DROPPED.fetch_add(1, Relaxed);
        }
    };
    let mut count = Count::default();
    loop {
        let item = match count.due {
            None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => lines.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let end = match item {
            Ok(Item::Line(record)) => {
                tell(&record);
                None
            }
            Ok(Item::LeftOut) | Err(RecvTimeoutError::Timeout) => None,
            Ok(Item::End(written)) => Some(written),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        own_lines(|| count.say(throttle, end.is_some())).iter().for_each(tell);
        if end.is_some() {
            while let Ok(item) = lines.try_recv() {
                if let Item::Line(record) = item {
                    tell(&record);
                }
            }
            return;
        }
    }
}

/// Says what was not written, once a [`PAUSE`].
#[derive(Default)]
struct Count {
    said: Option<Instant>,
    /// When there will be something to say.
    due: Option<Instant>,
    dropped: u64,
}

impl Count {
    fn say(&mut self, throttle: &Throttle, now_or_never: bool) {
        if !now_or_never && self.said.is_some_and(|said| said.elapsed() < PAUSE) {
            self.due = self.said.and_then(|said| said.checked_add(PAUSE));
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

/// Whether systemd connected this to the journal, as `sd_journal_stream_fd(3)` has it: the
/// variable may be inherited by a process whose output goes elsewhere.
fn is_journal(output: &impl AsFd) -> bool {
    let Ok(said) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(descriptor) = output.as_fd().try_clone_to_owned() else { return false };
    File::from(descriptor)
        .metadata()
        .is_ok_and(|file| said == format!("{}:{}", file.dev(), file.ino()))
}

fn to_journald() -> io::Result<Dispatch> {
    let priorities =
        PriorityMappings { info: Priority::Informational, ..PriorityMappings::default() };
    let layer = tracing_journald::layer()?
        // Its prefix would hide MESSAGE_ID from journald.
        .with_field_prefix(None)
        .with_syslog_identifier("silvacast".into())
        .with_priority_mappings(priorities);
    Ok(Dispatch::new(Registry::default().with(layer)))
}

/// Lines on stderr. Where they go to the journal all the same, as in a container that has no socket of journald's, each begins with
/// its priority as sd-daemon(3) has it; the journal has times of its own.
fn to_stderr(journal: bool) -> Dispatch {
    let lines = fmt::layer()
        .with_writer(|| Stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_timer(Then { journal });
    Dispatch::new(Registry::default().with(lines))
}

/// Standard error, which counts what it does not take.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // One line each. A part of one would be no line, so it is written whole or counted.
        if io::stderr().write_all(line).is_err() {
            DROPPED.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// When what is being written happened, and how much it matters.
    static REPLAYED: Cell<(SystemTime, Level)> = const { Cell::new((SystemTime::UNIX_EPOCH, Level::INFO)) };
}

/// What a line begins with: the time at which something happened, and not the one at which it is written, or a priority.
struct Then {
    journal: bool,
}

impl FormatTime for Then {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        let (at, level) = REPLAYED.get();
        if self.journal {
            return write!(
                line,
                "<{}>",
                match level {
                    Level::ERROR => 3,
                    Level::WARN => 4,
                    Level::INFO => 6,
                    _ => 7,
                }
            );
        }
        let at = OffsetDateTime::from(at);
        let at = at.replace_microsecond(at.microsecond()).unwrap_or(at);
        write!(line, "{}", at.format(&Rfc3339).unwrap_or_default())
    }
}
