//! The door: accepts connections, reads one request head from each, and decides.
//!
//! Encoders and listeners go to the data plane with their sockets; everything else goes to
//! the control plane. Every refusal is one status, one sentence and one line in the log.
//! Waiting here is bounded in number, bytes and time, and nothing ends the accept loop.

mod address;
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

pub use address::origin;
pub use head::{Fields, Head, MAX_FIELDS, modernise};
pub use route::{Route, of as route_of};
pub use socket::{RECEIVE_BUFFER, accepting, bind};

use decide::Decision;

use crate::auth::{Checker, Credentials, Gate, Secret};
use crate::control;
use crate::crowd::{Crowd, Place};
use crate::events::journal;
use crate::http::{Reply, Version};
use crate::mount::{PerClient, Rules, Seat, Seats, Table};
use crate::platform::Pulse;
use crate::refusals;
use crate::worker::{Arrival, Workers};

/// What the door needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
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
    pub rules: Rules,
    /// Bounds.
    pub limits: Limits,
}

impl Settings {
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
    /// Connections of one client; 0 for no limit of its own.
    pub connections_per_ip: usize,
    /// Bytes of a request head.
    pub request_head: usize,
    /// Time for a request head.
    pub head_timeout: Duration,
    /// Kernel memory for what a listener has not yet received, in bytes.
    pub listener_send_buffer: usize,
}

/// The most connections that may wait at the door.
pub const MOST_WAITING: usize = 256;
/// What a connection at the door takes beside its request head, in bytes.
pub const VISIT_MEMORY: usize = 16 * 1024;
/// How long the accept loop rests when the system has no descriptor or memory left.
const REST: Duration = Duration::from_millis(200);
/// How long a refused client is read on, so that it gets to see why.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it.
const LINGER_BYTES: usize = 256 * 1024;

/// Where the door asks for passwords. Whoever guesses at one of them, or the administrator's, keeps nobody
/// of the same address out of the others.
#[derive(Debug)]
pub struct Gates {
    /// Of sources.
    pub sources: Gate,
    /// Of listeners.
    pub listeners: Gate,
    /// Checks listeners' passwords.
    pub checker: Checker,
}

/// One server's door.
pub struct Door {
    /// Those in force: each request is decided by what it finds.
    settings: Arc<ArcSwap<Settings>>,
    table: Arc<Table>,
    listeners: Arc<Seats>,
    workers: Workers,
    control: mpsc::Sender<control::Arrival>,
    gates: Gates,
    waiting: Rc<Crowd>,
    per_client: PerClient,
    /// Passwords that are being checked, by client.
    checking: PerClient,
}

impl Door {
    /// A door that leads to these planes.
    pub fn new(
        settings: Arc<ArcSwap<Settings>>,
        table: Arc<Table>,
        listeners: Arc<Seats>,
        workers: Workers,
        control: mpsc::Sender<control::Arrival>,
        gates: Gates,
    ) -> Self {
        Self {
            settings,
            table,
            listeners,
            workers,
            control,
            gates,
            waiting: Crowd::new(MOST_WAITING),
            per_client: PerClient::default(),
            checking: PerClient::default(),
        }
    }

    /// Accepts on all sockets until `stop` turns true; each of them beats while it does.
    pub async fn serve(self, sockets: Vec<(TcpListener, Pulse)>, mut stop: watch::Receiver<bool>) {
        let door = Rc::new(self);
        LocalSet::new()
            .run_until(async {
                for (socket, pulse) in sockets {
                    tokio::task::spawn_local(Rc::clone(&door).accept(socket, pulse));
                }
                // An error means that nobody is left who could say stop: the same.
                let _ = stop.wait_for(|&stop| stop).await;
            })
            .await;
    }

    async fn accept(self: Rc<Self>, socket: TcpListener, mut pulse: Pulse) {
        let mut resting = false;
        loop {
            match pulse.during(socket.accept()).await {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut resting) {
                        journal!(info, ACCEPT_RESUMED, "accepting connections again");
                    }
                    self.table.totals().connections.add(1);
                    let place = self.waiting.enter(peer.ip());
                    let id = place.id();
                    let task =
                        tokio::task::spawn_local(Rc::clone(&self).attend(stream, peer, place));
                    self.waiting.serves(id, task.abort_handle());
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut resting, true) {
                        journal!(error, ACCEPT_PAUSED, %error, "cannot accept connections for now");
                    }
                    pulse.during(sleep(REST)).await;
                }
            }
        }
    }

    /// Serves one connection until it is handed on or done with.
    async fn attend(self: Rc<Self>, mut stream: TcpStream, peer: SocketAddr, _place: Place) {
        let settings = self.settings.load_full();
        let limits = &settings.limits;
        let trusted = settings.trusts(peer.ip());
        let mut seat = None;
        if limits.connections_per_ip > 0 && !trusted {
            seat = self.per_client.take(peer.ip(), limits.connections_per_ip);
            if seat.is_none() {
                return self.refuse(stream, peer, &too_many_connections(limits)).await;
            }
        }
        let mut read = Vec::new();
        loop {
            let head = timeout(limits.head_timeout, self.read_head(&mut stream, &mut read)).await;
            match head {
                Ok(Ok(())) => {}
                // It left, or never said anything: nobody is there to be answered.
                Ok(Err(None)) => return,
                Err(_) if read.is_empty() => return,
                Ok(Err(Some(reply))) => return self.refuse(stream, peer, &reply).await,
                Err(_) => {
                    let seconds = limits.head_timeout.as_secs_f32();
                    let reply =
                        Reply::new(408, format!("The request was not complete after {seconds} s."));
                    return self.refuse(stream, peer, &reply).await;
                }
            }
            let decision = match self.next_decision(&mut read, peer, &mut seat).await {
                Ok(decision) => decision,
                Err(reply) => return self.refuse(stream, peer, &reply).await,
            };
            match decision {
                Decision::Answer { bytes, keep } => {
                    let sent = timeout(LINGER, stream.write_all(&bytes)).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return;
                    }
                    if !keep {
                        return linger(stream).await;
                    }
                }
                Decision::Source(arrival) => {
                    return self.hand_over(stream, peer, |socket| arrival(socket, read)).await;
                }
                Decision::Listener(arrival) => return self.hand_over(stream, peer, arrival).await,
                Decision::Control(seat, origin) => {
                    let Ok(socket) = stream.into_std() else { return };
                    let arrival = control::Arrival { socket, read, origin, seat };
                    let refused = self.control.try_send(arrival);
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
            modernise(read);
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
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Reply> {
        let settings = self.settings.load_full();
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let Some(head) = Head::read(read, &mut fields)? else {
            return Err(Reply::new(400, "This is not an HTTP request."));
        };
        let length = head.length;
        let decision = self.decide(&settings, &head, peer, seat).await;
        if !matches!(decision, Decision::Control(..)) {
            read.drain(..length);
        }
        Ok(decision)
    }

    async fn hand_over(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        arrival: impl FnOnce(std::net::TcpStream) -> Arrival,
    ) {
        let Ok(socket) = stream.into_std() else { return };
        if let Err(refused) = self.workers.send(arrival(socket)) {
            let socket = match refused {
                Arrival::Source(source, _) => source.socket,
                Arrival::Listener(listener, _) => listener.socket,
            };
            if let Ok(stream) = TcpStream::from_std(socket) {
                self.refuse(stream, peer, &busy()).await;
            }
        }
    }

    fn log_refusal(&self, peer: SocketAddr, client: IpAddr, path: &str, reply: &Reply) {
        self.table.totals().refused.note(reply.status);
        refusals::log(peer, client, path, reply);
    }

    /// Refuses a connection that has no head to answer to.
    async fn refuse(&self, mut stream: TcpStream, peer: SocketAddr, reply: &Reply) {
        self.log_refusal(peer, peer.ip(), "", reply);
        // Best effort: the peer may be gone, and that is as good.
        let _ =
            timeout(LINGER, stream.write_all(&reply.render(Version::Http10, false, true))).await;
        linger(stream).await;
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

/// Ends a connection so that its peer can read the last answer: closed over unread bytes, it
/// would be reset, and the answer lost.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let (mut unwanted, mut left) = ([0; 4096], LINGER_BYTES);
        while left > 0 {
            match stream.read(&mut unwanted).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        io::Result::Ok(())
    };
    // Best effort, bounded: then it is closed whatever the peer does.
    let _ = timeout(LINGER, drain).await;
}
