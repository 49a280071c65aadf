//! Counters and gauges, and the statistics of the whole server.
//!
//! The threads that do the work update them with relaxed atomic operations. Any thread may read
//! them.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::metrics::histogram::Histogram;

/// A number that only increases.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that can increase and decrease.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// A gauge at zero.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Sets the value.
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The current value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The statistics of the server since its start.
#[derive(Debug)]
pub struct ServerStats {
    /// Connections accepted.
    pub connections: Counter,
    /// Requests that were routed or refused.
    pub requests: Counter,
    /// Sources admitted.
    pub sources: Counter,
    /// Listeners that have joined.
    pub listeners: Counter,
    /// Requests to the control plane.
    pub control: Counter,
    /// Requests refused, by status.
    pub refused: RefusedByStatus,
    /// How long listeners waited for their first bytes, in seconds.
    pub joins: Histogram,
}

/// Counts of refused requests, by HTTP status.
#[derive(Debug, Default)]
pub struct RefusedByStatus {
    known: [Counter; STATUSES.len()],
    other: Counter,
}

/// The statuses that have a counter of their own.
const STATUSES: [u16; 10] = [400, 401, 403, 404, 405, 408, 415, 429, 431, 503];

impl RefusedByStatus {
    /// Counts a request that was refused with this status.
    pub fn note(&self, status: u16) {
        let known = STATUSES.iter().position(|&known| known == status);
        known.map_or(&self.other, |index| &self.known[index]).add(1);
    }

    /// Each status with its count; `None` stands for all others.
    pub fn each(&self) -> impl Iterator<Item = (Option<u16>, u64)> {
        let known = STATUSES.into_iter().map(Some).zip(&self.known);
        known.chain([(None, &self.other)]).map(|(status, count)| (status, count.get()))
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
