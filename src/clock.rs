//! Running time: monotonic time minus the time in which the thread did not run (stalls).
//!
//! In a stopped process (SIGSTOP), a frozen virtual machine or a thread that gets no processor
//! time, timers expire although the peers did nothing wrong. So deadlines about peers are kept in
//! running time, which does not advance during a stall. Deadlines that protect against an attacker
//! (lockouts, the expiry of a link) are kept in real time.
//!
//! Each thread has a [`Clock`]. As long as a peer has a deadline ([`StallWatch`]), the thread reads its
//! clock at least five times a second. A much longer pause between two readings is a stall. Without
//! a deadline, the clock wakes nobody: a station may run on a battery.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until};

use crate::log::journal;

/// How often a thread reads its clock that has nothing else to do.
const READ_INTERVAL: Duration = Duration::from_millis(200);
/// A longer pause between two readings is a stall. This allows for a timer that is late on a busy
/// machine.
const STALL_THRESHOLD: Duration = Duration::from_millis(350);
/// A stall of at least this length is logged.
const LOGGED_STALL: Duration = Duration::from_millis(450);
/// Several threads notice the same stall. Within this time after a logged stall, in microseconds,
/// none is logged again.
const LOG_INTERVAL: u64 = 1_000_000;

/// The running time of one thread. Clones share the same state.
#[derive(Clone, Debug)]
pub struct Clock(Rc<ClockState>);

#[derive(Debug)]
struct ClockState {
    /// When the clock was last read, in real time.
    read: Cell<Instant>,
    /// The sum of all stalls.
    stood_still: Cell<Duration>,
    /// Until when, in running time, peers may be silent because of the last stall.
    grace: Cell<Option<Instant>>,
    /// Number of [`StallWatch`]es.
    watches: Cell<usize>,
    /// Notified when there is a first one.
    watched: Notify,
}

/// Stalls of the thread are noticed while this is held. Everything that compares times of a peer
/// holds one for as long as it does.
#[derive(Debug)]
pub struct StallWatch(Clock);

/// A moment in running time, and the sum of all stalls before it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The moment. Only moments of the same clock can be compared.
    pub at: Instant,
    /// The sum of all stalls before it.
    pub stood_still: Duration,
}

/// The time of an event by two clocks: the wall clock for people, the monotonic clock for
/// durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// By the wall clock, which can be set at any time.
    pub wall: SystemTime,
    /// By the monotonic clock.
    pub steady: Instant,
}

/// A deadline in running time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl Clock {
    /// A clock that starts now. [`Self::beat`] must run on the same thread while the clock is used.
    pub fn start() -> Self {
        Self(Rc::new(ClockState {
            read: Cell::new(real_now()),
            stood_still: Cell::new(Duration::ZERO),
            grace: Cell::new(None),
            watches: Cell::new(0),
            watched: Notify::new(),
        }))
    }

    /// Reads the clock at regular intervals, so that stalls are noticed. Never resolves.
    pub async fn beat(&self) {
        loop {
            if self.0.watches.get() == 0 {
                self.0.watched.notified().await;
            }
            sleep(READ_INTERVAL).await;
            self.now();
        }
    }

    /// Begins to notice stalls, until the value is dropped.
    pub fn watch_for_stalls(&self) -> StallWatch {
        let watches = self.0.watches.get();
        if watches == 0 {
            // Nobody has read the clock for a while, and this is no stall.
            self.0.read.set(real_now());
            self.0.watched.notify_one();
        }
        self.0.watches.set(watches.saturating_add(1));
        StallWatch(self.clone())
    }

    /// The current running time.
    pub fn now(&self) -> Instant {
        self.moment().at
    }

    /// The current running time, and the sum of all stalls so far.
    pub fn moment(&self) -> Moment {
        let real = real_now();
        let pause = real.saturating_duration_since(self.0.read.replace(real));
        if pause > STALL_THRESHOLD && self.0.watches.get() > 0 {
            self.0.stood_still.set(self.0.stood_still.get() + pause);
            let at = real.checked_sub(self.0.stood_still.get());
            self.0.grace.set(at.and_then(|at| at.checked_add(pause)));
            log_stall(real, pause);
        }
        let stood_still = self.0.stood_still.get();
        // All stalls happened after the clock was started, so the subtraction cannot fail.
        Moment { at: real.checked_sub(stood_still).unwrap_or(real), stood_still }
    }

    /// How much longer a peer may be silent because of the last stall. A sender whose window was
    /// closed doubles the interval between its window probes (RFC 9293, section 3.8.6.1), so it may
    /// notice the end of a stall only after as much time again.
    pub fn grace(&self) -> Duration {
        let now = self.now();
        self.0.grace.get().map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    /// Waits until running time has reached `at`.
    pub async fn sleep_until(&self, at: Instant) {
        let _watch = self.watch_for_stalls();
        loop {
            let now = self.moment();
            if now.at >= at {
                return;
            }
            let Some(real) = at.checked_add(now.stood_still) else {
                return std::future::pending().await;
            };
            sleep_until(real.into()).await;
        }
    }

    /// Awaits `future` for at most `limit` of running time. When the time is over, the reactor is
    /// polled once more, because data may have arrived while this thread did not run.
    ///
    /// # Errors
    /// [`Elapsed`] if the time is over.
    pub async fn timeout<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let _watch = self.watch_for_stalls();
        let mut future = pin!(future);
        let Some(end) = self.now().checked_add(limit) else { return Ok(future.await) };
        loop {
            tokio::select! {
                biased;
                done = &mut future => return Ok(done),
                () = self.sleep_until(end) => {}
            }
            yield_now().await;
            tokio::select! {
                biased;
                done = &mut future => return Ok(done),
                () = std::future::ready(()) => {}
            }
            if self.now() >= end {
                return Err(Elapsed);
            }
        }
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        let watches = &self.0.0.watches;
        watches.set(watches.get().saturating_sub(1));
    }
}

impl Timestamp {
    /// The current time.
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// The time that has passed since then.
    pub fn elapsed(&self) -> Duration {
        self.steady.elapsed()
    }
}

impl Moment {
    /// The same moment in real time.
    pub fn real(self) -> Instant {
        // The sum is a value that was read from the real clock, so the addition cannot fail.
        self.at.checked_add(self.stood_still).unwrap_or(self.at)
    }
}

impl From<Instant> for Moment {
    /// A moment in real time, without stalls.
    fn from(at: Instant) -> Self {
        Self { at, stood_still: Duration::ZERO }
    }
}

/// The time of the runtime's clock, which tests can pause.
fn real_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Logs a stall, once for all threads that noticed it.
fn log_stall(now: Instant, pause: Duration) {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    /// Microseconds from the epoch to the last log line; 0 before the first one.
    static LAST_LOGGED: AtomicU64 = AtomicU64::new(0);
    let epoch = *EPOCH.get_or_init(|| now.checked_sub(pause).unwrap_or(now));
    let micros = now.saturating_duration_since(epoch).as_micros() as u64;
    let is_new = |last: u64| last == 0 || micros.saturating_sub(last) > LOG_INTERVAL;
    let first = |last: u64| is_new(last).then_some(micros);
    if pause >= LOGGED_STALL && LAST_LOGGED.fetch_update(Relaxed, Relaxed, first).is_ok() {
        let seconds = pause.as_secs_f32();
        journal!(
            warn,
            STOOD_STILL,
            seconds,
            "the server did not run for a while; deadlines of sources and listeners were extended"
        );
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Advances time while the clock is read often enough.
    async fn run(clock: &Clock, time: Duration) {
        for _ in 0..time.as_millis() / 100 {
            advance(Duration::from_millis(100)).await;
            clock.now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn running_time_does_not_advance_during_a_stall() {
        let clock = Clock::start();
        let _watch = clock.watch_for_stalls();
        let began = clock.now();
        run(&clock, SECOND).await;
        advance(60 * SECOND).await;
        assert_eq!(clock.now() - began, SECOND);
        run(&clock, SECOND).await;
        let now = clock.moment();
        assert_eq!((now.at - began, now.stood_still), (2 * SECOND, 60 * SECOND));
        assert_eq!(clock.grace(), 59 * SECOND);
        run(&clock, 60 * SECOND).await;
        assert_eq!(clock.grace(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_without_a_deadline_sleeps_and_that_is_no_stall() {
        let clock = Clock::start();
        let real = tokio::time::Instant::now();
        let beating = async {
            // With paused time, a sleep takes as long as no other timer is due.
            sleep(60 * SECOND).await;
            let began = clock.now();
            let watch = clock.watch_for_stalls();
            assert_eq!(clock.moment().stood_still, Duration::ZERO);
            drop(watch);
            began
        };
        tokio::select! {
            began = beating => assert_eq!(began, (real + 60 * SECOND).into_std()),
            () = clock.beat() => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_counts_running_time_only() {
        let clock = Clock::start();
        let real = tokio::time::Instant::now();
        let waiting = clock.timeout(10 * SECOND, std::future::pending::<()>());
        let stalling = async {
            run(&clock, SECOND).await;
            advance(12 * SECOND).await;
            clock.beat().await;
        };
        tokio::select! {
            biased;
            waited = waiting => assert_eq!(waited, Err(Elapsed)),
            () = stalling => {}
        }
        let real = real.elapsed();
        assert!(real >= 22 * SECOND && real < 23 * SECOND, "{real:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn data_that_arrives_at_the_deadline_is_taken() {
        let clock = Clock::start();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let waiting = clock.timeout(SECOND, receiver);
        let peer = async {
            // The peer sends at the moment of the deadline.
            sleep(SECOND).await;
            sender.send(7).unwrap();
        };
        let (waited, ()) = tokio::join!(waiting, peer);
        assert_eq!(waited, Ok(Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_that_overflows_never_elapses() {
        let clock = Clock::start();
        assert_eq!(clock.timeout(Duration::MAX, std::future::ready(1)).await, Ok(1));
    }
}
