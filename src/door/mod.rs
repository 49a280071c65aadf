//! The door: accepts connections, reads one request head from each, and decides.
//!
//! Encoders and listeners go to the data plane with their sockets; everything else goes to
//! the control plane. Every refusal is one status, one sentence and one line in the log.
//! Waiting here is bounded in number, bytes and time, and nothing ends the accept loop.

mod address;
mod client_quotas;
mod decide;
mod head;
mod route;
mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

pub use address::origin;
pub use head::{Fields, Head, MAX_FIELDS, normalize_ice_version};
pub use route::{Route, of as route_of};
pub use socket::bind;

use client_quotas::ClientQuotas;
use decide::Decision;

use crate::auth::{Credentials, Secret};
use crate::client::{Admission, AdmissionSlot, WhenFull};
use crate::client::{LoginGuard, PasswordChecker};
use crate::clock::Clock;
use crate::control::ControlConnection;
use crate::http::{Reply, Version};
use crate::log::journal;
use crate::log::refusals;
use crate::mount::{MountRules, Table};
use crate::platform::Heartbeat;
use crate::quota::{Permit, Quota};
use crate::tcp;
use crate::worker::{Handoff, Workers};

/// What the door needs to know.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Accepted in front of every path.
    pub prefix: String,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that may connect; empty for all.
    pub allow: Vec<IpNet>,
    /// Networks that may not, whatever else holds.
    pub deny: Vec<IpNet>,
    /// Passwords.
    pub credentials: Credentials,
    /// What links that open a mount are signed with, if there may be any.
    pub share_key: Option<Secret>,
    /// The rules of the mounts.
    pub rules: MountRules,
    /// Bounds.
    pub limits: Limits,
}

impl DoorSettings {
    fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}

/// Bounds on what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Mounts that may exist at once.
    pub sources: usize,
    /// Listeners of all mounts together.
    pub listeners: usize,
    /// Connections of one client; 0 for no limit.
    pub connections_per_ip: usize,
    /// Bytes of a request head.
    pub request_head: usize,
    /// Time for a request head.
    pub head_timeout: Duration,
    /// Kernel memory for what a listener has not yet received, in bytes.
    pub listener_send_buffer: usize,
}

/// The most connections that may wait at the door.
pub const MAX_WAITING: usize = 256;
/// Connections beyond [`MAX_WAITING`] that may be told so; more are reset.
pub const MAX_REFUSING: usize = 64;
/// What a connection at the door takes beside its request head, in bytes.
pub const VISIT_MEMORY: usize = 16 * 1024;
/// How long the accept loop rests when the system has no descriptor or memory left.
const REST: Duration = Duration::from_millis(200);
/// How often the kernel is asked whether a client has taken its last answer.
const LOOK: Duration = Duration::from_millis(20);

/// Where the door asks for passwords. Whoever guesses at one of them, or the administrator's, keeps nobody
/// of the same address out of the others.
#[derive(Debug)]
pub struct LoginGuards {
    /// Of sources.
    pub sources: LoginGuard,
    /// Of listeners.
    pub listeners: LoginGuard,
    /// Checks listeners' passwords.
    pub checker: PasswordChecker,
}

/// One server's door.
pub struct Door {
    /// Those in force: each request is decided by what it finds.
    settings: Arc<ArcSwap<DoorSettings>>,
    table: Arc<Table>,
    listeners: Arc<Quota>,
    workers: Workers,
    control: mpsc::Sender<ControlConnection>,
    guards: LoginGuards,
    waiting: Rc<Admission>,
    /// Connections that found no place to wait, and are being told so.
    refusing: Arc<Quota>,
    per_client: ClientQuotas,
    clock: Clock,
}

impl Door {
    /// A door that leads to these planes.
    pub fn new(
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

    /// Accepts on all sockets until `stop` turns true; each of them beats while it does.
    pub async fn serve(
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
                // An error means that nobody is left who could say stop: the same.
                let _ = stop.wait_for(|&stop| stop).await;
            })
            .await;
    }

    async fn accept(self: Rc<Self>, socket: TcpListener, mut heartbeat: Heartbeat) {
        let mut resting = false;
        loop {
            match heartbeat.during(socket.accept()).await {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut resting) {
                        journal!(info, ACCEPT_RESUMED, "accepting connections again");
                    }
                    self.table.stats().connections.add(1);
                    self.admit(stream, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut resting, true) {
                        journal!(error, ACCEPT_PAUSED, %error, "cannot accept connections for now");
                    }
                    heartbeat.during(sleep(REST)).await;
                }
            }
        }
    }

    /// Gives a connection a place to wait, and a task that serves it.
    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        let door = Rc::clone(self);
        let client = (!self.settings.load().trusts(peer.ip())).then(|| peer.ip());
        if let Ok(permit) = self.waiting.admit(client) {
            let id = permit.id();
            let task = spawn_local(door.attend(stream, peer, permit));
            return self.waiting.held_by(id, task.abort_handle());
        }
        // Dropped, and so reset, where there are too many of these already.
        let Some(permit) = self.refusing.take(MAX_REFUSING) else { return };
        spawn_local(async move {
            door.refuse(stream, peer, &busy()).await;
            drop(permit);
        });
    }

    /// Serves one connection until it is handed on or done with.
    async fn attend(self: Rc<Self>, mut stream: TcpStream, peer: SocketAddr, _slot: AdmissionSlot) {
        // Not the settings themselves: a connection must not keep an old configuration in memory.
        let (limits, trusted) = {
            let settings = self.settings.load();
            (settings.limits, settings.trusts(peer.ip()))
        };
        let mut permit = None;
        if limits.connections_per_ip > 0 && !trusted {
            permit = self.per_client.take(peer.ip(), limits.connections_per_ip);
            if permit.is_none() {
                return self.refuse(stream, peer, &too_many_connections(&limits)).await;
            }
        }
        let (mut read, mut answered) = (Vec::new(), false);
        loop {
            let head = async {
                if answered {
                    self.until_taken(&stream, !read.is_empty()).await;
                }
                self.read_head(&mut stream, &mut read).await
            };
            let head = self.clock.timeout(limits.head_timeout, head).await;
            match head {
                Ok(Ok(())) => {}
                // It left, or never said anything: nobody is there to be answered.
                Ok(Err(None)) => return tcp::close(&stream),
                Err(_) if read.is_empty() => return tcp::close(&stream),
                Ok(Err(Some(reply))) => return self.refuse(stream, peer, &reply).await,
                Err(_) => {
                    let seconds = limits.head_timeout.as_secs_f32();
                    let reply =
                        Reply::new(408, format!("The request was not complete after {seconds} s."));
                    return self.refuse(stream, peer, &reply).await;
                }
            }
            let decision = match self.next_decision(&mut read, peer, &mut permit).await {
                Ok(decision) => decision,
                Err(reply) => return self.refuse(stream, peer, &reply).await,
            };
            match decision {
                Decision::Answer { bytes, keep: true } => {
                    if tcp::answer(&mut stream, &bytes, &self.clock).await.is_err() {
                        return;
                    }
                    answered = true;
                }
                Decision::Answer { bytes, keep: false } => {
                    return tcp::answer_and_finish(stream, &bytes, &self.clock).await;
                }
                Decision::Source(connection) => {
                    return self.hand_over(stream, peer, |socket| connection(socket, read)).await;
                }
                Decision::Listener(connection) => {
                    return self.hand_over(stream, peer, connection).await;
                }
                Decision::Control(permit, client) => {
                    let Ok(socket) = stream.into_std() else { return };
                    let connection = ControlConnection { socket, read, client, permit };
                    let refused = self.control.try_send(connection);
                    if let Err(refused) = refused
                        && let Ok(stream) = TcpStream::from_std(refused.into_inner().socket)
                    {
                        self.refuse(stream, peer, &busy()).await;
                    }
                    return;
                }
            }
        }
    }

    /// Waits until the client has taken the answer before, and so for its next request: answers that
    /// it does not read must not pile up in the kernel.
    async fn until_taken(&self, stream: &TcpStream, has_next: bool) {
        if !has_next && stream.readable().await.is_err() {
            return;
        }
        while tcp::unacknowledged(stream).is_ok_and(|bytes| bytes > 0) {
            sleep(LOOK).await;
        }
    }

    /// Reads until there is a whole head. `Err(None)`: the client is gone.
    async fn read_head(
        &self,
        stream: &mut TcpStream,
        read: &mut Vec<u8>,
    ) -> Result<(), Option<Reply>> {
        let most = self.settings.load().limits.request_head;
        loop {
            // Blank lines between requests are nobody's head.
            let blank = read.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            read.drain(..blank);
            normalize_ice_version(read);
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            if let Some(head) = Head::read(read, &mut fields).map_err(Some)? {
                return if head.length > most { Err(Some(too_long(most))) } else { Ok(()) };
            }
            if read.len() >= most {
                return Err(Some(too_long(most)));
            }
            read.reserve(1024.min(most - read.len()));
            match stream.read_buf(read).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(None),
            }
        }
    }

    /// Decides about the head that has been read, which may take as long as a password's hash does.
    async fn next_decision(
        &self,
        read: &mut Vec<u8>,
        peer: SocketAddr,
        permit: &mut Option<Permit>,
    ) -> Result<Decision, Reply> {
        let settings = self.settings.load_full();
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let Some(head) = Head::read(read, &mut fields)? else {
            return Err(Reply::new(400, "This is not an HTTP request."));
        };
        let length = head.length;
        let decision = self.decide(&settings, &head, peer, permit).await;
        if !matches!(decision, Decision::Control(..)) {
            read.drain(..length);
        }
        Ok(decision)
    }

    async fn hand_over(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        connection: impl FnOnce(std::net::TcpStream) -> Handoff,
    ) {
        let Ok(socket) = stream.into_std() else { return };
        if let Err(refused) = self.workers.send(connection(socket)) {
            let socket = match refused {
                Handoff::Source(source, _) => source.socket,
                Handoff::Listener(listener, _) => listener.socket,
            };
            if let Ok(stream) = TcpStream::from_std(socket) {
                self.refuse(stream, peer, &busy()).await;
            }
        }
    }

    fn log_refusal(&self, peer: SocketAddr, client: IpAddr, path: &str, reply: &Reply) {
        self.table.stats().refused.note(reply.status);
        refusals::log(peer, client, path, reply);
    }

    /// Refuses a connection that has no head to answer to.
    async fn refuse(&self, stream: TcpStream, peer: SocketAddr, reply: &Reply) {
        self.log_refusal(peer, peer.ip(), "", reply);
        let answer = reply.render(Version::Http10, false, true);
        tcp::answer_and_finish(stream, &answer, &self.clock).await;
    }
}

fn too_long(most: usize) -> Reply {
    Reply::new(431, format!("A request head has at most {most} bytes."))
}

fn too_many_connections(limits: &Limits) -> Reply {
    let limit = limits.connections_per_ip;
    Reply::new(429, format!("This address has all its {limit} connections already."))
        .with("Retry-After", "10")
}

fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "1")
}
