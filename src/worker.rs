//! A data-plane thread: it owns sources and listeners, and runs a mount's traffic without waiting.
//!
//! A mount's source is on the thread that the mount's name chooses; listeners go to all threads
//! in turn. A thread with listeners of a mount that is at home elsewhere keeps a replica of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet, spawn_local};

use crate::clock::Clock;
use crate::http::{Reply, Version};
use crate::listener::{self, Audience};
use crate::log::journal;
use crate::mount::{Claim, Mount, Name, Seats, Slot, View, Wanted, keep};
use crate::platform::{Heartbeat, Heartbeats};
use crate::source;
use crate::tcp;
use ogg_splice::Tags;

/// Connections and orders on their way to one thread.
pub const QUEUE: usize = 1024;
/// What listeners get to take the end of their streams when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection that the door has let in.
#[derive(Debug)]
pub enum Arrival {
    /// An encoder, for a mount that may be new.
    Source(Box<source::Arrival>, Wanted),
    /// A listener, for a mount that was on the air a moment ago.
    Listener(Box<listener::Arrival>, Arc<Slot>),
}

/// What an administrator may want of the data plane.
#[derive(Clone, Debug)]
pub enum Order {
    /// End this mount's source.
    Evict(Name),
    /// Hang up on the listener of this number.
    Dismiss(Name, u64),
    /// Give what is on the air another title.
    Retitle(Name, Tags),
}

/// What comes through a thread's queue.
#[derive(Debug)]
enum Errand {
    Arrival(Arrival),
    Order(Order),
}

/// Where the door sends connections: one queue per data-plane thread.
#[derive(Clone, Debug)]
pub struct Workers {
    queues: Arc<[mpsc::Sender<Errand>]>,
    turn: Arc<AtomicUsize>,
}

/// The receiving end of one thread's queue.
#[derive(Debug)]
pub struct Queue {
    thread: usize,
    threads: usize,
    errands: mpsc::Receiver<Errand>,
}

impl Workers {
    /// Queues for so many threads.
    pub fn new(threads: usize) -> (Self, Vec<Queue>) {
        let (queues, ends): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel(QUEUE)).unzip();
        let queue = |(thread, errands)| Queue { thread, threads, errands };
        let ends = ends.into_iter().enumerate().map(queue).collect();
        (Self { queues: queues.into(), turn: Arc::default() }, ends)
    }

    /// Sends a connection to its thread.
    ///
    /// # Errors
    /// Gives it back if that thread is too far behind.
    pub fn send(&self, arrival: Arrival) -> Result<(), Arrival> {
        let thread = match &arrival {
            Arrival::Source(_, slot) => {
                let mut hasher = DefaultHasher::new();
                slot.name.hash(&mut hasher);
                hasher.finish() as usize
            }
            Arrival::Listener(..) => self.turn.fetch_add(1, Relaxed),
        };
        let queue = &self.queues[thread % self.queues.len()];
        queue.try_send(Errand::Arrival(arrival)).map_err(|refused| match refused.into_inner() {
            Errand::Arrival(arrival) => arrival,
            Errand::Order(_) => unreachable!("what comes back is what was sent"),
        })
    }

    /// Has something done by whichever threads it concerns.
    pub fn order(&self, order: &Order) {
        for queue in &*self.queues {
            // A thread that is so far behind is asked again by whoever sees no effect.
            let _ = queue.try_send(Errand::Order(order.clone()));
        }
    }
}

/// Runs one data-plane thread, whose loop has this `heartbeat`, until `stop` turns true, then ends all streams and lets listeners
/// take the rest for as long as a farewell lasts.
pub async fn run(
    queue: Queue,
    heartbeat: Heartbeat,
    heartbeats: Heartbeats,
    stop: watch::Receiver<bool>,
) {
    let worker = Worker {
        thread: queue.thread,
        threads: queue.threads,
        heartbeats,
        clock: Clock::start(),
        goodbyes: Arc::default(),
        audiences: Rc::default(),
        serving: JoinSet::new(),
        sources: JoinSet::new(),
    };
    LocalSet::new().run_until(worker.run(queue.errands, heartbeat, stop)).await;
}

struct Worker {
    thread: usize,
    threads: usize,
    heartbeats: Heartbeats,
    clock: Clock,
    goodbyes: Arc<Seats>,
    audiences: Rc<RefCell<HashMap<Name, Rc<Audience>>>>,
    serving: JoinSet<()>,
    sources: JoinSet<()>,
}

impl Worker {
    async fn run(
        mut self,
        mut errands: mpsc::Receiver<Errand>,
        mut heartbeat: Heartbeat,
        mut stop: watch::Receiver<bool>,
    ) {
        let clock = self.clock.clone();
        spawn_local(async move { clock.beat().await });
        loop {
            tokio::select! {
                errand = errands.recv() => match errand {
                    Some(Errand::Arrival(Arrival::Source(source, slot))) => self.admit(*source, &slot),
                    Some(Errand::Arrival(Arrival::Listener(listener, slot))) => self.seat(*listener, &slot),
                    Some(Errand::Order(order)) => self.obey(&order),
                    None => break,
                },
                _ = stop.wait_for(|&stop| stop) => break,
                () = heartbeat.beat() => {}
                Some(_) = self.serving.join_next() => {}
                Some(_) = self.sources.join_next() => {}
            }
        }
        self.sources.shutdown().await;
        for audience in
            self.audiences.borrow().values().filter(|audience| audience.view().is_home())
        {
            audience.view().mount().end();
        }
        let farewell = async { while self.serving.join_next().await.is_some() {} };
        if self.clock.timeout(FAREWELL, farewell).await.is_err() {
            journal!(
                info,
                DRAIN_CUT,
                "some listeners did not take the end of their streams in time"
            );
        }
    }

    fn obey(&self, order: &Order) {
        let (Order::Evict(name) | Order::Dismiss(name, _) | Order::Retitle(name, _)) = order;
        let audience = self.audiences.borrow().get(name).cloned();
        let Some(audience) = audience else { return };
        match order {
            Order::Dismiss(_, guest) => _ = audience.dismiss(*guest),
            Order::Evict(_) if audience.view().is_home() => _ = audience.view().mount().evict(),
            Order::Retitle(_, tags) if audience.view().is_home() => {
                audience.view().mount().retitle(tags.clone());
            }
            // Its home does that.
            Order::Evict(_) | Order::Retitle(..) => {}
        }
    }

    fn admit(&mut self, arrival: source::Arrival, slot: &Wanted) {
        let name = slot.name.clone();
        // Listeners elsewhere may still have it.
        let made = || Mount::new(Arc::clone(slot), self.thread, self.threads);
        let mount = slot.mount().unwrap_or_else(made);
        let (claim, lost) = Claim::new(&mount, arrival.description.clone());
        match self.audience(mount) {
            Ok(_) => {
                let heartbeat = self.heartbeats.of(format!("source of {name}"));
                let (clock, goodbyes) = (self.clock.clone(), Arc::clone(&self.goodbyes));
                self.sources.spawn_local(source::serve(
                    arrival,
                    (claim, lost),
                    heartbeat,
                    clock,
                    goodbyes,
                ));
            }
            Err(error) => {
                journal!(error, MOUNT_FAILED, mount = name.as_str(), %error, "cannot create the mount");
            }
        }
    }

    fn seat(&mut self, arrival: listener::Arrival, slot: &Arc<Slot>) {
        let refused = match slot.mount().map(|mount| self.audience(mount)) {
            Some(Ok(audience)) => arrival.join(&audience).err(),
            Some(Err(error)) => {
                let mount = slot.name.as_str();
                journal!(error, MOUNT_FAILED, mount, %error, "cannot replicate the mount");
                Some(arrival.socket)
            }
            None => Some(arrival.socket),
        };
        if let Some(socket) = refused {
            let reply = Reply::new(404, format!("No source is sending to {} any more.", slot.name));
            let (answer, clock) = (reply.render(Version::Http10, false, true), self.clock.clone());
            if let Ok(stream) = TcpStream::from_std(socket) {
                self.serving.spawn_local(async move {
                    tcp::answer_and_finish(stream, &answer, &clock).await;
                });
            }
        }
    }

    /// This thread's audience of a mount, made and served from now on if there was none.
    fn audience(&mut self, mount: Arc<Mount>) -> io::Result<Rc<Audience>> {
        let name = mount.slot().name.clone();
        if let Some(audience) = self.audiences.borrow().get(&name) {
            return Ok(Rc::clone(audience));
        }
        let audience = Rc::new(Audience::new(View::new(mount, self.thread), self.clock.clone())?);
        self.audiences.borrow_mut().insert(name.clone(), Rc::clone(&audience));
        let (serving, audiences) = (Rc::clone(&audience), Rc::clone(&self.audiences));
        let clock = self.clock.clone();
        self.serving.spawn_local(async move {
            let keeper = serving.view().is_home().then(|| {
                let mount = Arc::clone(serving.view().mount());
                spawn_local(async move { match keep(mount, clock).await {} })
            });
            serving.serve().await;
            if let Some(keeper) = keeper {
                keeper.abort();
            }
            audiences.borrow_mut().remove(&name);
        });
        Ok(audience)
    }
}
