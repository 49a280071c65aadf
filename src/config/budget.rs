//! The most memory that a configuration can make the server use, item by item.
//!
//! Every bound in the program appears here; the process stays under the sum.

use std::fmt;

use super::Config;
use crate::control::{
    KEPT_EVENTS, MOST_READERS, MOST_REQUESTS, QUEUE, READER_MEMORY, REQUEST_MEMORY, SEND_BUFFER,
    SOURCE_TEXT,
};
use crate::door::{MOST_WAITING, RECEIVE_BUFFER, VISIT_MEMORY};
use crate::listener::LISTENER_MEMORY;
use crate::ogg::{MAX_HEADERS, MAX_PACKET, MAX_PAGE, Scanner};
use crate::platform::LOG_MEMORY;

/// The program itself, its threads and their runtimes, in bytes. Measured at 3 to 4 MiB.
const PROGRAM: usize = 6 * 1024 * 1024;
/// Each further data-plane thread.
const THREAD: usize = 256 * 1024;

/// Files of the process itself: standard streams, log, signals.
const FILES: usize = 16;
/// Files of each thread's runtime.
const THREAD_FILES: usize = 4;

/// A sum of items, in bytes: the process's own memory, and what the kernel holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In the process.
    pub process: Vec<(String, u64)>,
    /// In the kernel.
    pub kernel: Vec<(String, u64)>,
    /// Files open at once, connections among them.
    pub files: u64,
}

impl Budget {
    /// The worst case of a configuration.
    pub fn of(config: &Config) -> Self {
        let limits = &config.door.limits;
        let ring = config.door.rules.largest_ring();
        // A mount has the source that is heard and one that is yet to show what it sends. Headers are
        // gathered in a buffer and a packet, and then kept.
        let source = Scanner::MEMORY + 4 * MAX_HEADERS;
        // A packet that goes over pages, and a page of silence in the making, which may have doubled.
        let stream = MAX_PACKET + 2 * MAX_PAGE + MAX_HEADERS;
        // Wider than memory itself where that is small: a sum that does not fit is what must be shown.
        let times = |what: &str, count: usize, each: usize| {
            (format!("{count} × {what}"), count as u64 * each as u64)
        };
        let connections =
            limits.sources + limits.listeners + MOST_WAITING + QUEUE + MOST_REQUESTS + MOST_READERS;
        // A mount has two sources at the most, and on each thread a set of listeners to wait for.
        let files = limits.sources * (2 + config.workers)
            + limits.listeners
            + MOST_WAITING
            + MOST_REQUESTS
            + MOST_READERS
            + QUEUE
            + config.listen.len()
            + THREAD_FILES * (config.workers + 3)
            + FILES;
        Self {
            files: files as u64,
            process: vec![
                (
                    "the program and its threads".into(),
                    (PROGRAM + (config.workers - 1) * THREAD) as u64,
                ),
                times("a mount's ring", limits.sources * config.workers, ring),
                times("a source's page in the making and its headers", 2 * limits.sources, source),
                times(
                    "a stream's packet and silence in the making, and its headers",
                    limits.sources,
                    stream,
                ),
                times("a listener", limits.listeners, LISTENER_MEMORY),
                times("a request head", MOST_WAITING, VISIT_MEMORY + 2 * limits.request_head),
                times("a request on its way", QUEUE, 2 * limits.request_head),
                // While one configuration takes the other's place there are both.
                ("users and tokens".into(), 2 * config.door.rules.memory() as u64),
                times(
                    "a status request",
                    MOST_REQUESTS,
                    REQUEST_MEMORY + limits.sources * SOURCE_TEXT,
                ),
                times(
                    "a reader of events",
                    MOST_READERS,
                    READER_MEMORY + limits.sources * SOURCE_TEXT,
                ),
                times("an event that is kept", KEPT_EVENTS, SOURCE_TEXT),
                ("log lines in the queue".into(), LOG_MEMORY as u64),
            ],
            kernel: vec![
                times("a listener's send buffer", limits.listeners, limits.listener_send_buffer),
                // The kernel doubles what it is asked for.
                times(
                    "an answer that is not yet taken",
                    MOST_REQUESTS + MOST_READERS,
                    2 * SEND_BUFFER,
                ),
                times("a connection's receive buffer", connections, 2 * RECEIVE_BUFFER),
            ],
        }
    }

    /// The process's share, in bytes.
    pub fn process_total(&self) -> u64 {
        self.process.iter().map(|(_, bytes)| bytes).sum()
    }

    /// All of it, in bytes.
    pub fn total(&self) -> u64 {
        self.process_total() + self.kernel.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "memory, worst case:")?;
        for (title, items) in [("in the process", &self.process), ("in the kernel", &self.kernel)] {
            writeln!(f, "  {title}")?;
            for (what, bytes) in items {
                writeln!(f, "  {:>10.2} MiB  {what}", mib(*bytes))?;
            }
        }
        write!(
            f,
            "  {:>10.2} MiB  in all, {:.2} MiB of it in the process\nopen files, at the most: {}",
            mib(self.total()),
            mib(self.process_total()),
            self.files
        )
    }
}
