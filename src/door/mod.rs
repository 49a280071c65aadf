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
mod waiting;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
pub use waiting::MOST_WAITING;

use decide::Decision;
use waiting::{PerClient, Place, Waiting};

use crate::auth::{Checker, Credentials, Gate, Secret};
use crate::control;
use crate::events::journal;
use crate::http::{Reply, Version};
use crate::mount::{Rules, Seat, Seats, Table};
use crate::platform::Pulse;
use crate::text::tame;
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

/// What a connection at the door takes beside its request head, in bytes.
pub const VISIT_MEMORY: usize = 16 * 1024;
/// How long the accept loop rests when the system has no descriptor or memory left.
const REST: Duration = Duration::from_millis(200);
/// How long a refused client is read on, so that it gets to see why.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it.
const LINGER_BYTES: usize = 256 * 1024;

/// Where the door asks for passwords.
#[derive(Debug)]
pub struct Gates {
    /// Of sources; the control plane asks the administrator at the same one.
    pub sources: Arc<Gate>,
    /// Of listeners: whoever guesses there keeps no source of the same address out.
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
    refusals: RefCell<Throttle>,
    waiting: Rc<Waiting>,
    per_client: PerClient,
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
            refusals: RefCell::default(),
            waiting: Rc::default(),
            per_client: PerClient::default(),
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
                    sleep(REST).await;
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
            let next = timeout(
                limits.head_timeout,
                self.next_request(&mut stream, &mut read, peer, &mut seat),
            );
            let decision = match next.await {
                Ok(Ok(decision)) => decision,
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

    /// Reads the next head and decides. `Err(None)`: the client is gone.
    async fn next_request(
        &self,
        stream: &mut TcpStream,
        read: &mut Vec<u8>,
        peer: SocketAddr,
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Option<Reply>> {
        loop {
            let settings = self.settings.load_full();
            let most = settings.limits.request_head;
            // Blank lines between requests are nobody's head.
            let blank = read.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            read.drain(..blank);
            modernise(read);
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            if let Some(head) = Head::read(read, &mut fields).map_err(Some)? {
                let length = head.length;
                if length > most {
                    return Err(Some(too_long(most)));
                }
                let decision = self.decide(&settings, &head, peer, seat).await;
                if !matches!(decision, Decision::Control(..)) {
                    read.drain(..length);
                }
                return Ok(decision);
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

    fn log_refusal(&self, peer: SocketAddr, client: IpAddr, target: &str, reply: &Reply) {
        self.table.totals().refused.note(reply.status);
        let Some(unsaid) = self.refusals.borrow_mut().note(Instant::now()) else { return };
        if unsaid > 0 {
            journal!(info, MORE_REFUSED, count = unsaid, "more requests were refused");
        }
        // Credentials may be in a query.
        let path = tame(target.split('?').next().unwrap_or_default());
        let (status, reason) = (reply.status, tame(&reply.sentence));
        journal!(info, REFUSED, %peer, %client, path, status, reason, "request refused");
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

/// Lets so many lines through in a second, and counts the others.
#[derive(Debug, Default)]
struct Throttle {
    second: Option<Instant>,
    lines: u32,
    unsaid: u64,
}

impl Throttle {
    const LINES: u32 = 20;

    /// Whether to say this one, and how many were not said before it.
    fn note(&mut self, now: Instant) -> Option<u64> {
        if self.second.is_none_or(|began| now - began >= Duration::from_secs(1)) {
            (self.second, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        if self.lines > Self::LINES {
            self.unsaid += 1;
            return None;
        }
        Some(std::mem::take(&mut self.unsaid))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_said() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!((0..100).filter(|_| throttle.note(now).is_some()).count(), 20);
        assert_eq!(throttle.note(now + Duration::from_secs(1)), Some(80));
        assert_eq!(throttle.note(now + Duration::from_secs(1)), Some(0));
    }
}
