//! Counters and gauges, and what the whole server has counted since it started.
//!
//! They are written with relaxed stores by the threads that do the work, and read at any moment.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::metrics::histogram::Histogram;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// A gauge at zero.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Sets it.
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Its value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the server has done since it began.
#[derive(Debug)]
pub struct ServerStats {
    /// Connections accepted.
    pub connections: Counter,
    /// Requests decided.
    pub requests: Counter,
    /// Sources let in.
    pub sources: Counter,
    /// Listeners that have joined.
    pub listeners: Counter,
    /// Requests for status and administration.
    pub control: Counter,
    /// Requests refused, by status.
    pub refused: RefusedByStatus,
    /// How long listeners waited for their first bytes, in seconds.
    pub joins: Histogram,
}

/// Counts by HTTP status.
#[derive(Debug, Default)]
pub struct RefusedByStatus([Counter; STATUSES.len()]);

/// The statuses that requests are refused with; the last stands for all others.
const STATUSES: [u16; 11] = [400, 401, 403, 404, 405, 408, 415, 429, 431, 503, 0];

/// Where all others are counted.
const OTHER: usize = STATUSES.len() - 1;

impl RefusedByStatus {
    /// Counts one.
    pub fn note(&self, status: u16) {
        let at = STATUSES.iter().position(|&s| s == status).unwrap_or(OTHER);
        self.0[at].add(1);
    }

    /// All statuses, and how many of each; 0 stands for others.
    pub fn each(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.into_iter().zip(self.0.iter().map(Counter::get))
    }
}

impl Default for ServerStats {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            requests: Counter::default(),
            sources: Counter::default(),
            listeners: Counter::default(),
            control: Counter::default(),
            refused: RefusedByStatus::default(),
            joins: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]),
        }
    }
}
