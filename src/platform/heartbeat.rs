//! Heartbeats: counters by which the watchdog checks that every loop advances.
//!
//! A loop beats in its own `select!`. If another arm hangs, or the whole thread, the loop does not
//! beat. A loop that waits for a client counts as advancing: it beats while it waits.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// The heartbeats of all loops that must advance. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    loops: Arc<Mutex<Vec<Weak<Beats>>>>,
    /// Time between two beats of a loop; `None` if there is no watchdog.
    every: Option<Duration>,
}

/// The heartbeat of one loop.
#[derive(Debug)]
pub struct Heartbeat {
    beats: Arc<Beats>,
    every: Option<Duration>,
    timer: Option<Interval>,
}

#[derive(Debug)]
struct Beats {
    name: String,
    count: AtomicU64,
    /// The count at the last check.
    seen: AtomicU64,
}

impl Heartbeats {
    /// Heartbeats for a watchdog that checks them once per `check_interval`.
    pub fn watched(check_interval: Duration) -> Self {
        Self { loops: Arc::default(), every: Some(check_interval / 2) }
    }

    /// Registers a loop under this name. The loop must beat until the heartbeat is dropped.
    pub fn of(&self, name: impl Into<String>) -> Heartbeat {
        // A new loop counts as having advanced since the last check.
        let beats = Beats { name: name.into(), count: AtomicU64::new(1), seen: AtomicU64::new(0) };
        let beats = Arc::new(beats);
        if self.every.is_some() {
            self.loops().push(Arc::downgrade(&beats));
        }
        Heartbeat { beats, every: self.every, timer: None }
    }

    /// The names of the loops that have not advanced since the last call.
    pub fn behind(&self) -> HashSet<String> {
        let mut behind = HashSet::new();
        self.loops().retain(|beats| {
            let Some(beats) = beats.upgrade() else { return false };
            let count = beats.count.load(Relaxed);
            if beats.seen.swap(count, Relaxed) == count {
                behind.insert(beats.name.clone());
            }
            true
        });
        behind
    }

    fn loops(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Beats>>> {
        // No code can panic while it holds this lock.
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Waits for the next beat and counts it. Meant for an arm of a loop's `select!`. Never
    /// resolves if there is no watchdog.
    pub async fn beat(&mut self) {
        let Some(every) = self.every else { return std::future::pending().await };
        let timer = self.timer.get_or_insert_with(|| {
            let mut timer = interval(every);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer
        });
        timer.tick().await;
        self.beats.count.fetch_add(1, Relaxed);
    }

    /// Awaits `wait`, which depends on a client, and beats while it waits.
    pub async fn during<T>(&mut self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                // The beat comes first: a loop whose `wait` is always ready would otherwise never
                // beat.
                biased;
                () = self.beat() => {}
                done = &mut wait => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const CHECK_INTERVAL: Duration = Duration::from_secs(1);

    fn names(stuck: &[&str]) -> HashSet<String> {
        stuck.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_is_reported_and_one_that_waits_for_a_client_is_not() {
        let heartbeats = Heartbeats::watched(CHECK_INTERVAL);
        let (mut advancing, mut waiting) =
            (heartbeats.of("advances"), heartbeats.of("waits for a client"));
        let _hangs = heartbeats.of("hangs");
        let checks = async {
            assert_eq!(heartbeats.behind(), names(&[]), "all loops have just started");
            for _ in 0..10 {
                sleep(CHECK_INTERVAL).await;
                assert_eq!(heartbeats.behind(), names(&["hangs"]));
            }
        };
        tokio::select! {
            () = checks => {}
            () = async { loop { advancing.beat().await } } => {}
            () = waiting.during(std::future::pending()) => {}
        }
        drop(advancing);
        assert_eq!(
            heartbeats.behind(),
            names(&["hangs", "waits for a client"]),
            "a dropped heartbeat is no longer checked"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_whose_futures_are_always_ready_still_beats() {
        let heartbeats = Heartbeats::watched(CHECK_INTERVAL);
        let mut busy = heartbeats.of("busy");
        assert!(heartbeats.behind().is_empty());
        for _ in 0..10 {
            for _ in 0..10 {
                busy.during(std::future::ready(())).await;
                sleep(CHECK_INTERVAL / 10).await;
            }
            assert!(heartbeats.behind().is_empty());
        }
    }

    #[allow(clippy::disallowed_methods, reason = "this test has no Clock")]
    #[tokio::test(start_paused = true)]
    async fn without_a_watchdog_no_loop_beats() {
        let heartbeats = Heartbeats::default();
        let mut heartbeat = heartbeats.of("a loop");
        assert!(tokio::time::timeout(CHECK_INTERVAL, heartbeat.beat()).await.is_err());
        assert!(heartbeats.behind().is_empty());
    }
}
