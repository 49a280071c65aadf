//! Where log lines go: to journald with their fields, or to standard error as readable lines.

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
    /// journald takes the fields; otherwise the line has to show them.
    pub(super) is_journald: bool,
}

impl Output {
    /// journald where systemd connected standard error to the journal and its socket is there, else
    /// standard error.
    pub(super) fn open() -> Self {
        let is_journal = is_journal(&io::stderr());
        match is_journal.then(journald).and_then(Result::ok) {
            Some(dispatch) => Self { dispatch, is_journald: true },
            None => Self { dispatch: standard_error(is_journal), is_journald: false },
        }
    }

    /// Writes one line.
    pub(super) fn write(&self, record: &Record) {
        REPLAYED.set((record.at, record.level()));
        record.replay(&self.dispatch);
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

fn journald() -> io::Result<Dispatch> {
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
fn standard_error(journal: bool) -> Dispatch {
    let lines = fmt::layer()
        .with_writer(|| Stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_timer(OriginalTime { journal });
    Dispatch::new(Registry::default().with(lines))
}

/// Standard error, which counts what it does not take.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // One line each. A part of one would be no line, so it is written whole or counted.
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
    /// When what is being written happened, and how much it matters.
    static REPLAYED: Cell<(SystemTime, Level)> = const { Cell::new((SystemTime::UNIX_EPOCH, Level::INFO)) };
}

/// What a line begins with: the time at which something happened, and not the one at which it is written, or a priority.
struct OriginalTime {
    journal: bool,
}

impl FormatTime for OriginalTime {
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
