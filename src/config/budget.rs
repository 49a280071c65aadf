//! The most memory that a configuration can make the server use, item by item.
//!
//! Every bound in the program appears here; the process stays under the sum.

use std::fmt;

use super::Config;
use crate::control::{MOST_REQUESTS, REQUEST_MEMORY};
use crate::door::{MOST_WAITING, RECEIVE_BUFFER, VISIT_MEMORY};
use crate::listener::LISTENER_MEMORY;
use crate::ogg::{MAX_HEADERS, Scanner};
use crate::platform::LOG_MEMORY;

/// The program itself, its threads and their runtimes, in bytes. Measured at 3 to 4 MiB.
const PROGRAM: usize = 6 * 1024 * 1024;
/// Each further data-plane thread.
const THREAD: usize = 256 * 1024;

/// A sum of items, in bytes: the process's own memory, and what the kernel holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In the process.
    pub process: Vec<(String, usize)>,
    /// In the kernel.
    pub kernel: Vec<(String, usize)>,
}

impl Budget {
    /// The worst case of a configuration.
    pub fn of(config: &Config) -> Self {
        let limits = &config.door.limits;
        let ring = config.door.rules.largest_ring();
        // While headers are gathered, those of the stream before are still kept.
        let source = Scanner::MEMORY + 2 * MAX_HEADERS;
        let times =
            |what: &str, count: usize, each: usize| (format!("{count} × {what}"), count * each);
        let connections = limits.sources + limits.listeners + MOST_WAITING + MOST_REQUESTS;
        Self {
            process: vec![
                ("the program and its threads".into(), PROGRAM + (config.workers - 1) * THREAD),
                times("a mount's ring", limits.sources * config.workers, ring),
                times("a source's page in the making and its headers", limits.sources, source),
                times("a listener", limits.listeners, LISTENER_MEMORY),
                times("a request head", MOST_WAITING, VISIT_MEMORY + 2 * limits.request_head),
                times("a status request", MOST_REQUESTS, REQUEST_MEMORY),
                ("log lines in the queue".into(), LOG_MEMORY),
            ],
            kernel: vec![
                times("a listener's send buffer", limits.listeners, limits.listener_send_buffer),
                // The kernel doubles what it is asked for.
                times("a connection's receive buffer", connections, 2 * RECEIVE_BUFFER),
            ],
        }
    }

    /// The process's share, in bytes.
    pub fn process_total(&self) -> usize {
        self.process.iter().map(|(_, bytes)| bytes).sum()
    }

    /// All of it, in bytes.
    pub fn total(&self) -> usize {
        self.process_total() + self.kernel.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "memory, worst case:")?;
        for (title, items) in [("in the process", &self.process), ("in the kernel", &self.kernel)] {
            writeln!(f, "  {title}")?;
            for (what, bytes) in items {
                writeln!(f, "  {:>10.2} MiB  {what}", mib(*bytes))?;
            }
        }
        write!(
            f,
            "  {:>10.2} MiB  in all, {:.2} MiB of it in the process",
            mib(self.total()),
            mib(self.process_total())
        )
    }
}
