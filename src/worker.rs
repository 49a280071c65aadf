//! A data-plane thread: it owns its mounts, their sources and their listeners.
//!
//! Nothing on it is shared with another such thread, so there is no lock to wait for.
//! A mount lives on the thread that its name chooses, with everybody on it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use crate::http::{Reply, Version};
use crate::listener::{self, Audience, FAREWELL};
use crate::mount::{Mount, Name, Slot};
use crate::source;

/// Connections on their way to one thread.
const QUEUE: usize = 1024;

/// A connection that the door has let in.
#[derive(Debug)]
pub enum Arrival {
    /// An encoder, for a mount that may be new.
    Source(Box<source::Arrival>, Arc<Slot>),
    /// A listener, for a mount that was on the air a moment ago.
    Listener(Box<listener::Arrival>, Name),
}

/// Where the door sends connections: one queue per data-plane thread.
#[derive(Clone, Debug)]
pub struct Workers {
    queues: Arc<[mpsc::Sender<Arrival>]>,
}

/// The receiving end of one thread's queue.
pub type Queue = mpsc::Receiver<Arrival>;

impl Workers {
    /// Queues for `count` threads.
    pub fn new(count: usize) -> (Self, Vec<Queue>) {
        let (queues, ends): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(QUEUE)).unzip();
        (Self { queues: queues.into() }, ends)
    }

    /// Sends a connection to the thread of its mount.
    ///
    /// # Errors
    /// Gives it back if that thread is too far behind.
    pub fn send(&self, arrival: Arrival) -> Result<(), Arrival> {
        let name = match &arrival {
            Arrival::Source(_, slot) => &slot.name,
            Arrival::Listener(_, name) => name,
        };
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let thread = hasher.finish() % self.queues.len() as u64;
        self.queues[thread as usize].try_send(arrival).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(arrival)
            | mpsc::error::TrySendError::Closed(arrival) => arrival,
        })
    }
}

/// Runs one data-plane thread until `stop` turns true, then ends all streams and lets listeners
/// take the rest for as long as a farewell lasts.
pub async fn run(queue: Queue, stop: watch::Receiver<bool>) {
    LocalSet::new().run_until(Worker::default().run(queue, stop)).await;
}

#[derive(Default)]
struct Worker {
    audiences: Rc<RefCell<HashMap<Name, Rc<Audience>>>>,
    serving: JoinSet<()>,
    sources: JoinSet<()>,
}

impl Worker {
    async fn run(mut self, mut queue: Queue, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                arrival = queue.recv() => match arrival {
                    Some(Arrival::Source(source, slot)) => self.admit(*source, slot),
                    Some(Arrival::Listener(listener, name)) => self.seat(*listener, &name),
                    None => break,
                },
                _ = stop.wait_for(|&stop| stop) => break,
                Some(_) = self.serving.join_next() => {}
                Some(_) = self.sources.join_next() => {}
            }
        }
        // Each source's claim ends with it, and each claim's end ends a stream.
        self.sources.shutdown().await;
        let farewell = async { while self.serving.join_next().await.is_some() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::info!(
                event = "drain-cut",
                "some listeners did not take the end of their streams in time"
            );
        }
    }

    fn admit(&mut self, arrival: source::Arrival, slot: Arc<Slot>) {
        let name = slot.name.clone();
        let audience = match self.audience(slot) {
            Ok(audience) => audience,
            Err(error) => {
                tracing::error!(event = "mount-failed", mount = name.as_str(), %error, "cannot create the mount");
                return;
            }
        };
        let claim = audience.mount().claim(arrival.description.clone());
        self.sources.spawn_local(source::serve(arrival, claim));
        // Served for as long as somebody holds the mount or listens to it.
        if !self.audiences.borrow().contains_key(&name) {
            self.audiences.borrow_mut().insert(name.clone(), Rc::clone(&audience));
            let audiences = Rc::clone(&self.audiences);
            self.serving.spawn_local(async move {
                audience.serve().await;
                audiences.borrow_mut().remove(&name);
            });
        }
    }

    fn audience(&self, slot: Arc<Slot>) -> std::io::Result<Rc<Audience>> {
        if let Some(audience) = self.audiences.borrow().get(&slot.name) {
            return Ok(Rc::clone(audience));
        }
        Ok(Rc::new(Audience::new(Rc::new(Mount::new(slot)))?))
    }

    fn seat(&self, arrival: listener::Arrival, name: &Name) {
        let audience = self.audiences.borrow().get(name).cloned();
        let refused = match audience {
            Some(audience) => arrival.join(&audience).err(),
            None => Some(arrival.socket),
        };
        if let Some(mut socket) = refused {
            let reply = Reply::new(404, format!("No source is sending to {name} any more."));
            // Best effort: a fresh socket takes so few bytes at once.
            let _ = socket.write_all(&reply.render(Version::Http10, false, true));
        }
    }
}
