//! Serves one connection: reads request heads, replies, and hands the socket over.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::admit::Admittance;
use super::decide::{Decision, ListenerRequest, SourceRequest, decide};
use super::request::Request;
use super::settings::DoorSettings;
use crate::clock::Clock;
use crate::control::ControlConnection;
use crate::http::{Reply, RequestHead, Version};
use crate::listener::{ListenerConnection, response_head};
use crate::log::refusals;
use crate::mount::Table;
use crate::quota::Permit;
use crate::routes::Route;
use crate::source::SourceConnection;
use crate::tcp;
use crate::worker::{Handoff, Workers};

/// Why there is no request head.
enum NoHead {
    /// The client is gone, or never sent anything.
    Gone,
    /// What it sent is refused.
    Refused(Reply),
}

/// What to do with a connection whose request has been decided.
enum Outcome {
    /// Send these bytes, then read the next request.
    Answer(Vec<u8>),
    /// Send these bytes and close.
    AnswerAndClose(Vec<u8>),
    /// Give the socket to a data-plane thread.
    DataPlane(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> Handoff>),
    /// Give the socket to the control plane.
    ControlPlane(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> ControlConnection>),
}

/// Memory that a connection at the door takes beside its request head, at most, in bytes.
pub(crate) const CONNECTION_MEMORY: usize = 16 * 1024;
/// How often the kernel is asked whether a client has acknowledged its last reply.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Leads each connection to the data plane, the control plane, or its end.
pub(crate) struct Dispatcher {
    /// The configuration in force.
    settings: Arc<ArcSwap<DoorSettings>>,
    table: Arc<Table>,
    admittance: Admittance,
    workers: Workers,
    control: mpsc::Sender<ControlConnection>,
    clock: Clock,
}

impl Dispatcher {
    /// Leads connections to these planes.
    pub(crate) fn new(
        settings: Arc<ArcSwap<DoorSettings>>,
        table: Arc<Table>,
        admittance: Admittance,
        workers: Workers,
        control: mpsc::Sender<ControlConnection>,
    ) -> Self {
        Self { settings, table, admittance, workers, control, clock: Clock::start() }
    }

    /// Counts a connection that has been accepted.
    pub(super) fn count_connection(&self) {
        self.table.stats().connections.add(1);
    }

    /// The clock of the door's thread.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The client that a connection is counted for before its request is known; `None` for a proxy's,
    /// which may carry the request of any client.
    pub(super) fn client_before_request(&self, peer: SocketAddr) -> Option<IpAddr> {
        (!self.settings.load().trusts(peer.ip())).then(|| peer.ip())
    }

    /// Serves one connection until it is handed over or closed.
    pub(super) async fn serve(&self, mut stream: TcpStream, peer: SocketAddr) {
        let permit = self.admittance.take_peer_permit(peer.ip(), &self.settings.load());
        let mut permit = match permit {
            Ok(permit) => permit,
            Err(reply) => return self.refuse(stream, peer, &reply).await,
        };
        let (mut read, mut answered) = (Vec::new(), false);
        loop {
            // Not the settings themselves: a waiting connection must not keep an old configuration
            // in memory.
            let limits = self.settings.load().limits;
            let head = async {
                if answered {
                    self.until_taken(&stream, !read.is_empty()).await;
                }
                read_head(&mut stream, &mut read, limits.request_head).await
            };
            let head = match self.clock.timeout(limits.head_timeout, head).await {
                Ok(Ok(head)) => head,
                // Nobody is there to read a reply.
                Ok(Err(NoHead::Gone)) => return tcp::close(&stream),
                Err(_) if read.is_empty() => return tcp::close(&stream),
                Ok(Err(NoHead::Refused(reply))) => return self.refuse(stream, peer, &reply).await,
                Err(_) => {
                    let seconds = limits.head_timeout.as_secs_f32();
                    let reply =
                        Reply::new(408, format!("The request was not complete after {seconds} s."));
                    return self.refuse(stream, peer, &reply).await;
                }
            };
            let request = Request::new(self.settings.load_full(), head, peer);
            match self.outcome(request, &mut permit).await {
                Outcome::Answer(bytes) => {
                    if tcp::answer(&mut stream, &bytes, &self.clock).await.is_err() {
                        return;
                    }
                    answered = true;
                }
                Outcome::AnswerAndClose(bytes) => {
                    return tcp::answer_and_finish(stream, &bytes, &self.clock).await;
                }
                Outcome::DataPlane(handoff) => {
                    let Ok(socket) = stream.into_std() else { return };
                    let Err(handoff) = self.workers.send(handoff(socket, read)) else { return };
                    let socket = match handoff {
                        Handoff::Source(source, _) => source.socket,
                        Handoff::Listener(listener, _) => listener.socket,
                    };
                    return self.refuse_busy(socket, peer).await;
                }
                Outcome::ControlPlane(connection) => {
                    let Ok(socket) = stream.into_std() else { return };
                    if let Err(refused) = self.control.try_send(connection(socket, read)) {
                        self.refuse_busy(refused.into_inner().socket, peer).await;
                    }
                    return;
                }
            }
        }
    }

    /// Decides a request and takes what it needs; a refusal is logged.
    async fn outcome(&self, request: Request, permit: &mut Option<Permit>) -> Outcome {
        self.table.stats().requests.add(1);
        let decision = request
            .check_network()
            .and_then(|()| self.admittance.take_permit(&request, permit))
            .map_or_else(Decision::Reply, |()| decide(&request));
        let outcome = match decision {
            // Replies to OPTIONS are not refusals.
            Decision::Reply(reply) if reply.status < 400 => {
                return answer(request.render(&reply), request.keeps_connection());
            }
            Decision::Reply(reply) => Err(reply),
            Decision::Source(source) => self.source(&request, source, permit).await,
            Decision::Listener(listener) => self.listener(&request, listener, permit).await,
            Decision::Control(route) => control(&request, route, permit),
        };
        outcome.unwrap_or_else(|reply| {
            let path = request.loggable_path();
            self.log_refusal(request.peer, request.client.address, path, &reply);
            answer(request.render(&reply), request.keeps_connection())
        })
    }

    async fn source(
        &self,
        request: &Request,
        source: SourceRequest,
        permit: &mut Option<Permit>,
    ) -> Result<Outcome, Reply> {
        let reservation = self.admittance.admit_source(request, &source, &self.clock).await?;
        let (peer, permit) = (request.peer, permit.take());
        let SourceRequest { framing: body, timing, description, .. } = source;
        Ok(Outcome::DataPlane(Box::new(move |socket, read| {
            let source = SourceConnection { socket, read, body, timing, description, peer, permit };
            Handoff::Source(Box::new(source), reservation)
        })))
    }

    async fn listener(
        &self,
        request: &Request,
        listener: ListenerRequest,
        permit: &mut Option<Permit>,
    ) -> Result<Outcome, Reply> {
        // Where there is no such mount, the path may be its playlist.
        let Some(entry) = self.table.find(&listener.name) else {
            return control(request, None, permit);
        };
        let until = self.admittance.check_access(request, &entry, &self.clock).await?;
        if listener.head_only {
            let head = entry.stream().map_or_else(Vec::new, |stream| response_head(&stream));
            return Ok(Outcome::AnswerAndClose(head));
        }
        let (burst, session) =
            self.admittance.admit_listener(request, &listener, &entry, until, permit.take())?;
        let send_buffer = request.settings.limits.listener_send_buffer;
        Ok(Outcome::DataPlane(Box::new(move |socket, _| {
            let listener = ListenerConnection { socket, burst, send_buffer, session };
            Handoff::Listener(Box::new(listener), entry)
        })))
    }

    /// Waits until the client has acknowledged the last reply, and so for its next request: replies
    /// that it does not read must not accumulate in the kernel.
    async fn until_taken(&self, stream: &TcpStream, has_next: bool) {
        if !has_next && stream.readable().await.is_err() {
            return;
        }
        while tcp::unacknowledged(stream).is_ok_and(|bytes| bytes > 0) {
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Refuses a connection that has no request to reply to.
    pub(super) async fn refuse(&self, stream: TcpStream, peer: SocketAddr, reply: &Reply) {
        self.log_refusal(peer, peer.ip(), "", reply);
        let bytes = reply.render(Version::Http10, false, true);
        tcp::answer_and_finish(stream, &bytes, &self.clock).await;
    }

    fn log_refusal(&self, peer: SocketAddr, client: IpAddr, path: &str, reply: &Reply) {
        self.table.stats().refused.note(reply.status);
        refusals::log(peer, client, path, reply);
    }

    async fn refuse_busy(&self, socket: std::net::TcpStream, peer: SocketAddr) {
        if let Ok(stream) = TcpStream::from_std(socket) {
            self.refuse(stream, peer, &busy()).await;
        }
    }
}

fn answer(bytes: Vec<u8>, keep: bool) -> Outcome {
    if keep { Outcome::Answer(bytes) } else { Outcome::AnswerAndClose(bytes) }
}

fn control(
    request: &Request,
    route: Option<&'static Route>,
    permit: &mut Option<Permit>,
) -> Result<Outcome, Reply> {
    let (head, target) = (request.head.clone(), request.target.clone()?);
    let (client, permit) = (request.client, permit.take());
    Ok(Outcome::ControlPlane(Box::new(move |socket, mut read| {
        read.shrink_to_fit();
        ControlConnection { socket, head, target, route, read, client, permit }
    })))
}

/// Reads until there is a whole head of at most `limit` bytes.
async fn read_head(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
    limit: usize,
) -> Result<RequestHead, NoHead> {
    let too_long =
        || NoHead::Refused(Reply::new(431, format!("A request head has at most {limit} bytes.")));
    loop {
        if let Some(head) = RequestHead::take(read).map_err(NoHead::Refused)? {
            return if head.bytes().len() > limit { Err(too_long()) } else { Ok(head) };
        }
        if read.len() >= limit {
            return Err(too_long());
        }
        read.reserve(1024.min(limit - read.len()));
        match stream.read_buf(read).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(NoHead::Gone),
        }
    }
}

/// The reply where there is no room for a connection.
pub(super) fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "1")
}
