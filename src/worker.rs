//! The data-plane threads. Each owns sources and listeners.
//!
//! A mount's sources run on the mount's home thread, which a hash of its name selects. Listeners are
//! distributed over all threads in turn. A thread that has listeners of a mount, and is not its
//! home thread, keeps a replica of its pages.

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
use tokio::task::{JoinSet, spawn_local, yield_now};

use crate::clock::Clock;
use crate::http::{Reply, Version};
use crate::listener::{Audience, ListenerConnection};
use crate::log::journal;
use crate::mount::{
    Claim, HomeMount, MountEntry, MountView, Name, Operator, Reservation, SharedMount, fill_gaps,
};
use crate::platform::{Heartbeat, Heartbeats};
use crate::quota::Quota;
use crate::source::{self, SourceConnection};
use crate::tcp;
use ogg_splice::Tags;

/// Capacity of a thread's queue of connections and commands.
pub const WORKER_QUEUE: usize = 1024;
/// How many messages are handled before pages that have come meanwhile are delivered.
const MESSAGES_BEFORE_PAGES: usize = 8;
/// How long listeners have to receive the end of their streams when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that the door has admitted.
#[derive(Debug)]
pub enum Handoff {
    /// A source, for a mount that may not exist yet.
    Source(Box<SourceConnection>, Reservation),
    /// A listener, for a mount that had a stream when the request was decided.
    Listener(Box<ListenerConnection>, Arc<MountEntry>),
}

/// A command from the control plane to the data plane.
#[derive(Clone, Debug)]
pub enum Command {
    /// Disconnect the live source of this mount.
    Evict(Name, Arc<Operator>),
    /// Disconnect the listener with this id.
    DisconnectListener(Name, u64, Arc<Operator>),
    /// Replace title and artist of the mount's stream.
    SetTitle(Name, Tags),
}

/// A message in a thread's queue.
#[derive(Debug)]
enum Message {
    Handoff(Handoff),
    Command(Command),
}

/// The sending ends of the threads' queues.
#[derive(Clone, Debug)]
pub struct Workers {
    queues: Arc<[mpsc::Sender<Message>]>,
    /// Counts listeners, to distribute them over the threads.
    next_thread: Arc<AtomicUsize>,
}

/// The receiving end of one thread's queue.
#[derive(Debug)]
pub struct WorkerQueue {
    thread: usize,
    threads: usize,
    readers: usize,
    messages: mpsc::Receiver<Message>,
}

impl Workers {
    /// Creates one queue per thread. `readers` is the number of these threads and of those that only
    /// read mounts.
    pub fn new(threads: usize, readers: usize) -> (Self, Vec<WorkerQueue>) {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mpsc::channel(WORKER_QUEUE)).unzip();
        let queue = |(thread, messages)| WorkerQueue { thread, threads, readers, messages };
        let queues = receivers.into_iter().enumerate().map(queue).collect();
        (Self { queues: senders.into(), next_thread: Arc::default() }, queues)
    }

    /// Sends a source to its mount's home thread, or a listener to the next thread in turn.
    ///
    /// # Errors
    /// Returns the connection if the thread's queue is full.
    pub fn send(&self, connection: Handoff) -> Result<(), Handoff> {
        let thread = match &connection {
            Handoff::Source(_, entry) => home_thread(&entry.name, self.queues.len()),
            Handoff::Listener(..) => self.next_thread.fetch_add(1, Relaxed) % self.queues.len(),
        };
        self.queues[thread].try_send(Message::Handoff(connection)).map_err(|error| {
            match error.into_inner() {
                Message::Handoff(connection) => connection,
                Message::Command(_) => unreachable!("the error returns the message that was sent"),
            }
        })
    }

    /// Sends a command to all threads. A thread that does not have the source or listener ignores
    /// it.
    pub fn command(&self, command: &Command) {
        for queue in &*self.queues {
            // If a queue is full, the command is dropped. The administrator sees no effect and can
            // repeat it.
            let _ = queue.try_send(Message::Command(command.clone()));
        }
    }
}

/// The home thread of the mount with this name.
fn home_thread(name: &Name, threads: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as usize % threads
}

/// Runs one data-plane thread until `stop` turns true. Then ends all streams, and gives listeners
/// `DRAIN_TIMEOUT` to receive the end. `heartbeat` is that of the thread's main loop. Runs on a
/// [`LocalRuntime`](tokio::runtime::LocalRuntime).
pub async fn run(
    queue: WorkerQueue,
    heartbeat: Heartbeat,
    heartbeats: Heartbeats,
    stop: watch::Receiver<bool>,
) {
    let worker = Worker {
        thread: queue.thread,
        threads: queue.threads,
        readers: queue.readers,
        heartbeats,
        clock: Clock::start(),
        final_responses: Arc::default(),
        homes: HashMap::new(),
        audiences: Rc::default(),
        listener_tasks: JoinSet::new(),
        source_tasks: JoinSet::new(),
    };
    worker.run(queue.messages, heartbeat, stop).await;
}

struct Worker {
    thread: usize,
    threads: usize,
    readers: usize,
    heartbeats: Heartbeats,
    clock: Clock,
    /// Limits how many ended sources are sent a final response at the same time.
    final_responses: Arc<Quota>,
    /// The mounts whose home is this thread.
    homes: HashMap<Name, Weak<HomeMount>>,
    audiences: Rc<RefCell<HashMap<Name, Rc<Audience>>>>,
    /// One task per audience, and one per listener that is sent a 404.
    listener_tasks: JoinSet<()>,
    /// One task per source.
    source_tasks: JoinSet<()>,
}

impl Worker {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        heartbeat: Heartbeat,
        mut stop: watch::Receiver<bool>,
    ) {
        let clock = self.clock.clone();
        spawn_local(async move { clock.beat().await });
        let mut received = Vec::with_capacity(MESSAGES_BEFORE_PAGES);
        loop {
            tokio::select! {
                count = messages.recv_many(&mut received, MESSAGES_BEFORE_PAGES) => {
                    if count == 0 {
                        break;
                    }
                    for message in received.drain(..) {
                        self.handle(message);
                    }
                    // Audio comes before newcomers.
                    yield_now().await;
                }
                _ = stop.wait_for(|&stop| stop) => break,
                () = heartbeat.beat() => {}
                Some(_) = self.listener_tasks.join_next() => {}
                Some(_) = self.source_tasks.join_next() => {}
            }
        }
        self.source_tasks.shutdown().await;
        for home in self.homes.values().filter_map(Weak::upgrade) {
            home.end();
        }
        let listeners_done = async { while self.listener_tasks.join_next().await.is_some() {} };
        if self.clock.timeout(DRAIN_TIMEOUT, listeners_done).await.is_err() {
            journal!(
                info,
                DRAIN_CUT,
                "some listeners did not receive the end of their streams in time"
            );
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Handoff(Handoff::Source(source, entry)) => self.add_source(*source, &entry),
            Message::Handoff(Handoff::Listener(listener, entry)) => {
                self.add_listener(*listener, &entry);
            }
            Message::Command(command) => self.execute(&command),
        }
    }

    fn execute(&self, command: &Command) {
        let home = |name| self.homes.get(name).and_then(Weak::upgrade);
        match command {
            Command::DisconnectListener(name, listener, by) => {
                let audience = self.audiences.borrow().get(name).cloned();
                _ = audience.is_some_and(|audience| audience.evict(*listener, by));
            }
            Command::Evict(name, by) => {
                _ = home(name).is_some_and(|mount| mount.evict(Arc::clone(by)));
            }
            Command::SetTitle(name, tags) => {
                if let Some(mount) = home(name) {
                    mount.retitle(tags.clone());
                }
            }
        }
    }

    /// Starts serving a source. Creates the mount if it does not exist.
    fn add_source(&mut self, connection: SourceConnection, entry: &Reservation) {
        let name = entry.name.clone();
        // The mount may still exist because of listeners of an ended stream.
        let mount =
            entry.mount().unwrap_or_else(|| SharedMount::new(Arc::clone(entry), self.readers));
        let home = self.home(&mount);
        let claim = Claim::new(&home, connection.description.clone());
        match self.audience(&mount) {
            Ok(audience) => {
                let heartbeat = self.heartbeats.of(format!("source of {name}"));
                let final_responses = Arc::clone(&self.final_responses);
                self.source_tasks.spawn_local(source::serve(
                    connection,
                    claim,
                    audience,
                    heartbeat,
                    final_responses,
                ));
            }
            Err(error) => {
                let mount = name.as_str();
                journal!(error, MOUNT_FAILED, mount, %error, "cannot create the mount");
            }
        }
    }

    /// The home half of a mount whose home is this thread. Created at the first call.
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

    /// Adds a listener to the mount's audience, or answers 404 if the mount has no stream any more.
    fn add_listener(&mut self, connection: ListenerConnection, entry: &Arc<MountEntry>) {
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
            let (response, clock) =
                (reply.render(Version::Http10, false, true), self.clock.clone());
            if let Ok(stream) = TcpStream::from_std(socket) {
                self.listener_tasks.spawn_local(async move {
                    tcp::answer_and_finish(stream, &response, &clock).await;
                });
            }
        }
    }

    /// This thread's audience of a mount. Created at the first call, with a task that serves it.
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
        let (served, audiences) = (Rc::clone(&audience), Rc::clone(&self.audiences));
        let clock = self.clock.clone();
        self.listener_tasks.spawn_local(async move {
            let filler = home
                .map(|mount| spawn_local(async move { match fill_gaps(mount, clock).await {} }));
            served.serve().await;
            if let Some(filler) = filler {
                filler.abort();
            }
            audiences.borrow_mut().remove(&name);
        });
        Ok(audience)
    }
}
