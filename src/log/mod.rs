//! The log: lines with fields in the journal if systemd started the process, otherwise text
//! (`logfmt`) or JSON on standard error.
//!
//! A write to the log may block: journald or the reader of standard error can be slow or stopped.
//! So the thread `log` writes the lines, and other threads put them into a bounded queue. A full
//! queue drops lines, because a thread that moves audio must not wait. Dropped lines and failed
//! writes, as on a full disk, are counted and reported as soon as lines can be written again. The
//! throttle limits the lines of each kind (`throttle`).

mod access;
mod catalog;
pub mod journal;
mod logfmt;
mod output;
mod recent;
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
use tracing::span::{Attributes, Id};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata, Subscriber};

pub(crate) use catalog::{Explanation, explain};
pub(crate) use journal::journal;
pub use recent::RECENT_MEMORY;
pub(crate) use recent::{RecentLine, recent};

use output::{DROPPED_LINES, Output};
use record::Record;
use throttle::{LineVerdict, Throttle};

/// Capacity of the queue, in lines.
const QUEUED_LINES: usize = 512;
/// Upper limit of the memory of a line, in bytes. Text from clients is cut to far less, although a line
/// may contain a text twice.
const MAX_LINE: usize = 2048;
/// Upper limit of the queue's memory, in bytes.
pub const LOG_MEMORY: usize = QUEUED_LINES * MAX_LINE;
/// How long dropping the [`Log`] waits for queued lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Minimum time between two reports of dropped and left out lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The format of the lines on standard error. Lines to journald have fields instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, message, and the fields in logfmt.
    Text,
    /// One JSON object per line.
    Json,
}

/// The running log. Dropping it writes the queued lines, unless the output blocks.
pub struct Log {
    queue: SyncSender<LogMessage>,
}

enum LogMessage {
    Line(Record),
    /// The throttle left out a line, so a report is due.
    LeftOut,
    /// The last message. The sender is dropped when all lines before it have been written.
    End(#[allow(dead_code, reason = "dropping the sender is the signal")] SyncSender<()>),
}

impl Log {
    /// Starts logging for the whole process. With `combined`, each listener that leaves also adds a
    /// line to the access log on standard output.
    ///
    /// # Errors
    /// The system's error if the thread cannot be created.
    pub fn start(format: LogFormat, combined: bool) -> io::Result<Self> {
        let output = Output::open(format);
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
        // This fails if a subscriber is already installed, as when tests start several servers in
        // one process; the first one stays.
        let _ = set_global_default(capture);
        Ok(Self { queue })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (sender, written) = sync_channel(0);
        let (mut end, began) = (LogMessage::End(sender), Instant::now());
        // The queue stays full while the output blocks, which may be forever.
        while let Err(TrySendError::Full(message)) = self.queue.try_send(end) {
            if began.elapsed() >= FLUSH_TIMEOUT {
                return;
            }
            end = message;
            thread::sleep(Duration::from_millis(10));
        }
        // Nothing is ever sent. This waits until the sender is dropped.
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}

/// The number of lines that were dropped since the process started, because the queue was full or a
/// write failed.
pub fn lines_dropped() -> u64 {
    DROPPED_LINES.load(Relaxed)
}

/// The subscriber, which copies events into the queue, on the thread that logs them. There are no
/// spans, so it needs no registry of them, which would be 32 KiB.
struct Capture {
    queue: SyncSender<LogMessage>,
    for_journald: bool,
    throttle: Arc<Throttle>,
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= LevelFilter::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut record = Record::of(event, if self.for_journald { &[] } else { &["message_id"] });
        if self.for_journald {
            record.append_fields();
        }
        let Some(record) = capture(record) else { return };
        let kind = record.value("event").unwrap_or_default();
        match self.throttle.judge(&kind, Instant::now()) {
            LineVerdict::Write => {}
            LineVerdict::LeaveOut => return,
            LineVerdict::LeaveOutAndReport => {
                // If the queue is full, the report follows the next line that is written.
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
    /// The lines that the thread `log` itself logs, while [`captured_lines`] runs. They must not go
    /// through the queue: it may be full, and only this thread empties it.
    static CAPTURED: RefCell<Option<Vec<Record>>> = const { RefCell::new(None) };
}

/// Keeps a line while [`captured_lines`] runs on this thread; otherwise returns it.
fn capture(record: Record) -> Option<Record> {
    CAPTURED.with_borrow_mut(|captured| match captured {
        Some(lines) => {
            lines.push(record);
            None
        }
        None => Some(record),
    })
}

/// The lines that `report` logs.
fn captured_lines(report: impl FnOnce()) -> Vec<Record> {
    CAPTURED.set(Some(Vec::new()));
    report();
    CAPTURED.take().unwrap_or_default()
}

fn write(lines: &Receiver<LogMessage>, output: &Output, combined: bool, throttle: &Throttle) {
    let write_line = |record: &Record| {
        output.write(record);
        recent::keep(record);
        if combined
            && let Some(line) = access::line(record)
            && writeln!(io::stdout(), "{line}").is_err()
        {
            // The reader of standard output may be gone. The log itself continues.
            DROPPED_LINES.fetch_add(1, Relaxed);
        }
    };
    let mut report = LossReport::default();
    loop {
        let message = match report.due {
            None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => lines.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let end = match message {
            Ok(LogMessage::Line(record)) => {
                write_line(&record);
                None
            }
            Ok(LogMessage::LeftOut) | Err(RecvTimeoutError::Timeout) => None,
            Ok(LogMessage::End(sender)) => Some(sender),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        captured_lines(|| report.log(throttle, end.is_some())).iter().for_each(write_line);
        if end.is_some() {
            while let Ok(message) = lines.try_recv() {
                if let LogMessage::Line(record) = message {
                    write_line(&record);
                }
            }
            return;
        }
    }
}

/// Reports the lines that were not written, at most once per [`REPORT_INTERVAL`].
#[derive(Default)]
struct LossReport {
    last: Option<Instant>,
    /// When the next report is due.
    due: Option<Instant>,
    /// Dropped lines that have been reported.
    reported: u64,
}

impl LossReport {
    fn log(&mut self, throttle: &Throttle, is_end: bool) {
        if !is_end && self.last.is_some_and(|last| last.elapsed() < REPORT_INTERVAL) {
            self.due = self.last.and_then(|last| last.checked_add(REPORT_INTERVAL));
            return;
        }
        let lines = lines_dropped() - self.reported;
        let left_out = throttle.take_left_out();
        if lines > 0 {
            self.reported += lines;
            journal!(
                warn,
                LOG_DROPPED,
                lines,
                "log lines were dropped: the output was too slow or could not be written"
            );
        }
        for (kind, count) in &left_out {
            journal!(info, MORE_LINES, of = kind, count, "more lines of this kind were left out");
        }
        self.due = None;
        if lines > 0 || !left_out.is_empty() {
            self.last = Some(Instant::now());
        }
    }
}
