//! The log: readable lines on stderr, written by a thread of their own.
//!
//! Whoever reads stderr may be slow or stopped; the queue in front is bounded and drops lines
//! rather than wait, as nothing may hold up a thread that moves audio.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

/// Lines that may wait to be written.
const QUEUE: usize = 1024;
/// What they take at the most, in bytes: the texts that clients choose are cut long before.
pub const LOG_MEMORY: usize = QUEUE * 1024;

/// The running log; dropping it writes what still waits.
pub struct Log {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Log {
    /// Starts logging for the whole process.
    pub fn start() -> Self {
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUE)
            .lossy(true)
            .thread_name("log")
            .finish(std::io::stderr());
        let dropped = writer.error_counter();
        let lines = tracing_subscriber::fmt()
            .with_writer(writer)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal());
        // The journal has times of its own.
        if std::env::var_os("JOURNAL_STREAM").is_some() {
            lines.without_time().init();
        } else {
            lines.init();
        }
        Self { dropped, _writer: guard }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            tracing::warn!(
                event = "log-dropped",
                lines = dropped,
                "log lines were dropped, as nobody took them in time"
            );
        }
    }
}
