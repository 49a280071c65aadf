//! All listeners of one mount on one data-plane thread.
//!
//! When pages arrive, the audience is walked once and each listener written to without
//! waiting. Only one whose kernel buffer is full is left to the reactor: it costs
//! nothing more until its peer reads again. No task and no timer per listener.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::writer::{Listener, ListenerSession, WriteOutcome};
use crate::clock::Clock;
use crate::log::journal;
use crate::mount::{MountCounters, MountEntry, MountView, PageLog};
use crate::tcp::close;

/// How many listeners are written to before others get their turn.
const SLICE: usize = 64;
/// How often it is looked at who acknowledges nothing.
const SWEEP: Duration = Duration::from_secs(1);
/// The same of those that have yet to acknowledge the end.
const LOOK: Duration = Duration::from_millis(20);

/// The listeners of one mount on one thread.
pub struct Audience {
    view: MountView,
    listeners: RefCell<Slab<Listener>>,
    /// How many of them have yet to acknowledge the end.
    finishing: Cell<usize>,
    reactor: AsyncFd<Reactor>,
    clock: Clock,
}

/// An epoll set of its own, which the runtime watches as one descriptor.
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
    /// What the system says when it has no descriptor left.
    pub fn new(view: MountView, clock: Clock) -> io::Result<Self> {
        let reactor = Reactor(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: the one descriptor that `Reactor` owns stays open, and the same, until it is dropped.
        #[allow(unsafe_code, reason = "the runtime has no safe way to watch an epoll set")]
        let reactor = unsafe { AsyncFd::register_with_interest(reactor, Interest::READABLE) };
        let reactor = reactor.map_err(|failed| failed.into_parts().1)?;
        let (listeners, finishing) = (RefCell::default(), Cell::new(0));
        Ok(Self { view, listeners, finishing, reactor, clock })
    }

    /// Takes a listener in and writes to it at once.
    ///
    /// # Errors
    /// What the system says if the socket cannot be watched.
    pub fn add(&self, listener: Listener) -> io::Result<()> {
        let id = {
            let mut listeners = self.listeners.borrow_mut();
            let entry = listeners.vacant_entry();
            let id = entry.key();
            // Edges only: a listener that keeps up is never woken for.
            let flags = EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            let event = EpollEvent::new(flags, id as u64);
            self.reactor.get_ref().0.add(listener.socket(), event)?;
            entry.insert(listener);
            id
        };
        self.visit(id);
        Ok(())
    }

    /// Hangs up on the listener of this number; false if it is not here.
    pub fn dismiss(&self, info: u64) -> bool {
        let is_it = |listener: &Listener| listener.session.registration.listener().id == info;
        let found = self.listeners.borrow().iter().find(|(_, l)| is_it(l)).map(|(id, _)| id);
        found.map(|id| self.remove(id, Departure::Dismissed)).is_some()
    }

    /// This thread's time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The mount they listen to, as this thread sees it.
    pub fn view(&self) -> &MountView {
        &self.view
    }

    /// Serves until nobody listens any more and, on the mount's own thread, nothing is on the air; or until the
    /// mount's place is given to another one.
    pub async fn serve(&self) {
        let mut held: Option<tokio::time::Instant> = None;
        let (mut sweep, mut look) = (interval(SWEEP), interval(LOOK));
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while self.is_needed() {
            tokio::select! {
                () = self.view.changed() => {
                    if self.entry().is_retired() {
                        break;
                    }
                    let coalesce = self.entry().settings().coalesce;
                    if coalesce.is_zero() {
                        self.deliver().await;
                    } else {
                        held.get_or_insert_with(|| tokio::time::Instant::now() + coalesce);
                    }
                }
                () = sleep_until(held.unwrap_or_else(tokio::time::Instant::now)), if held.is_some() => {
                    held = None;
                    self.deliver().await;
                }
                ready = self.reactor.readable() => match ready {
                    Ok(mut ready) => if self.resume() { ready.clear_ready() },
                    Err(error) => {
                        let mount = self.entry().name.as_str();
                        journal!(error, MOUNT_FAILED, mount, %error, "the listeners' reactor is gone");
                        return;
                    }
                },
                _ = look.tick(), if self.finishing.get() > 0 => self.see_off(),
                _ = sweep.tick() => self.sweep(),
            }
        }
        let left: Vec<_> = self.listeners.borrow().iter().map(|(id, _)| id).collect();
        for id in left {
            self.remove(id, Departure::PlaceNeeded);
        }
        self.entry().gauges.set_lag(self.view.thread(), 0);
    }

    fn is_needed(&self) -> bool {
        let wanted = self.view.home().is_some_and(|mount| mount.is_wanted());
        wanted || !self.listeners.borrow().is_empty()
    }

    fn entry(&self) -> &MountEntry {
        self.view.shared().entry()
    }

    /// Writes what is new to everybody who can take it, some at a time: a walk through a thousand
    /// takes milliseconds, and in between, newcomers get their first page and other mounts theirs.
    async fn deliver(&self) {
        self.view.refresh();
        let mut next = 0;
        while next < self.listeners.borrow().capacity() {
            if next > 0 {
                yield_now().await;
            }
            self.deliver_to(next..next + SLICE);
            next += SLICE;
        }
    }

    fn deliver_to(&self, ids: Range<usize>) {
        let mut gone = Vec::new();
        let mut totals = WriteTotals::default();
        {
            let pages = self.view.pages();
            let mut listeners = self.listeners.borrow_mut();
            for id in ids {
                if let Some(listener) = listeners.get_mut(id)
                    && !listener.blocked
                {
                    gone.extend(totals.write(&pages, listener).map(|why| (id, why)));
                }
            }
        }
        totals.add_to(&self.entry().counters);
        for (id, why) in gone {
            self.dismiss_or_finish(id, why);
        }
    }

    /// Writes to those whose kernel buffers have room again; true if there are no more of them.
    fn resume(&self) -> bool {
        let mut events = [EpollEvent::empty(); 64];
        // Nothing to wait for and nothing to fail: the descriptor is open and the timeout zero.
        let ready = self.reactor.get_ref().0.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..ready] {
            let gone = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
            if event.events().intersects(gone) {
                self.hung_up(event.data() as usize);
            } else {
                self.visit(event.data() as usize);
            }
        }
        ready < events.len()
    }

    fn visit(&self, id: usize) {
        let mut totals = WriteTotals::default();
        let gone = {
            let pages = self.view.pages();
            let mut listeners = self.listeners.borrow_mut();
            listeners.get_mut(id).and_then(|listener| totals.write(&pages, listener))
        };
        totals.add_to(&self.entry().counters);
        if let Some(why) = gone {
            self.dismiss_or_finish(id, why);
        }
    }

    /// Lets a listener go: one that has been written its stream to the end, once its peer has that.
    fn dismiss_or_finish(&self, id: usize, why: Departure) {
        let finishes = why == Departure::Ended && {
            let mut listeners = self.listeners.borrow_mut();
            listeners.get_mut(id).is_some_and(|listener| {
                let first = !listener.finishing;
                let waits = !listener.is_finished();
                self.finishing.set(self.finishing.get() + usize::from(first));
                waits
            })
        };
        if !finishes {
            self.remove(id, why);
        }
    }

    /// Closes the connections of those that have acknowledged the end.
    fn see_off(&self) {
        let finished = |(id, listener): (usize, &mut Listener)| {
            (listener.finishing && listener.is_finished()).then_some(id)
        };
        let finished: Vec<_> =
            self.listeners.borrow_mut().iter_mut().filter_map(finished).collect();
        for id in finished {
            self.remove(id, Departure::Ended);
        }
    }

    /// A peer that closed its end is gone: no player half-closes, and a seat is not kept for one
    /// that might.
    fn hung_up(&self, id: usize) {
        let why = {
            let listeners = self.listeners.borrow();
            let Some(listener) = listeners.get(id) else { return };
            let error = listener.socket().take_error().ok().flatten();
            let left = error.map_or(Departure::Left, |error| Departure::of(&error));
            if listener.finishing { Departure::Ended } else { left }
        };
        self.remove(id, why);
    }

    /// Drops those whose peer has acknowledged nothing for too long, or whose time is over.
    fn sweep(&self) {
        let timeout = self.entry().settings().listener_timeout;
        let pages = self.view.pages();
        let mut listeners = self.listeners.borrow_mut();
        // A link's time is real time.
        let (now, real) = (self.clock.now(), Instant::now());
        let why = |listener: &mut Listener| {
            if listener.stalled(now) >= timeout {
                Some(Departure::Stuck)
            } else if listener.session.until.is_some_and(|until| real >= until) {
                Some(Departure::Expired)
            } else {
                None
            }
        };
        let gone: Vec<_> =
            listeners.iter_mut().filter_map(|(id, listener)| Some((id, why(listener)?))).collect();
        let behind = listeners.iter().map(|(_, listener)| listener.lag(&pages.ring)).max();
        self.entry().gauges.set_lag(self.view.thread(), behind.unwrap_or(0));
        drop((pages, listeners));
        for (id, why) in gone {
            self.remove(id, why);
        }
    }

    fn remove(&self, id: usize, why: Departure) {
        let Some(listener) = self.listeners.borrow_mut().try_remove(id) else { return };
        self.finishing.set(self.finishing.get() - usize::from(listener.finishing));
        listener.discard_input();
        close(listener.socket());
        let ListenerSession { registration, permits, .. } = *listener.session;
        // Free for others by the time that anybody hears of it.
        drop(permits);
        let info = registration.listener();
        journal!(
            info, LISTENER_LEFT,
            mount = self.entry().name.as_str(),
            peer = %info.address,
            agent = &*info.agent,
            reason = %why,
            seconds = info.since.elapsed().as_secs(),
            bytes = listener.sent,
            skips = listener.skips,
            "listener left"
        );
        drop(registration);
        self.entry().listener_left();
    }
}

/// What one walk through an audience comes to, so that the shared counters are touched once.
#[derive(Default)]
struct WriteTotals {
    bytes: u64,
    skips: u64,
}

impl WriteTotals {
    /// Writes to one listener; says why it goes, if it does.
    fn write(&mut self, pages: &PageLog, listener: &mut Listener) -> Option<Departure> {
        if listener.finishing {
            return None;
        }
        let (sent, skips) = (listener.sent, listener.skips);
        let mut progress = listener.write(&pages.ring, pages.end_of(listener.era));
        let goes_on = match progress {
            WriteOutcome::Ended => listener.go_on(pages),
            WriteOutcome::HeadersGone => listener.take_new_headers(pages),
            _ => false,
        };
        if goes_on {
            progress = listener.write(&pages.ring, pages.end_of(listener.era));
        }
        self.bytes += listener.sent - sent;
        self.skips += listener.skips - skips;
        match progress {
            WriteOutcome::CaughtUp => listener.blocked = false,
            WriteOutcome::Blocked => listener.blocked = true,
            WriteOutcome::Ended => return Some(Departure::Ended),
            WriteOutcome::HeadersGone => return Some(Departure::HeadersGone),
            WriteOutcome::Gone(error) => return Some(Departure::of(&error)),
        }
        None
    }

    fn add_to(&self, counters: &MountCounters) {
        counters.bytes_out.add(self.bytes);
        counters.skips.add(self.skips);
    }
}

/// Why a listener goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Departure {
    #[error("the stream ended")]
    Ended,
    #[error("the listener hung up")]
    Left,
    #[error("the listener took nothing for too long")]
    Stuck,
    #[error("the administrator ended it")]
    Dismissed,
    #[error("the time of its link is over")]
    Expired,
    #[error("the stream restarted before the listener had taken its headers")]
    HeadersGone,
    #[error("the stream had ended, and another mount needs its place")]
    PlaceNeeded,
}

impl Departure {
    fn of(error: &io::Error) -> Self {
        // The kernel's probes may be first to find that the peer has vanished.
        if error.kind() == io::ErrorKind::TimedOut { Self::Stuck } else { Self::Left }
    }
}
