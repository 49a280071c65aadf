//! Proof of life: each loop that must advance beats, and the watchdog looks whether all of them have.
//!
//! A beat comes from the loop's own `select!`, so a loop that hangs in one of its other arms, or
//! whose thread hangs, has none. A loop that waits for a client does advance: it beats meanwhile.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// All loops that must advance; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    loops: Arc<Mutex<Vec<Weak<Beats>>>>,
    /// How often each of them beats; without a watchdog, never.
    every: Option<Duration>,
}

/// One loop's.
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
    /// The count at the last look.
    seen: AtomicU64,
}

impl Heartbeats {
    /// Heartbeats for a watchdog that looks at them every `look`.
    pub fn watched(look: Duration) -> Self {
        Self { loops: Arc::default(), every: Some(look / 2) }
    }

    /// A heartbeat for one more loop, until it is dropped. From now on it has to beat.
    pub fn of(&self, name: impl Into<String>) -> Heartbeat {
        // A loop that has just begun has advanced.
        let beats = Beats { name: name.into(), count: AtomicU64::new(1), seen: AtomicU64::new(0) };
        let beats = Arc::new(beats);
        if self.every.is_some() {
            self.loops().push(Arc::downgrade(&beats));
        }
        Heartbeat { beats, every: self.every, timer: None }
    }

    /// The names of the loops that have not advanced since this was last asked.
    pub fn behind(&self) -> HashSet<String> {
        let mut behind = HashSet::new();
        self.loops().retain(|one| {
            let Some(beats) = one.upgrade() else { return false };
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
    /// Beats once in a while; for a loop's `select!`, again and again.
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

    /// Waits for something that only a client decides, and beats meanwhile.
    pub async fn during<T>(&mut self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                // First the beat: what is waited for may be there each time, and the loop advances all the more.
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

    const LOOK: Duration = Duration::from_secs(1);

    fn names(stuck: &[&str]) -> HashSet<String> {
        stuck.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_elsewhere_is_named_and_one_that_waits_for_a_client_is_not() {
        let heartbeats = Heartbeats::watched(LOOK);
        let (mut loops, mut patient) =
            (heartbeats.of("loops"), heartbeats.of("waits for a client"));
        let _hangs = heartbeats.of("hangs");
        let looks = async {
            assert_eq!(heartbeats.behind(), names(&[]), "they have only begun");
            for _ in 0..10 {
                sleep(LOOK).await;
                assert_eq!(heartbeats.behind(), names(&["hangs"]));
            }
        };
        tokio::select! {
            () = looks => {}
            () = async { loop { loops.beat().await } } => {}
            () = patient.during(std::future::pending()) => {}
        }
        drop(loops);
        assert_eq!(
            heartbeats.behind(),
            names(&["hangs", "waits for a client"]),
            "what ended is no loop"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_never_has_to_wait_beats_all_the_same() {
        let heartbeats = Heartbeats::watched(LOOK);
        let mut busy = heartbeats.of("busy");
        assert!(heartbeats.behind().is_empty());
        for _ in 0..10 {
            for _ in 0..10 {
                busy.during(std::future::ready(())).await;
                sleep(LOOK / 10).await;
            }
            assert!(heartbeats.behind().is_empty());
        }
    }

    #[allow(clippy::disallowed_methods, reason = "no server's clock runs here")]
    #[tokio::test(start_paused = true)]
    async fn nobody_beats_where_nobody_looks() {
        let heartbeats = Heartbeats::default();
        let mut one = heartbeats.of("one");
        assert!(tokio::time::timeout(LOOK, one.beat()).await.is_err());
        assert!(heartbeats.behind().is_empty());
    }
}
