//! The accept loop. It limits the number of connections that have not yet been handed over.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::dispatch::{Dispatcher, busy};
use crate::client::{Admission, WhenFull};
use crate::log::journal;
use crate::platform::Heartbeat;
use crate::quota::Quota;

/// Maximum number of connections at the door. Beyond it, a connection is evicted for each new one.
pub(crate) const MAX_WAITING_CONNECTIONS: usize = 256;
/// Maximum number of connections beyond [`MAX_WAITING_CONNECTIONS`] that are being sent a 503. Further
/// connections are reset.
pub(crate) const MAX_REFUSED_CONNECTIONS: usize = 64;
/// Pause of the accept loop after an error, for example when the process is out of file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections and starts a task for each.
pub(crate) struct Door {
    dispatcher: Rc<Dispatcher>,
    waiting: Rc<Admission>,
    /// Counts connections that got no slot and are being sent a 503.
    refusing: Arc<Quota>,
}

impl Door {
    /// Creates a door whose connections are served by `dispatcher`.
    pub(crate) fn new(dispatcher: Dispatcher) -> Self {
        Self {
            dispatcher: Rc::new(dispatcher),
            waiting: Admission::new(MAX_WAITING_CONNECTIONS, WhenFull::EvictOldest),
            refusing: Arc::default(),
        }
    }

    /// Accepts connections on all sockets until `stop` becomes true. Each socket comes with the
    /// heartbeat of its accept loop. Runs on a [`LocalRuntime`](tokio::runtime::LocalRuntime).
    pub(crate) async fn serve(
        self,
        sockets: Vec<(TcpListener, Heartbeat)>,
        mut stop: watch::Receiver<bool>,
    ) {
        let door = Rc::new(self);
        for (socket, heartbeat) in sockets {
            spawn_local(Rc::clone(&door).accept(socket, heartbeat));
        }
        let clock = door.dispatcher.clock().clone();
        spawn_local(async move { clock.beat().await });
        // An error means that the sender was dropped because the server is shutting down.
        let _ = stop.wait_for(|&stop| stop).await;
    }

    async fn accept(self: Rc<Self>, socket: TcpListener, heartbeat: Heartbeat) {
        let mut paused = false;
        loop {
            match heartbeat.during(socket.accept()).await {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut paused) {
                        journal!(info, ACCEPT_RESUMED, "accepting connections again");
                    }
                    self.dispatcher.count_connection();
                    // On a socket for both protocols, IPv4 addresses are mapped into IPv6.
                    self.admit(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut paused, true) {
                        journal!(error, ACCEPT_PAUSED, %error, "cannot accept connections; retrying");
                    }
                    heartbeat.during(sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    /// Starts a task for a connection if there is an admission slot for it.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let dispatcher = Rc::clone(&self.dispatcher);
        if let Ok(slot) = self.waiting.admit(dispatcher.client_before_request(peer)) {
            let id = slot.id();
            let task = spawn_local(async move {
                dispatcher.serve(stream, peer).await;
                drop(slot);
            });
            return self.waiting.set_task(id, task.abort_handle());
        }
        // Returning here drops the connection, which resets it (SO_LINGER is 0).
        let Some(permit) = self.refusing.take(MAX_REFUSED_CONNECTIONS) else { return };
        spawn_local(async move {
            dispatcher.refuse(stream, peer, &busy()).await;
            drop(permit);
        });
    }
}
