//! All listeners of one mount on one data-plane thread.
//!
//! When pages are published, one walk through the audience writes to each listener without waiting.
//! The source's task begins the walk itself, as soon as it has published. If the audience is large,
//! the audience's own task continues it in batches, so that others are served in between. A listener
//! whose send buffer is full is skipped until epoll reports that there is room again. There is no
//! task and no timer per listener.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::delivery::{LeaveReason, WriteTotals};
use super::writer::{Listener, ListenerSession};
use crate::clock::{Clock, StallWatch};
use crate::log::journal;
use crate::mount::{Departure, MountEntry, MountView, Operator, Progress};
use crate::tcp::close;

/// How many listeners are written to before other tasks run.
const BATCH: usize = 64;
/// How often the timeouts of all listeners are checked.
const TIMEOUT_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is checked which listeners have acknowledged the end of their stream.
const FINISH_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The listeners of one mount on one thread.
pub struct Audience {
    view: MountView,
    listeners: RefCell<Slab<Listener>>,
    /// Number of listeners that have yet to acknowledge the end of their stream.
    finishing: Cell<usize>,
    walk: Walk,
    /// When pages that were held back for `coalesce` are delivered.
    deliver_at: Cell<Option<tokio::time::Instant>>,
    reactor: AsyncFd<Reactor>,
    clock: Clock,
    /// Held because of the listeners' timeouts.
    _watch: StallWatch,
}

/// A walk through all listeners, which takes one batch after the other.
#[derive(Default)]
struct Walk {
    /// Where the next batch begins; `None` between two walks.
    next: Cell<Option<usize>>,
    /// Whether pages came during the walk, so that it must be repeated for those it has passed.
    repeat: Cell<bool>,
}

/// An epoll set for all sockets of the audience, which the runtime watches as one descriptor.
struct Reactor(Epoll);

impl AsRawFd for Reactor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Audience {
    /// An empty audience.
    ///
    /// # Errors
    /// The system's error if the epoll set cannot be created, for example without a free
    /// descriptor.
    pub fn new(view: MountView, clock: Clock) -> io::Result<Self> {
        let reactor = Reactor(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: `Reactor` owns its descriptor and keeps it open and unchanged until it is
        // dropped.
        #[allow(unsafe_code, reason = "the runtime has no safe way to watch an epoll set")]
        let reactor = unsafe { AsyncFd::register_with_interest(reactor, Interest::READABLE) };
        let reactor = reactor.map_err(|failed| failed.into_parts().1)?;
        Ok(Self {
            view,
            listeners: RefCell::default(),
            finishing: Cell::new(0),
            walk: Walk::default(),
            deliver_at: Cell::new(None),
            reactor,
            _watch: clock.watch_for_stalls(),
            clock,
        })
    }

    /// Adds a listener and writes to it at once.
    ///
    /// # Errors
    /// The system's error if the socket cannot be added to the epoll set.
    pub fn add(&self, listener: Listener) -> io::Result<()> {
        let id = {
            let mut listeners = self.listeners.borrow_mut();
            let entry = listeners.vacant_entry();
            let id = entry.key();
            // Edge-triggered: a listener that keeps up causes no wake-ups.
            let flags = EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            let event = EpollEvent::new(flags, id as u64);
            self.reactor.get_ref().0.add(listener.socket(), event)?;
            entry.insert(listener);
            id
        };
        self.write_to(id);
        Ok(())
    }

    /// Disconnects a listener for an administrator; returns false if it is not in this audience.
    /// `listener` is the id in the listener directory.
    pub fn evict(&self, listener: u64, by: &Arc<Operator>) -> bool {
        let matches = |l: &Listener| l.session.registration.listener().id == listener;
        let found = self.listeners.borrow().iter().find(|(_, l)| matches(l)).map(|(id, _)| id);
        found.map(|id| self.remove(id, &LeaveReason::Evicted(Arc::clone(by)))).is_some()
    }

    /// The thread's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The thread's view of the mount.
    pub fn view(&self) -> &MountView {
        &self.view
    }

    /// Delivers the pages that a source on this thread has published: at once to the first
    /// listeners, and to the others from [`Self::serve`]. With `coalesce`, to all of them later.
    pub fn deliver(&self) {
        self.view.wake_other_threads();
        let coalesce = self.entry().settings().coalesce;
        if coalesce.is_zero() {
            if self.walk.next.get().is_some() {
                self.walk.repeat.set(true);
            } else if self.begin_walk() {
                self.view.wake();
            }
        } else if self.hold_back(coalesce) {
            self.view.wake();
        }
    }

    /// Delivers after `coalesce`, if a delivery is not due earlier. Returns whether it was not.
    fn hold_back(&self, coalesce: Duration) -> bool {
        let is_first = self.deliver_at.get().is_none();
        if is_first {
            self.deliver_at.set(Some(tokio::time::Instant::now() + coalesce));
        }
        is_first
    }

    /// Serves until the last listener has left and, on the home thread, the mount has neither a
    /// source nor a stream; or until the mount makes room for another one.
    pub async fn serve(&self) {
        let mut timeout_check = interval(TIMEOUT_CHECK_INTERVAL);
        let mut finish_check = interval(FINISH_CHECK_INTERVAL);
        finish_check.set_missed_tick_behavior(MissedTickBehavior::Skip);
        timeout_check.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while self.is_needed() {
            let deliver_at = self.deliver_at.get();
            tokio::select! {
                () = self.view.changed() => {
                    if self.entry().is_retired() {
                        if let Some(mount) = self.view.home() {
                            mount.give_way();
                        }
                        // What fits into the send buffers is delivered, with the stream's end, which
                        // the home thread publishes.
                        self.walk().await;
                        if self.view.pages().stream.is_none() {
                            break;
                        }
                        continue;
                    }
                    let coalesce = self.entry().settings().coalesce;
                    if coalesce.is_zero() {
                        self.walk().await;
                    } else {
                        self.hold_back(coalesce);
                    }
                }
                () = sleep_until(deliver_at.unwrap_or_else(tokio::time::Instant::now)),
                    if deliver_at.is_some() =>
                {
                    self.deliver_at.set(None);
                    self.walk().await;
                }
                ready = self.reactor.readable() => match ready {
                    Ok(mut ready) => if self.write_to_ready() { ready.clear_ready() },
                    Err(error) => {
                        let mount = self.entry().name.as_str();
                        journal!(
                            error, MOUNT_FAILED, mount, %error,
                            "the listeners' epoll set failed"
                        );
                        return;
                    }
                },
                _ = finish_check.tick(), if self.finishing.get() > 0 => self.close_finished(),
                _ = timeout_check.tick(), if self.has_listeners() => self.check_timeouts(),
            }
        }
        let remaining: Vec<_> = self.listeners.borrow().iter().map(|(id, _)| id).collect();
        for id in remaining {
            self.remove(id, &LeaveReason::Retired);
        }
        self.entry().gauges.set_lag(self.view.thread(), 0);
    }

    fn is_needed(&self) -> bool {
        let has_source_or_stream = self.view.home().is_some_and(|mount| mount.is_wanted());
        has_source_or_stream || self.has_listeners()
    }

    fn has_listeners(&self) -> bool {
        !self.listeners.borrow().is_empty()
    }

    fn entry(&self) -> &MountEntry {
        self.view.shared().entry()
    }

    /// Writes new pages to all listeners that are not blocked: continues a walk that a source has
    /// begun, or makes one. Yields after each batch: a walk through a thousand listeners takes
    /// milliseconds, and meanwhile new listeners and other mounts are served.
    async fn walk(&self) {
        let mut is_unfinished = self.walk.next.get().is_some() || self.begin_walk();
        while is_unfinished {
            yield_now().await;
            is_unfinished = self.continue_walk();
        }
        if self.walk.repeat.take() {
            self.view.wake();
        }
    }

    /// Writes to the first batch of listeners. Returns whether there are more.
    fn begin_walk(&self) -> bool {
        self.view.refresh();
        self.walk.next.set(Some(0));
        self.continue_walk()
    }

    /// Writes to the next batch of listeners. Returns whether there are more.
    fn continue_walk(&self) -> bool {
        let Some(first) = self.walk.next.get() else { return false };
        let end = first + BATCH;
        self.deliver_to(first..end);
        let is_unfinished = end < self.listeners.borrow().capacity();
        self.walk.next.set(is_unfinished.then_some(end));
        is_unfinished
    }

    fn deliver_to(&self, ids: Range<usize>) {
        let mut leaving = Vec::new();
        let mut totals = WriteTotals::default();
        {
            let pages = self.view.pages();
            let mut listeners = self.listeners.borrow_mut();
            let mut newest = None;
            for id in ids {
                let Some(listener) = listeners.get_mut(id).filter(|l| !l.blocked) else { continue };
                let needed = newest.filter(|newest| listener.needs(newest));
                let leaves = match needed.or_else(|| listener.newest_pages(&pages)) {
                    Some(needed) => {
                        newest = Some(needed);
                        totals.write_newest(&needed, &pages, listener)
                    }
                    None => totals.write(&pages, listener, &self.clock),
                };
                if let Some(reason) = leaves {
                    leaving.push((id, reason));
                }
            }
        }
        totals.add_to(&self.entry().counters);
        for (id, reason) in leaving {
            self.remove_or_finish(id, &reason);
        }
    }

    /// Writes to listeners whose send buffers have room again. Returns true if there were no more
    /// events than fit in one call.
    fn write_to_ready(&self) -> bool {
        let mut events = [EpollEvent::empty(); 64];
        // This cannot fail: the descriptor is open, and a call with timeout 0 is not interrupted.
        let ready = self.reactor.get_ref().0.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..ready] {
            let closed = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
            if event.events().intersects(closed) {
                self.peer_closed(event.data() as usize);
            } else {
                self.write_to(event.data() as usize);
            }
        }
        ready < events.len()
    }

    fn write_to(&self, id: usize) {
        let mut totals = WriteTotals::default();
        let leaves = {
            let pages = self.view.pages();
            let mut listeners = self.listeners.borrow_mut();
            let listener = listeners.get_mut(id);
            listener.and_then(|listener| totals.write(&pages, listener, &self.clock))
        };
        totals.add_to(&self.entry().counters);
        if let Some(reason) = leaves {
            self.remove_or_finish(id, &reason);
        }
    }

    /// Removes a listener. After the end of a stream, waits for the peer's acknowledgement first.
    fn remove_or_finish(&self, id: usize, reason: &LeaveReason) {
        let must_wait = *reason == LeaveReason::Ended && {
            let mut listeners = self.listeners.borrow_mut();
            listeners.get_mut(id).is_some_and(|listener| {
                let is_first_call = !listener.finishing;
                let is_finished = listener.finish();
                self.finishing.set(self.finishing.get() + usize::from(is_first_call));
                !is_finished
            })
        };
        if !must_wait {
            self.remove(id, reason);
        }
    }

    /// Closes the connections of listeners that have acknowledged the end of their stream.
    fn close_finished(&self) {
        let finished = |(id, listener): (usize, &mut Listener)| {
            (listener.finishing && listener.finish()).then_some(id)
        };
        let finished: Vec<_> =
            self.listeners.borrow_mut().iter_mut().filter_map(finished).collect();
        for id in finished {
            self.remove(id, &LeaveReason::Ended);
        }
    }

    /// Removes a listener whose peer has closed its side of the connection, or reset it. A peer
    /// that only half-closed the connection is removed too: no player does that.
    fn peer_closed(&self, id: usize) {
        let reason = {
            let listeners = self.listeners.borrow();
            let Some(listener) = listeners.get(id) else { return };
            let error = listener.socket().take_error().ok().flatten();
            let closed = error.map_or(LeaveReason::Closed, |error| LeaveReason::of(&error));
            if listener.finishing { LeaveReason::Ended } else { closed }
        };
        self.remove(id, &reason);
    }

    /// Disconnects listeners that have acknowledged nothing for too long or whose link has expired,
    /// and updates the gauge of the slowest listener's lag.
    fn check_timeouts(&self) {
        let timeout = self.entry().settings().listener_timeout;
        let pages = self.view.pages();
        let mut listeners = self.listeners.borrow_mut();
        // A link expires in real time.
        let (now, real_now) = (self.clock.now(), Instant::now());
        let reason = |listener: &mut Listener| {
            if listener.stalled(now) >= timeout {
                Some(LeaveReason::Stalled)
            } else if listener.session.until.is_some_and(|until| real_now >= until) {
                Some(LeaveReason::Expired)
            } else {
                None
            }
        };
        let leaving: Vec<_> = listeners
            .iter_mut()
            .filter_map(|(id, listener)| Some((id, reason(listener)?)))
            .collect();
        let lags = listeners.iter().map(|(_, listener)| {
            let progress = Progress { behind: listener.lag(&pages.ring), skips: listener.skips };
            listener.session.registration.listener().set_progress(progress);
            progress.behind
        });
        let lag = lags.max();
        self.entry().gauges.set_lag(self.view.thread(), lag.unwrap_or(0));
        drop((pages, listeners));
        for (id, reason) in leaving {
            self.remove(id, &reason);
        }
    }

    fn remove(&self, id: usize, reason: &LeaveReason) {
        let Some(listener) = self.listeners.borrow_mut().try_remove(id) else { return };
        self.finishing.set(self.finishing.get() - usize::from(listener.finishing));
        listener.discard_input();
        close(listener.socket());
        let ListenerSession { registration, permits, on_end, .. } = *listener.session;
        // Free the permits before the log and the control plane report that the listener left.
        drop(permits);
        let info = registration.listener();
        let by = if let LeaveReason::Evicted(by) = reason { Some(&**by) } else { None };
        info.log_departure(&Departure {
            mount: self.entry().name.as_str(),
            reason: &reason.to_string(),
            by,
            bytes: listener.sent,
            skips: Some(listener.skips),
        });
        drop(registration);
        if let Some(on_end) = on_end
            && *reason != LeaveReason::Closed
        {
            // It may wait no longer.
            let _ = on_end.send(reason.to_string());
        }
        self.entry().listener_left();
    }
}
