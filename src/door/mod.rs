//! The door: accepts connections, reads one request head from each, and decides where it goes.
//!
//! Encoders and listeners go to the data plane with their sockets; everything else goes to the
//! control plane. Each refusal is one status, one sentence and one line in the log. The number of
//! connections that wait here is limited, and so are their bytes and their time. Nothing ends the
//! accept loop.
//!
//! A request's way: [`connection`] reads its head and makes it a [`request`]; [`decide`] says what it
//! is for; [`admit`] checks logins, access and limits; then it is handed over.

mod address;
mod admit;
mod client_quotas;
mod connection;
mod decide;
mod request;
mod settings;
mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

pub use address::client_of;
pub use settings::{DoorSettings, Limits};
pub(crate) use socket::bind;

use client_quotas::ClientQuotas;

use crate::client::{Admission, LoginGuard, PasswordChecker, WhenFull};
use crate::clock::Clock;
use crate::control::ControlConnection;
use crate::http::{Reply, Version};
use crate::log::{journal, refusals};
use crate::mount::Table;
use crate::platform::Heartbeat;
use crate::quota::Quota;
use crate::tcp;
use crate::worker::Workers;

/// The most connections that may wait at the door.
pub(crate) const MAX_WAITING: usize = 256;
/// Connections beyond [`MAX_WAITING`] that may be sent a reply; more are reset.
pub(crate) const MAX_REFUSING: usize = 64;
/// Memory that a connection at the door takes beside its request head, at most, in bytes.
pub(crate) const CONNECTION_MEMORY: usize = 16 * 1024;
/// How long the accept loop pauses when the system has no descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often the door looks whether something that it waits for has happened.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Login guards, one for each kind of login: wrong passwords for one do not lock a client out of the
/// others.
#[derive(Debug)]
pub(crate) struct LoginGuards {
    /// For sources.
    pub sources: LoginGuard,
    /// For listeners.
    pub listeners: LoginGuard,
    /// Checks listeners' passwords.
    pub checker: PasswordChecker,
}

/// The door of a server.
pub(crate) struct Door {
    /// The configuration in force.
    settings: Arc<ArcSwap<DoorSettings>>,
    table: Arc<Table>,
    listeners: Arc<Quota>,
    workers: Workers,
    control: mpsc::Sender<ControlConnection>,
    guards: LoginGuards,
    waiting: Rc<Admission>,
    /// Connections that found no slot and are being sent a reply.
    refusing: Arc<Quota>,
    per_client: ClientQuotas,
    clock: Clock,
}

impl Door {
    /// A door that leads to these planes.
    pub(crate) fn new(
        settings: Arc<ArcSwap<DoorSettings>>,
        table: Arc<Table>,
        listeners: Arc<Quota>,
        workers: Workers,
        control: mpsc::Sender<ControlConnection>,
        guards: LoginGuards,
    ) -> Self {
        Self {
            settings,
            table,
            listeners,
            workers,
            control,
            guards,
            waiting: Admission::new(MAX_WAITING, WhenFull::EvictOldest),
            refusing: Arc::default(),
            per_client: ClientQuotas::default(),
            clock: Clock::start(),
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
                let clock = door.clock.clone();
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
                    self.table.stats().connections.add(1);
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
    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        let door = Rc::clone(self);
        let client = (!self.settings.load().trusts(peer.ip())).then(|| peer.ip());
        if let Ok(slot) = self.waiting.admit(client) {
            let id = slot.id();
            let task = spawn_local(door.attend(stream, peer, slot));
            return self.waiting.held_by(id, task.abort_handle());
        }
        // Beyond this limit the connection is dropped, and so reset.
        let Some(permit) = self.refusing.take(MAX_REFUSING) else { return };
        spawn_local(async move {
            door.refuse(stream, peer, &busy()).await;
            drop(permit);
        });
    }

    fn log_refusal(&self, peer: SocketAddr, client: IpAddr, path: &str, reply: &Reply) {
        self.table.stats().refused.note(reply.status);
        refusals::log(peer, client, path, reply);
    }

    /// Refuses a connection that has no request to reply to.
    async fn refuse(&self, stream: TcpStream, peer: SocketAddr, reply: &Reply) {
        self.log_refusal(peer, peer.ip(), "", reply);
        let bytes = reply.render(Version::Http10, false, true);
        tcp::answer_and_finish(stream, &bytes, &self.clock).await;
    }
}

fn too_many_connections(limits: &Limits) -> Reply {
    let limit = limits.connections_per_ip;
    let sentence = format!("This address has all of its {limit} connections already.");
    Reply::new(429, sentence).with("Retry-After", "10")
}

fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "1")
}

#[cfg(test)]
mod tests {
    use super::request::Request;
    use super::*;
    use crate::http::RequestHead;

    /// A request with this head, to a server whose paths have the prefix `/stream`.
    pub(super) fn request(head: &str) -> Request {
        let text =
            "path_prefix = \"/stream\"\n[auth]\nsource_password = \"x\"\nadmin_password = \"y\"";
        let config = crate::config::Config::parse(text, &crate::config::Environment::default());
        let head = RequestHead::take(&mut head.as_bytes().to_vec()).unwrap().unwrap();
        Request::new(Arc::new(config.unwrap().door), head, ([192, 0, 2, 1], 4711).into())
    }
}
