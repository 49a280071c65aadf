//! A data-plane thread: it owns sources and listeners, and relays a mount's pages without waiting.
//!
//! A mount's source runs on the mount's home thread, which its name chooses; listeners go to all
//! threads in turn. A thread with listeners of a mount whose home is another thread keeps a replica
//! of its pages.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet, spawn_local};

use crate::clock::Clock;
use crate::http::{Reply, Version};
use crate::listener::{Audience, ListenerConnection};
use crate::log::journal;
use crate::mount::{
    Claim, HomeMount, MountEntry, MountView, Name, Reservation, SharedMount, fill_gaps,
};
use crate::platform::{Heartbeat, Heartbeats};
use crate::quota::Quota;
use crate::source::{self, SourceConnection};
use crate::tcp;
use ogg_splice::Tags;

/// Connections and orders on their way to one thread.
pub const WORKER_QUEUE: usize = 1024;
/// What listeners get to take the end of their streams when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that the door has let in.
#[derive(Debug)]
pub enum Handoff {
    /// An encoder, for a mount that may be new.
    Source(Box<SourceConnection>, Reservation),
    /// A listener, for a mount that was on the air a moment ago.
    Listener(Box<ListenerConnection>, Arc<MountEntry>),
}

/// What an administrator may want of the data plane.
#[derive(Clone, Debug)]
pub enum Command {
    /// End this mount's source.
    Evict(Name),
    /// Hang up on the listener of this number.
    Dismiss(Name, u64),
    /// Give what is on the air another title.
    Retitle(Name, Tags),
}

/// What comes through a thread's queue.
#[derive(Debug)]
enum Message {
    Handoff(Handoff),
    Command(Command),
}

/// Where the door sends connections: one queue per data-plane thread.
#[derive(Clone, Debug)]
pub struct Workers {
    queues: Arc<[mpsc::Sender<Message>]>,
    turn: Arc<AtomicUsize>,
}

/// The receiving end of one thread's queue.
#[derive(Debug)]
pub struct WorkerQueue {
    thread: usize,
    threads: usize,
    messages: mpsc::Receiver<Message>,
}

impl Workers {
    /// Queues for so many threads.
    pub fn new(threads: usize) -> (Self, Vec<WorkerQueue>) {
        let (queues, ends): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mpsc::channel(WORKER_QUEUE)).unzip();
        let queue = |(thread, messages)| WorkerQueue { thread, threads, messages };
        let ends = ends.into_iter().enumerate().map(queue).collect();
        (Self { queues: queues.into(), turn: Arc::default() }, ends)
    }

    /// Sends a connection to its thread.
    ///
    /// # Errors
    /// Gives it back if that thread is too far behind.
    pub fn send(&self, connection: Handoff) -> Result<(), Handoff> {
        let thread = match &connection {
            Handoff::Source(_, entry) => home_thread(&entry.name, self.queues.len()),
            Handoff::Listener(..) => self.turn.fetch_add(1, Relaxed) % self.queues.len(),
        };
        self.queues[thread].try_send(Message::Handoff(connection)).map_err(|refused| match refused
            .into_inner()
        {
            Message::Handoff(connection) => connection,
            Message::Command(_) => unreachable!("what comes back is what was sent"),
        })
    }

    /// Sends a command to all threads; those that it concerns execute it.
    pub fn command(&self, command: &Command) {
        for queue in &*self.queues {
            // Where a queue is full, the administrator sees no effect and asks again.
            let _ = queue.try_send(Message::Command(command.clone()));
        }
    }
}

/// The thread on which a mount of this name has its source.
fn home_thread(name: &Name, threads: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as usize % threads
}

/// Runs one data-plane thread, whose loop has this `heartbeat`, until `stop` turns true, then ends all streams and lets listeners
/// take the rest for as long as a farewell lasts.
pub async fn run(
    queue: WorkerQueue,
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
        homes: HashMap::new(),
        audiences: Rc::default(),
        serving: JoinSet::new(),
        sources: JoinSet::new(),
    };
    LocalSet::new().run_until(worker.run(queue.messages, heartbeat, stop)).await;
}

struct Worker {
    thread: usize,
    threads: usize,
    heartbeats: Heartbeats,
    clock: Clock,
    goodbyes: Arc<Quota>,
    /// The mounts whose home is this thread.
    homes: HashMap<Name, Weak<HomeMount>>,
    audiences: Rc<RefCell<HashMap<Name, Rc<Audience>>>>,
    serving: JoinSet<()>,
    sources: JoinSet<()>,
}

impl Worker {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut heartbeat: Heartbeat,
        mut stop: watch::Receiver<bool>,
    ) {
        let clock = self.clock.clone();
        spawn_local(async move { clock.beat().await });
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Handoff(Handoff::Source(source, entry))) => self.admit(*source, &entry),
                    Some(Message::Handoff(Handoff::Listener(listener, entry))) => self.join(*listener, &entry),
                    Some(Message::Command(command)) => self.execute(&command),
                    None => break,
                },
                _ = stop.wait_for(|&stop| stop) => break,
                () = heartbeat.beat() => {}
                Some(_) = self.serving.join_next() => {}
                Some(_) = self.sources.join_next() => {}
            }
        }
        self.sources.shutdown().await;
        for home in self.homes.values().filter_map(Weak::upgrade) {
            home.end();
        }
        let farewell = async { while self.serving.join_next().await.is_some() {} };
        if self.clock.timeout(DRAIN_TIMEOUT, farewell).await.is_err() {
            journal!(
                info,
                DRAIN_CUT,
                "some listeners did not take the end of their streams in time"
            );
        }
    }

    fn execute(&self, command: &Command) {
        let home = |name| self.homes.get(name).and_then(Weak::upgrade);
        match command {
            Command::Dismiss(name, listener) => {
                let audience = self.audiences.borrow().get(name).cloned();
                _ = audience.is_some_and(|audience| audience.evict(*listener));
            }
            Command::Evict(name) => _ = home(name).is_some_and(|mount| mount.evict()),
            Command::Retitle(name, tags) => {
                if let Some(mount) = home(name) {
                    mount.retitle(tags.clone());
                }
            }
        }
    }

    /// Starts to serve a source.
    fn admit(&mut self, connection: SourceConnection, entry: &Reservation) {
        let name = entry.name.clone();
        // Listeners of a stream that has ended may still have the mount.
        let mount =
            entry.mount().unwrap_or_else(|| SharedMount::new(Arc::clone(entry), self.threads));
        let home = self.home(&mount);
        let claim = Claim::new(&home, connection.description.clone());
        match self.audience(&mount) {
            Ok(_) => {
                let heartbeat = self.heartbeats.of(format!("source of {name}"));
                let (clock, goodbyes) = (self.clock.clone(), Arc::clone(&self.goodbyes));
                self.sources
                    .spawn_local(source::serve(connection, claim, heartbeat, clock, goodbyes));
            }
            Err(error) => {
                journal!(error, MOUNT_FAILED, mount = name.as_str(), %error, "cannot create the mount");
            }
        }
    }

    /// The home half of a mount whose home is this thread.
    fn home(&mut self, mount: &Arc<SharedMount>) -> Rc<HomeMount> {
        let name = &mount.entry().name;
        if let Some(home) = self.homes.get(name).and_then(Weak::upgrade) {
            return home;
        }
        let home = HomeMount::new(Arc::clone(mount));
        self.homes.retain(|_, home| home.strong_count() > 0);
        self.homes.insert(name.clone(), Rc::downgrade(&home));
        home
    }

    fn join(&mut self, connection: ListenerConnection, entry: &Arc<MountEntry>) {
        let refused = match entry.mount().map(|mount| self.audience(&mount)) {
            Some(Ok(audience)) => connection.join(&audience).err(),
            Some(Err(error)) => {
                let mount = entry.name.as_str();
                journal!(error, MOUNT_FAILED, mount, %error, "cannot replicate the mount");
                Some(connection.socket)
            }
            None => Some(connection.socket),
        };
        if let Some(socket) = refused {
            let reply =
                Reply::new(404, format!("No source is sending to {} any more.", entry.name));
            let (answer, clock) = (reply.render(Version::Http10, false, true), self.clock.clone());
            if let Ok(stream) = TcpStream::from_std(socket) {
                self.serving.spawn_local(async move {
                    tcp::answer_and_finish(stream, &answer, &clock).await;
                });
            }
        }
    }

    /// This thread's audience of a mount, created and served from now on if there was none.
    fn audience(&mut self, mount: &Arc<SharedMount>) -> io::Result<Rc<Audience>> {
        let name = mount.entry().name.clone();
        if let Some(audience) = self.audiences.borrow().get(&name) {
            return Ok(Rc::clone(audience));
        }
        let home = (home_thread(&name, self.threads) == self.thread).then(|| self.home(mount));
        let view = match home.clone() {
            Some(home) => MountView::home_of(home, self.thread),
            None => MountView::replica_of(Arc::clone(mount), self.thread),
        };
        let audience = Rc::new(Audience::new(view, self.clock.clone())?);
        self.audiences.borrow_mut().insert(name.clone(), Rc::clone(&audience));
        let (serving, audiences) = (Rc::clone(&audience), Rc::clone(&self.audiences));
        let clock = self.clock.clone();
        self.serving.spawn_local(async move {
            let filler = home
                .map(|mount| spawn_local(async move { match fill_gaps(mount, clock).await {} }));
            serving.serve().await;
            if let Some(filler) = filler {
                filler.abort();
            }
            audiences.borrow_mut().remove(&name);
        });
        Ok(audience)
    }
}
