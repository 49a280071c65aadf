//! The destination of the log: journald, with all fields, or standard error, as text.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{Dispatch, Level};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt};

use super::record::Record;

/// Lines that could not be queued or written, since the process started.
pub(super) static DROPPED_LINES: AtomicU64 = AtomicU64::new(0);

/// The destination of this process's log.
pub(super) struct Output {
    dispatch: Dispatch,
    /// Lines go to journald, which stores the fields. Standard error gets them as text.
    pub(super) is_journald: bool,
}

impl Output {
    /// Opens journald if systemd connected standard error to the journal and journald's socket
    /// exists, otherwise standard error.
    pub(super) fn open() -> Self {
        let to_journal = leads_to_journal(&io::stderr());
        match to_journal.then(journald).and_then(Result::ok) {
            Some(dispatch) => Self { dispatch, is_journald: true },
            None => Self { dispatch: standard_error(to_journal), is_journald: false },
        }
    }

    /// Writes one line.
    pub(super) fn write(&self, record: &Record) {
        REPLAYED.set((record.at, record.level()));
        record.replay(&self.dispatch);
    }
}

/// Whether systemd connected `output` to the journal: `JOURNAL_STREAM` names its device and inode
/// (systemd.exec(5)). The variable alone is not enough, because a process with another output may
/// inherit it.
fn leads_to_journal(output: &impl AsFd) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(descriptor) = output.as_fd().try_clone_to_owned() else { return false };
    File::from(descriptor)
        .metadata()
        .is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

fn journald() -> io::Result<Dispatch> {
    let priorities =
        PriorityMappings { info: Priority::Informational, ..PriorityMappings::default() };
    let layer = tracing_journald::layer()?
        // With a prefix, journald would not recognize MESSAGE_ID.
        .with_field_prefix(None)
        .with_syslog_identifier("silvacast".into())
        .with_priority_mappings(priorities);
    Ok(Dispatch::new(Registry::default().with(layer)))
}

/// Writes lines to standard error. They may still lead to the journal, as in a container without
/// journald's socket. Then each line begins with its priority (sd-daemon(3)) in place of its time,
/// because the journal adds the time.
fn standard_error(to_journal: bool) -> Dispatch {
    let lines = fmt::layer()
        .with_writer(|| Stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_timer(OriginalTime { to_journal });
    Dispatch::new(Registry::default().with(lines))
}

/// Standard error. Counts the lines that cannot be written.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Each call has one line. It is written whole or counted as dropped.
        if io::stderr().write_all(line).is_err() {
            DROPPED_LINES.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// Time and level of the event that is being written.
    static REPLAYED: Cell<(SystemTime, Level)> = const { Cell::new((SystemTime::UNIX_EPOCH, Level::INFO)) };
}

/// The beginning of a line: the time at which the event happened, not the time at which it is
/// written; or its priority, if the line leads to the journal.
struct OriginalTime {
    to_journal: bool,
}

impl FormatTime for OriginalTime {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        let (at, level) = REPLAYED.get();
        if self.to_journal {
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
