//! Heartbeats: by which the watchdog checks that every loop advances.
//!
//! The watchdog asks all loops for a beat, and looks at its next check who has answered. A loop answers
//! in its own `select!`. If another arm hangs, or the whole thread, it does not. A loop that waits for
//! a client counts as advancing: it answers while it waits. Without a watchdog nobody is ever asked, so
//! an idle server sleeps.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// The heartbeats of all loops that must advance. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    loops: Arc<Mutex<Vec<Weak<Pulse>>>>,
}

/// The heartbeat of one loop.
#[derive(Debug)]
pub struct Heartbeat(Arc<Pulse>);

#[derive(Debug)]
struct Pulse {
    name: String,
    /// Wakes the loop.
    asked: Notify,
    /// Whether it has answered since it was last asked.
    answered: AtomicBool,
}

impl Heartbeats {
    /// Registers a loop under this name. The loop must beat until the heartbeat is dropped.
    pub fn of(&self, name: impl Into<String>) -> Heartbeat {
        let (asked, answered) = (Notify::new(), AtomicBool::new(true));
        let pulse = Arc::new(Pulse { name: name.into(), asked, answered });
        let mut loops = self.loops();
        // Without a watchdog nothing else removes those that are gone.
        loops.retain(|pulse| pulse.strong_count() > 0);
        loops.push(Arc::downgrade(&pulse));
        drop(loops);
        Heartbeat(pulse)
    }

    /// The names of the loops that have not answered since the last call. Asks all loops again.
    pub fn check(&self) -> HashSet<String> {
        let mut behind = HashSet::new();
        self.loops().retain(|pulse| {
            let Some(pulse) = pulse.upgrade() else { return false };
            if !pulse.answered.swap(false, Relaxed) {
                behind.insert(pulse.name.clone());
            }
            pulse.asked.notify_one();
            true
        });
        behind
    }

    fn loops(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Pulse>>> {
        // No code can panic while it holds this lock.
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Waits until a beat is asked for, and beats. Meant for an arm of a loop's `select!`.
    pub async fn beat(&self) {
        self.0.asked.notified().await;
        self.0.answered.store(true, Relaxed);
    }

    /// Awaits `wait`, which depends on a client, and beats while it waits.
    pub async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
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
    use tokio::task::yield_now;

    use super::*;

    fn names(stuck: &[&str]) -> HashSet<String> {
        stuck.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_loop_that_hangs_is_reported_and_one_that_waits_for_a_client_is_not() {
        let heartbeats = Heartbeats::default();
        let (advancing, waiting) = (heartbeats.of("advances"), heartbeats.of("waits for a client"));
        let _hangs = heartbeats.of("hangs");
        let checks = async {
            assert_eq!(heartbeats.check(), names(&[]), "all loops have just started");
            for _ in 0..10 {
                yield_now().await;
                assert_eq!(heartbeats.check(), names(&["hangs"]));
            }
        };
        tokio::select! {
            biased;
            () = async { loop { advancing.beat().await } } => {}
            () = waiting.during(std::future::pending()) => {}
            () = checks => {}
        }
        drop(advancing);
        assert_eq!(
            heartbeats.check(),
            names(&["hangs", "waits for a client"]),
            "a dropped heartbeat is no longer checked"
        );
    }

    #[test]
    fn loops_that_are_gone_take_no_memory_without_a_watchdog() {
        let heartbeats = Heartbeats::default();
        let _stays = heartbeats.of("stays");
        for _ in 0..100 {
            drop(heartbeats.of("source"));
        }
        assert!(heartbeats.loops().len() <= 2);
    }

    #[tokio::test]
    async fn a_loop_whose_futures_are_always_ready_still_beats() {
        let heartbeats = Heartbeats::default();
        let busy = heartbeats.of("busy");
        assert!(heartbeats.check().is_empty());
        for _ in 0..10 {
            busy.during(std::future::ready(())).await;
            assert!(heartbeats.check().is_empty());
        }
    }
}
