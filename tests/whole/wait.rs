//! Waits with a deadline. A wait that fails says what it waited for, how long, and what it saw last.

use std::fmt::{Debug, Display};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. Only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

const POLL: Duration = Duration::from_millis(5);

/// Calls `look` every few milliseconds until it returns `Ok`; an `Err` holds what it saw instead.
///
/// # Panics
/// If `limit` passes first.
#[track_caller]
pub(crate) fn until<T, S: Display>(
    what: &str,
    limit: Duration,
    look: impl FnMut() -> Result<T, S>,
) -> T {
    repeat(what, limit, POLL, look)
}

/// Calls `receive` until it returns `Ok`, without a pause: `receive` itself blocks until the next page, line or event
/// arrives. An `Err` holds what arrived instead.
///
/// # Panics
/// If `limit` passes first.
#[track_caller]
pub(crate) fn until_received<T, S: Display>(
    what: &str,
    limit: Duration,
    receive: impl FnMut() -> Result<T, S>,
) -> T {
    repeat(what, limit, Duration::ZERO, receive)
}

#[track_caller]
fn repeat<T, S: Display>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> Result<T, S>,
) -> T {
    let began = Instant::now();
    loop {
        let seen = match attempt() {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        let waited = began.elapsed();
        assert!(waited < limit, "waited {waited:.1?} for {what}; last seen: {seen}");
        thread::sleep(pause);
    }
}

/// The outcome of one look: `Ok` if the condition holds, else what was seen.
pub(crate) fn when(holds: bool, seen: impl Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{seen:?}")) }
}

/// Waits for a thread to end and returns its result. Panics if the thread panicked.
#[track_caller]
pub(crate) fn join<T>(what: &str, thread: JoinHandle<T>) -> T {
    until(what, PATIENCE, || if thread.is_finished() { Ok(()) } else { Err("it is running") });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sets a flag when it is dropped, so that the threads that read the flag also stop if an assertion fails.
pub(crate) struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
#[should_panic(expected = "for the moon; last seen: clouds")]
fn a_wait_in_vain_ends_and_says_what_it_saw() {
    until("the moon", Duration::from_millis(20), || Err::<(), _>("clouds"));
}

#[test]
fn a_wait_returns_what_it_waited_for() {
    let mut looks = 0;
    let seen = until_received("the third look", PATIENCE, || {
        looks += 1;
        if looks == 3 { Ok(looks) } else { Err(looks) }
    });
    assert_eq!(seen, 3);
}
