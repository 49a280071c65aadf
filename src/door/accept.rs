//! The accept loop, and the slots in which connections wait for their request to be complete.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use super::dispatch::{Dispatcher, busy};
use crate::client::{Admission, WhenFull};
use crate::log::journal;
use crate::platform::Heartbeat;
use crate::quota::Quota;

/// The most connections that may wait at the door.
pub(crate) const MAX_WAITING: usize = 256;
/// Connections beyond [`MAX_WAITING`] that may be sent a reply; more are reset.
pub(crate) const MAX_REFUSING: usize = 64;
/// How long the accept loop pauses when the system has no descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The door of a server.
pub(crate) struct Door {
    dispatcher: Rc<Dispatcher>,
    waiting: Rc<Admission>,
    /// Connections that found no slot and are being sent a reply.
    refusing: Arc<Quota>,
}

impl Door {
    /// A door whose connections are served by this dispatcher.
    pub(crate) fn new(dispatcher: Dispatcher) -> Self {
        Self {
            dispatcher: Rc::new(dispatcher),
            waiting: Admission::new(MAX_WAITING, WhenFull::EvictOldest),
            refusing: Arc::default(),
        }
    }

    /// Accepts on all sockets until `stop` turns true; each has the heartbeat of its loop.
    pub(crate) async fn serve(
        self,
        sockets: Vec<(TcpListener, Heartbeat)>,
        mut stop: watch::Receiver<bool>,
    ) {
        let door = Rc::new(self);
        LocalSet::new()
            .run_until(async {
                for (socket, heartbeat) in sockets {
                    spawn_local(Rc::clone(&door).accept(socket, heartbeat));
                }
                let clock = door.dispatcher.clock().clone();
                spawn_local(async move { clock.beat().await });
                // An error means that the sender is gone, and with it the server.
                let _ = stop.wait_for(|&stop| stop).await;
            })
            .await;
    }

    async fn accept(self: Rc<Self>, socket: TcpListener, mut heartbeat: Heartbeat) {
        let mut paused = false;
        loop {
            match heartbeat.during(socket.accept()).await {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut paused) {
                        journal!(info, ACCEPT_RESUMED, "accepting connections again");
                    }
                    self.dispatcher.count_connection();
                    self.admit(stream, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut paused, true) {
                        journal!(error, ACCEPT_PAUSED, %error, "cannot accept connections for now");
                    }
                    heartbeat.during(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    /// Gives a connection a slot and a task.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let dispatcher = Rc::clone(&self.dispatcher);
        if let Ok(slot) = self.waiting.admit(dispatcher.client_before_request(peer)) {
            let id = slot.id();
            let task = spawn_local(async move {
                dispatcher.serve(stream, peer).await;
                drop(slot);
            });
            return self.waiting.held_by(id, task.abort_handle());
        }
        // Beyond this limit the connection is dropped, and so reset.
        let Some(permit) = self.refusing.take(MAX_REFUSING) else { return };
        spawn_local(async move {
            dispatcher.refuse(stream, peer, &busy()).await;
            drop(permit);
        });
    }
}
