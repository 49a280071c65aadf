//! The time that a thread has run: monotonic time less the time in which the process stood still.
//!
//! A stopped process (SIGSTOP), a frozen virtual machine or a thread that gets no processor sees its
//! timers expire although its peers did nothing wrong. So deadlines about peers are kept in running
//! time: it stands still when the thread does, and every deadline moves with it. What protects against
//! an attacker (lockouts, the end of a shared link) is kept in real time.
//!
//! Each thread has its own [`Clock`]. While the thread runs, its clock is read at least five times a
//! second. A much longer pause between two readings means that the thread did not run.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until};

use crate::log::journal;

/// How often a thread that has nothing to do reads its clock.
const BEAT: Duration = Duration::from_millis(200);
/// A pause between two readings that is longer than this is a standstill: a beat, and what a busy
/// machine makes of it.
const STANDSTILL: Duration = Duration::from_millis(350);
/// A standstill that is worth a line in the log.
const WORTH_A_LINE: Duration = Duration::from_millis(450);
/// Threads that find the same standstill within this time report it once, in microseconds.
const REPORTED_ONCE: u64 = 1_000_000;

/// One thread's running time; clones are the same.
#[derive(Clone, Debug)]
pub struct Clock(Rc<ClockState>);

#[derive(Debug)]
struct ClockState {
    /// When the clock was read last, in real time.
    read: Cell<Instant>,
    /// How long the thread has stood still in all.
    stood_still: Cell<Duration>,
    /// Until when, in running time, peers are given time to come back from the last standstill.
    grace: Cell<Option<Instant>>,
}

/// A moment in running time, and how long the thread had stood still by then.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The moment. Only moments of the same clock can be compared.
    pub at: Instant,
    /// All standstills before it, in sum.
    pub stood_still: Duration,
}

/// An event's time by both clocks: one for people, one for durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// By the wall clock, which may be set at any time.
    pub wall: SystemTime,
    /// By the monotonic clock.
    pub steady: Instant,
}

/// The time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is over")]
pub struct Elapsed;

impl Clock {
    /// A clock that begins now. Keep [`Self::beat`] running beside whatever uses it.
    pub fn start() -> Self {
        Self(Rc::new(ClockState {
            read: Cell::new(real_now()),
            stood_still: Cell::new(Duration::ZERO),
            grace: Cell::new(None),
        }))
    }

    /// Reads the clock for as long as it is polled, so that a standstill is found.
    pub async fn beat(&self) {
        loop {
            sleep(BEAT).await;
            self.now();
        }
    }

    /// Now, in running time.
    pub fn now(&self) -> Instant {
        self.moment().at
    }

    /// Now, and how long the thread has stood still so far.
    pub fn moment(&self) -> Moment {
        let real = real_now();
        let pause = real.saturating_duration_since(self.0.read.replace(real));
        if pause > STANDSTILL {
            self.0.stood_still.set(self.0.stood_still.get() + pause);
            let at = real.checked_sub(self.0.stood_still.get());
            self.0.grace.set(at.and_then(|at| at.checked_add(pause)));
            report(real, pause);
        }
        let stood_still = self.0.stood_still.get();
        // The standstills lie between the clock's beginning and now, so this never saturates.
        Moment { at: real.checked_sub(stood_still).unwrap_or(real), stood_still }
    }

    /// How long a peer may still be silent because of the last standstill: a sender whose window was closed looks
    /// for room again after as long as it has waited already (RFC 9293, section 3.8.6.1).
    pub fn grace(&self) -> Duration {
        let now = self.now();
        self.0.grace.get().map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    /// Waits until running time has reached `at`.
    pub async fn sleep_until(&self, at: Instant) {
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

    /// Waits for `future`, for at most `limit` of running time. A time that seems to be over is not
    /// judged before the reactor has been asked once more: what the peer sent while this thread
    /// did not run counts.
    ///
    /// # Errors
    /// [`Elapsed`].
    pub async fn timeout<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
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

impl Timestamp {
    /// The time now.
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// How long ago it was.
    pub fn elapsed(&self) -> Duration {
        self.steady.elapsed()
    }
}

impl Moment {
    /// The same moment in real time.
    pub fn real(self) -> Instant {
        // It was read from the real clock: the sum is no more than that.
        self.at.checked_add(self.stood_still).unwrap_or(self.at)
    }
}

impl From<Instant> for Moment {
    /// A moment of a time that never stood still.
    fn from(at: Instant) -> Self {
        Self { at, stood_still: Duration::ZERO }
    }
}

/// The runtime's clock, which tests can pause.
fn real_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Says it once for all threads.
fn report(now: Instant, pause: Duration) {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    static REPORTED: AtomicU64 = AtomicU64::new(0);
    let began = *BEGAN.get_or_init(|| now.checked_sub(pause).unwrap_or(now));
    let micros = now.saturating_duration_since(began).as_micros() as u64;
    let is_new = |last: u64| last == 0 || micros.saturating_sub(last) > REPORTED_ONCE;
    let first = |last: u64| is_new(last).then_some(micros);
    if pause >= WORTH_A_LINE && REPORTED.fetch_update(Relaxed, Relaxed, first).is_ok() {
        let seconds = pause.as_secs_f32();
        journal!(
            warn,
            STOOD_STILL,
            seconds,
            "the server did not run for a while; deadlines of sources and listeners were moved by as much"
        );
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Lets the thread run for a while: somebody reads the clock all the time.
    async fn run(clock: &Clock, time: Duration) {
        for _ in 0..time.as_millis() / 100 {
            advance(Duration::from_millis(100)).await;
            clock.now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn running_time_stands_still_when_the_thread_does() {
        let clock = Clock::start();
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
    async fn a_time_is_over_when_the_thread_has_run_for_so_long() {
        let clock = Clock::start();
        let real = tokio::time::Instant::now();
        let waiting = clock.timeout(10 * SECOND, std::future::pending::<()>());
        let stopping = async {
            run(&clock, SECOND).await;
            advance(12 * SECOND).await;
            clock.beat().await;
        };
        tokio::select! {
            biased;
            waited = waiting => assert_eq!(waited, Err(Elapsed)),
            () = stopping => {}
        }
        let real = real.elapsed();
        assert!(real >= 22 * SECOND && real < 23 * SECOND, "{real:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_the_thread_stood_still_is_taken() {
        let clock = Clock::start();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let waiting = clock.timeout(SECOND, receiver);
        let peer = async {
            // It sends in the same moment in which the time is over.
            sleep(SECOND).await;
            sender.send(7).unwrap();
        };
        let (waited, ()) = tokio::join!(waiting, peer);
        assert_eq!(waited, Ok(Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_all_time_is_none() {
        let clock = Clock::start();
        assert_eq!(clock.timeout(Duration::MAX, std::future::ready(1)).await, Ok(1));
    }
}
