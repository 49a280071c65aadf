//! The destination of the log: journald, with all fields, or standard error, as text or JSON.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{Dispatch, Level, Metadata};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt};

use super::LogFormat;
use super::logfmt::Logfmt;
use super::record::Record;

/// Lines that could not be queued or written, since the process started.
pub(super) static DROPPED_LINES: AtomicU64 = AtomicU64::new(0);

/// The destination of this process's log.
pub(super) struct Output {
    dispatch: Dispatch,
    /// Lines go to journald, which stores the fields. Standard error gets them as text or JSON.
    pub(super) is_journald: bool,
}

impl Output {
    /// Opens journald if systemd connected standard error to the journal and journald's socket
    /// exists, otherwise standard error, with lines in this format.
    pub(super) fn open(format: LogFormat) -> Self {
        let to_journal = leads_to_journal(&io::stderr());
        match to_journal.then(journald).and_then(Result::ok) {
            Some(dispatch) => Self { dispatch, is_journald: true },
            None => Self { dispatch: standard_error(to_journal, format), is_journald: false },
        }
    }

    /// Writes one line.
    pub(super) fn write(&self, record: &Record) {
        REPLAYED_AT.set(record.at);
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
/// journald's socket. Then each line begins with its priority (sd-daemon(3)), and text has no time,
/// because the journal adds the time.
fn standard_error(to_journal: bool, format: LogFormat) -> Dispatch {
    let has_time = !to_journal || format == LogFormat::Json;
    lines_to(StandardError { to_journal }, format, has_time, io::stderr().is_terminal())
}

/// Writes lines in this format to `writer`. Only text has colors.
fn lines_to<W>(writer: W, format: LogFormat, has_time: bool, colors: bool) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let timer = OriginalTime { is_shown: has_time };
    let lines = fmt::layer().with_writer(writer).with_target(false).with_timer(timer);
    match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(colors).fmt_fields(Logfmt);
            Dispatch::new(Registry::default().with(lines))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            let lines = lines.with_current_span(false).with_span_list(false);
            Dispatch::new(Registry::default().with(lines))
        }
    }
}

/// Standard error.
struct StandardError {
    to_journal: bool,
}

impl<'w> MakeWriter<'w> for StandardError {
    type Writer = LineWriter;

    fn make_writer(&'w self) -> LineWriter {
        LineWriter { prefix: "" }
    }

    fn make_writer_for(&'w self, event: &Metadata<'_>) -> LineWriter {
        let prefix = match (self.to_journal, *event.level()) {
            (false, _) => "",
            (true, Level::ERROR) => "<3>",
            (true, Level::WARN) => "<4>",
            (true, Level::INFO) => "<6>",
            (true, _) => "<7>",
        };
        LineWriter { prefix }
    }
}

/// Writes a line to standard error, after a prefix. Counts the lines that cannot be written.
struct LineWriter {
    prefix: &'static str,
}

impl io::Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Each call has one line. It is written whole or counted as dropped. One write, because
        // others may write to the same file.
        let whole = [self.prefix.as_bytes(), line].concat();
        if io::stderr().write_all(&whole).is_err() {
            DROPPED_LINES.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// The time of the event that is being written.
    static REPLAYED_AT: Cell<SystemTime> = const { Cell::new(SystemTime::UNIX_EPOCH) };
}

/// The time at which the event happened, not the time at which it is written.
struct OriginalTime {
    is_shown: bool,
}

impl FormatTime for OriginalTime {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        if !self.is_shown {
            return Ok(());
        }
        let at = OffsetDateTime::from(REPLAYED_AT.get());
        let at = at.replace_microsecond(at.microsecond()).unwrap_or(at);
        write!(line, "{}", at.format(&Rfc3339).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::subscriber::with_default;
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer};

    use super::*;

    /// Writes each event to an output, as the thread `log` does.
    struct WriteTo(Output);

    impl<S: Subscriber> Layer<S> for WriteTo {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.write(&Record::of(event, &["message_id"]));
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that the events of `log` make.
    fn written(format: LogFormat, has_time: bool, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let dispatch = lines_to(move || writer.clone(), format, has_time, false);
        let output = WriteTo(Output { dispatch, is_journald: false });
        with_default(Registry::default().with(output), log);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_has_the_types_of_the_fields() {
        let line = written(LogFormat::Json, true, || {
            tracing::warn!(
                event = "tested",
                message_id = "0",
                r#loop = "a \"b\"\n",
                count = u64::MAX,
                offset = -1_i64,
                seconds = 0.5,
                spliced = true,
                absent = None::<u64>,
                peer = %"::1",
                "done"
            );
        });
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
        let mut fields: Value = serde_json::from_str(&line).unwrap();
        let timestamp = fields.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
        let expected = json!({
            "level": "WARN", "message": "done", "event": "tested", "loop": "a \"b\"\n",
            "count": u64::MAX, "offset": -1, "seconds": 0.5, "spliced": true, "peer": "::1",
        });
        assert_eq!(fields, expected);
    }

    #[test]
    fn text_has_quotes_around_text_and_where_they_are_needed() {
        let line = written(LogFormat::Text, false, || {
            let end = "it sent nothing";
            tracing::info!(event = "tested", r#loop = "a", count = 1, reason = %end, "well done");
        });
        let expected = "  INFO well done event=\"tested\" loop=\"a\" count=1 \
                        reason=\"it sent nothing\"\n";
        assert_eq!(line, expected);
    }
}
