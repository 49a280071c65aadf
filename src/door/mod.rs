//! The door: accepts connections, reads one request head from each, and decides.
//!
//! Encoders and listeners go to the data plane with their sockets; everything else goes to
//! the control plane. Every refusal is one status, one sentence and one line in the log.
//! Waiting here is bounded in number, bytes and time, and nothing ends the accept loop.

mod address;
mod credentials;
mod head;
mod route;
mod socket;
mod waiting;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

pub use address::{Origin, origin};
pub use credentials::{Credentials, Lockout, Secret};
pub use head::{Fields, Head, MAX_FIELDS, modernise};
pub use route::{Route, of as route_of};
pub use socket::{RECEIVE_BUFFER, accepting, bind};
pub use waiting::MOST_WAITING;

use waiting::{PerClient, Place, Waiting};

use crate::control;
use crate::http::{Reply, Version};
use crate::listener::{self, Player, Visitor, amount, response_head};
use crate::mount::{Description, Name, Rules, Seat, Seats, Table};
use crate::source::{self, Body, Manner};
use crate::worker::{Arrival, Workers};

/// What the door needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Accepted in front of every path.
    pub prefix: String,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Passwords.
    pub credentials: Credentials,
    /// The rules of the mounts.
    pub rules: Rules,
    /// Bounds.
    pub limits: Limits,
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

/// One server's door.
pub struct Door {
    settings: Settings,
    table: Arc<Table>,
    listeners: Arc<Seats>,
    workers: Workers,
    control: mpsc::Sender<control::Arrival>,
    lockout: RefCell<Lockout>,
    waiting: Rc<Waiting>,
    per_client: PerClient,
}

/// What becomes of a request.
enum Decision {
    /// An answer, then the next request or the end.
    Answer { bytes: Vec<u8>, keep: bool },
    /// To the data plane.
    Source(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> Arrival>),
    /// To the data plane.
    Listener(Box<dyn FnOnce(std::net::TcpStream) -> Arrival>),
    /// To the control plane.
    Control(Option<Seat>),
}

impl Door {
    /// A door that leads to these planes.
    pub fn new(
        settings: Settings,
        table: Arc<Table>,
        listeners: Arc<Seats>,
        workers: Workers,
        control: mpsc::Sender<control::Arrival>,
    ) -> Self {
        Self {
            settings,
            table,
            listeners,
            workers,
            control,
            lockout: RefCell::default(),
            waiting: Rc::default(),
            per_client: PerClient::default(),
        }
    }

    /// Accepts on all sockets until `stop` turns true.
    pub async fn serve(self, sockets: Vec<TcpListener>, mut stop: watch::Receiver<bool>) {
        let door = Rc::new(self);
        LocalSet::new()
            .run_until(async {
                for socket in sockets {
                    tokio::task::spawn_local(Rc::clone(&door).accept(socket));
                }
                // An error means that nobody is left who could say stop: the same.
                let _ = stop.wait_for(|&stop| stop).await;
            })
            .await;
    }

    async fn accept(self: Rc<Self>, socket: TcpListener) {
        let mut resting = false;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut resting) {
                        tracing::info!(event = "accept-resumed", "accepting connections again");
                    }
                    let place = self.waiting.enter(peer.ip());
                    let id = place.id();
                    let task =
                        tokio::task::spawn_local(Rc::clone(&self).attend(stream, peer, place));
                    self.waiting.serves(id, task.abort_handle());
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut resting, true) {
                        tracing::error!(event = "accept-paused", %error, "cannot accept connections for now");
                    }
                    sleep(REST).await;
                }
            }
        }
    }

    /// Serves one connection until it is handed on or done with.
    async fn attend(self: Rc<Self>, mut stream: TcpStream, peer: SocketAddr, _place: Place) {
        let limits = &self.settings.limits;
        let trusted =
            self.settings.trusted_proxies.iter().any(|net| net.contains(&peer.ip().to_canonical()));
        let mut seat = None;
        if limits.connections_per_ip > 0 && !trusted {
            seat = self.per_client.take(peer.ip(), limits.connections_per_ip);
            if seat.is_none() {
                return self.refuse(stream, peer, &self.too_many_connections()).await;
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
                Decision::Control(seat) => {
                    let Ok(socket) = stream.into_std() else { return };
                    let refused = self.control.try_send(control::Arrival { socket, read, seat });
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
        let most = self.settings.limits.request_head;
        loop {
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
                let decision = self.decide(&head, peer, seat);
                if !matches!(decision, Decision::Control(_)) {
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

    fn decide(&self, head: &Head<'_, '_>, peer: SocketAddr, seat: &mut Option<Seat>) -> Decision {
        let origin = origin(peer.ip(), head, &self.settings.trusted_proxies);
        let decided = self.seat_client(origin, seat).and_then(|()| {
            match route_of(head, &self.settings.prefix)? {
                Route::Control => Ok(Decision::Control(seat.take())),
                Route::Options => Ok(answer(head, &options())),
                Route::Source(name) => self.source(head, &name, origin, peer, seat),
                Route::Listener { name, burst, probe } => {
                    self.listener(head, &name, burst, probe, origin, seat)
                }
            }
        });
        decided.unwrap_or_else(|reply| {
            log_refusal(peer, origin, head.target, &reply);
            answer(head, &reply)
        })
    }

    /// A client behind a proxy is counted once its address is known.
    fn seat_client(&self, origin: Origin, seat: &mut Option<Seat>) -> Result<(), Reply> {
        let limit = self.settings.limits.connections_per_ip;
        if limit > 0 && seat.is_none() && !origin.is_proxy {
            *seat = Some(
                self.per_client
                    .take(origin.address, limit)
                    .ok_or_else(|| self.too_many_connections())?,
            );
        }
        Ok(())
    }

    fn source(
        &self,
        head: &Head<'_, '_>,
        name: &Name,
        origin: Origin,
        peer: SocketAddr,
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Reply> {
        self.authenticate(head, origin)?;
        let body = body_of(head)?;
        let manner = if head.field("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue"))
        {
            Manner::Expects
        } else if head.method == "SOURCE" {
            Manner::AnswerFirst
        } else {
            Manner::Either
        };
        let limit = self.settings.limits.sources;
        let slot =
            self.table.reserve(name, limit, || self.settings.rules.of(name)).map_err(|_| {
                Reply::new(
                    403,
                    format!("Too many sources connected: all {limit} mounts are in use."),
                )
            })?;
        let description = describe(head, origin);
        let seat = seat.take();
        Ok(Decision::Source(Box::new(move |socket, read| {
            let arrival = source::Arrival { socket, read, body, manner, description, peer, seat };
            Arrival::Source(Box::new(arrival), slot)
        })))
    }

    fn authenticate(&self, head: &Head<'_, '_>, origin: Origin) -> Result<(), Reply> {
        let now = Instant::now();
        let mut lockout = self.lockout.borrow_mut();
        if !origin.is_proxy
            && let Some(wait) = lockout.wait(origin.address, now)
        {
            let sentence = "Too many wrong passwords from this address; try again in a minute.";
            return Err(
                Reply::new(429, sentence).with("Retry-After", (wait.as_secs() + 1).to_string())
            );
        }
        let unauthorised = |sentence| {
            Reply::new(401, sentence).with("WWW-Authenticate", "Basic realm=\"silvacast source\"")
        };
        match head.field("authorization") {
            None => Err(unauthorised("You need to authenticate as user 'source'.")),
            Some(said) if self.settings.credentials.is_source(said) => Ok(()),
            Some(_) => {
                if !origin.is_proxy && lockout.note(origin.address, now) {
                    tracing::warn!(event = "lockout", peer = %origin.address, "five wrong passwords in a minute: locked out for a minute");
                }
                Err(unauthorised("Wrong user or password; the user is 'source'."))
            }
        }
    }

    fn listener(
        &self,
        head: &Head<'_, '_>,
        name: &Name,
        burst: Option<Duration>,
        probe: bool,
        origin: Origin,
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Reply> {
        let live = self.table.find(name).and_then(|slot| Some((slot.live()?, slot)));
        let Some((live, slot)) = live else { return Ok(Decision::Control(seat.take())) };
        if probe {
            return Ok(Decision::Answer { bytes: response_head(&live), keep: false });
        }
        let full = |what: String| Reply::new(503, what).with("Retry-After", "10");
        let all = self.settings.limits.listeners;
        let of_server = self.listeners.take(all);
        let of_server =
            of_server.ok_or_else(|| full(format!("All {all} seats for listeners are taken.")))?;
        let most = slot.settings.max_listeners;
        let of_mount = slot.listeners.take(if most == 0 { usize::MAX } else { most });
        let of_mount = of_mount.ok_or_else(|| {
            full(format!("All {most} seats for listeners of this mount are taken."))
        })?;
        let player = Player {
            fetch_dest: head.field("sec-fetch-dest"),
            agent: head.field("user-agent"),
            range: head.field("range").is_some(),
        };
        let burst = amount(burst, slot.settings.burst, player);
        let visitor = Visitor {
            address: origin.address,
            agent: text(head, "user-agent").unwrap_or_default().into(),
            since: Instant::now(),
            seats: [of_server, of_mount].into_iter().chain(seat.take()).collect(),
        };
        let send_buffer = self.settings.limits.listener_send_buffer;
        Ok(Decision::Listener(Box::new(move |socket| {
            let arrival = listener::Arrival { socket, burst, send_buffer, visitor };
            Arrival::Listener(Box::new(arrival), slot)
        })))
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

    /// Refuses a connection that has no head to answer to.
    async fn refuse(&self, mut stream: TcpStream, peer: SocketAddr, reply: &Reply) {
        let origin = Origin { address: peer.ip(), is_proxy: false };
        log_refusal(peer, origin, "", reply);
        // Best effort: the peer may be gone, and that is as good.
        let _ =
            timeout(LINGER, stream.write_all(&reply.render(Version::Http10, false, true))).await;
        linger(stream).await;
    }

    fn too_many_connections(&self) -> Reply {
        let limit = self.settings.limits.connections_per_ip;
        Reply::new(429, format!("This address has all its {limit} connections already."))
            .with("Retry-After", "10")
    }
}

/// The longest text that is kept of what a client says of itself, in bytes.
pub const MAX_TEXT: usize = 256;

/// How the body is framed. A length of 0 comes from encoders that mean none.
fn body_of(head: &Head<'_, '_>) -> Result<Body, Reply> {
    let bad = |sentence| Err(Reply::new(400, sentence));
    let mut lengths = head.fields_named("content-length");
    match (head.field("transfer-encoding"), lengths.next()) {
        (Some(_), Some(_)) => bad("A request has a length or chunks, not both."),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::CHUNKED),
        (Some(_), None) => bad("The only transfer coding understood here is chunked."),
        (None, None | Some("0")) => Ok(Body::Raw),
        (None, Some(length)) => match length.parse() {
            Ok(length) if lengths.all(|other| other == "0") => Ok(Body::Length(length)),
            _ => bad("This Content-Length is no length."),
        },
    }
}

fn describe(head: &Head<'_, '_>, origin: Origin) -> Description {
    Description {
        name: text(head, "ice-name"),
        description: text(head, "ice-description"),
        genre: text(head, "ice-genre"),
        url: text(head, "ice-url"),
        bitrate: text(head, "ice-bitrate").and_then(|rate| rate.parse().ok()),
        public: text(head, "ice-public").is_some_and(|public| public == "1"),
        audio_info: text(head, "ice-audio-info"),
        agent: text(head, "user-agent"),
        address: Some(origin.address),
    }
}

/// A field's value without control characters: it will stand in logs, headers and pages.
fn text(head: &Head<'_, '_>, name: &str) -> Option<String> {
    let mut clean: String = head.field(name)?.chars().filter(|c| !c.is_control()).collect();
    clean.truncate(clean.floor_char_boundary(MAX_TEXT));
    Some(clean).filter(|text| !text.is_empty())
}

fn answer(head: &Head<'_, '_>, reply: &Reply) -> Decision {
    let keep = head.keeps_connection() && !head.has_framed_body();
    Decision::Answer { bytes: reply.render(head.version, keep, head.method != "HEAD"), keep }
}

fn options() -> Reply {
    Reply::new(204, "")
        .with("Allow", route::ALLOW)
        .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .with("Access-Control-Allow-Headers", "Authorization, Icy-MetaData, Range")
        .with("Access-Control-Max-Age", "86400")
}

fn too_long(most: usize) -> Reply {
    Reply::new(431, format!("A request head has at most {most} bytes."))
}

fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "1")
}

fn log_refusal(peer: SocketAddr, origin: Origin, target: &str, reply: &Reply) {
    // Credentials may be in a query.
    let path = target.split('?').next().unwrap_or_default();
    tracing::info!(
        event = "refused", %peer, client = %origin.address, path, status = reply.status,
        reason = reply.sentence.as_str(), "request refused"
    );
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
