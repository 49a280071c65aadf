//! Serves one connection: reads request heads, sends replies, and hands the socket over.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::admit::Admittance;
use super::decide::{Decision, ListenerRequest, SourceRequest, WantedDelivery, decide};
use super::head::{HeadError, read_head};
use super::request::Request;
use super::settings::DoorSettings;
use crate::client::ConnectionQuotas;
use crate::clock::Clock;
use crate::control::{ControlConnection, Resource, WhepRequest};
use crate::hls::HlsPath;
use crate::http::{Reply, Version};
use crate::listener::{ListenerConnection, response_head};
use crate::log::refusals;
use crate::mount::{MountEntry, MountTable, Name, Offer, WaitingListener};
use crate::quota::Permit;
use crate::source::SourceConnection;
use crate::tcp::{self, SocketOptions};
use crate::webrtc::WhepPath;
use crate::worker::{Handoff, Workers};

/// What to do with a connection after a request.
enum RequestOutcome {
    /// Send these bytes, then read the next request.
    Reply(Vec<u8>),
    /// Send these bytes and close the connection.
    ReplyAndClose(Vec<u8>),
    /// Give the socket to a data-plane thread.
    DataPlane(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> Handoff>),
    /// Give the socket to the control plane.
    ControlPlane(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> ControlConnection>),
    /// Decide again when the mount has a source.
    Wait(Box<WaitingRequest>),
}

/// What becomes of a listener's request.
enum ListenerOutcome {
    /// It was decided.
    Decided(RequestOutcome),
    /// The mount has no source, and its audio comes because the listener wants it.
    Idle(Arc<Offer>),
}

/// A listener's request for a mount that has no source yet.
struct WaitingRequest {
    request: Request,
    listener: ListenerRequest,
    /// The client's connection permit.
    permit: Option<Permit>,
    /// The listener's permit of the server.
    seat: Permit,
    waiting: WaitingListener,
    timeout: Duration,
}

/// Maximum memory of a connection at the door in addition to its request head, in bytes.
pub(crate) const CONNECTION_MEMORY: usize = 16 * 1024;
/// How many requests of a client wait for a place in the queue of the control plane.
const MAX_QUEUEING: usize = 2;
/// How long a request waits for a place in the queue of the control plane before it is refused.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval at which it is checked whether a client whose body waits has left.
const BODY_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Interval at which the kernel is asked whether a client has acknowledged its last reply.
const ACK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Serves connections until they are closed or handed to the data plane or the control plane.
pub(crate) struct Dispatcher {
    /// The configuration in force.
    settings: Arc<ArcSwap<DoorSettings>>,
    table: Arc<MountTable>,
    admittance: Admittance,
    workers: Workers,
    control: mpsc::Sender<ControlConnection>,
    /// The requests of each client that wait for a place in the queue of the control plane.
    queueing: Arc<ConnectionQuotas>,
    /// The options that accepted sockets have.
    accepted: SocketOptions,
    clock: Clock,
}

impl Dispatcher {
    /// Creates a dispatcher that hands connections to `workers` and `control`. `accepted` are the
    /// options of the sockets.
    pub(crate) fn new(
        settings: Arc<ArcSwap<DoorSettings>>,
        table: Arc<MountTable>,
        admittance: Admittance,
        workers: Workers,
        control: mpsc::Sender<ControlConnection>,
        accepted: SocketOptions,
    ) -> Self {
        let (queueing, clock) = (Arc::default(), Clock::start());
        Self { settings, table, admittance, workers, control, queueing, accepted, clock }
    }

    /// Counts an accepted connection in the statistics.
    pub(super) fn count_connection(&self) {
        self.table.stats().connections.add(1);
    }

    /// The clock of the door's thread.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The client that a connection is attributed to before its request is known. `None` for a
    /// trusted proxy, which connects on behalf of any client.
    pub(super) fn client_before_request(&self, peer: SocketAddr) -> Option<IpAddr> {
        (!self.settings.load().trusts(peer.ip())).then(|| peer.ip())
    }

    /// Serves one connection until it is handed over or closed.
    pub(super) async fn serve(self: Rc<Self>, mut stream: TcpStream, peer: SocketAddr) {
        let _watch = self.clock.watch_for_stalls();
        let permit = self.admittance.take_peer_permit(peer.ip(), &self.settings.load());
        let mut permit = match permit {
            Ok(permit) => permit,
            Err(reply) => return self.refuse(stream, peer, &reply).await,
        };
        let (mut buffer, mut replied) = (Vec::new(), false);
        loop {
            // Copies the limits, because an idle connection must not keep an old configuration in
            // memory.
            let limits = self.settings.load().limits;
            let head = async {
                if replied {
                    self.wait_for_ack(&stream, !buffer.is_empty()).await;
                }
                read_head(&mut stream, &mut buffer, limits.request_head).await
            };
            let head = match self.clock.timeout(limits.head_timeout, head).await {
                Ok(Ok(head)) => head,
                Ok(Err(HeadError::Disconnected)) => return tcp::close(&stream),
                // Idle connections are closed without a reply.
                Err(_) if buffer.is_empty() => return tcp::close(&stream),
                Ok(Err(HeadError::Refused(reply))) => {
                    return self.refuse(stream, peer, &reply).await;
                }
                Err(_) => {
                    let seconds = limits.head_timeout.as_secs_f32();
                    let sentence = format!("The request was not complete after {seconds} s.");
                    return self.refuse(stream, peer, &Reply::new(408, sentence)).await;
                }
            };
            let request = Request::new(self.settings.load_full(), head, peer);
            match self.handle(request, &mut permit).await {
                RequestOutcome::Reply(bytes) => {
                    if tcp::answer(&mut stream, &bytes, &self.clock).await.is_err() {
                        return;
                    }
                    replied = true;
                }
                RequestOutcome::Wait(waiting) => {
                    buffer.shrink_to_fit();
                    // A task of its own: this one holds an admission slot, of which there are few.
                    spawn_local(async move {
                        let outcome = self.wait_for_source(*waiting, &stream).await;
                        self.finish(outcome, stream, buffer, peer).await;
                    });
                    return;
                }
                outcome => return self.finish(outcome, stream, buffer, peer).await,
            }
        }
    }

    /// Does what was decided, after which the door has nothing more to do with the connection.
    async fn finish(
        &self,
        outcome: RequestOutcome,
        stream: TcpStream,
        buffer: Vec<u8>,
        peer: SocketAddr,
    ) {
        match outcome {
            RequestOutcome::Reply(bytes) | RequestOutcome::ReplyAndClose(bytes) => {
                tcp::answer_and_finish(stream, &bytes, &self.clock).await;
            }
            RequestOutcome::DataPlane(handoff) => {
                let Ok(socket) = stream.into_std() else { return };
                let Err(refused) = self.workers.send(handoff(socket, buffer)) else { return };
                let socket = match refused {
                    Handoff::Source(source, _) => source.socket,
                    Handoff::Listener(listener, _) => listener.socket,
                };
                self.refuse_busy(socket, peer).await;
            }
            RequestOutcome::ControlPlane(connection) => {
                let place = self.place_in_queue(peer).await;
                let Ok(socket) = stream.into_std() else { return };
                match place {
                    Some(place) => place.send(connection(socket, buffer)),
                    None => self.refuse_busy(socket, peer).await,
                }
            }
            // Nothing waits twice.
            RequestOutcome::Wait(_) => tcp::close(&stream),
        }
    }

    /// A place in the queue of the control plane. If it is full, a few requests of each client wait for
    /// one, so that a client with many does not keep others away. `None` if none came free in time.
    async fn place_in_queue(
        &self,
        peer: SocketAddr,
    ) -> Option<mpsc::Permit<'_, ControlConnection>> {
        if let Ok(place) = self.control.try_reserve() {
            return Some(place);
        }
        let _permit = self.queueing.take(peer.ip(), MAX_QUEUEING)?;
        self.clock.timeout(QUEUE_TIMEOUT, self.control.reserve()).await.ok()?.ok()
    }

    /// Waits until the mount has a source, and decides the request then. Gives up after the mount's
    /// `demand_timeout`, or when the client has left.
    async fn wait_for_source(&self, waiting: WaitingRequest, stream: &TcpStream) -> RequestOutcome {
        let WaitingRequest { mut request, listener, mut permit, seat, waiting, timeout } = waiting;
        let mount = mount_of(&listener.name);
        let has_body = listener.delivery == WantedDelivery::WebRtc;
        let live = self.table.until(|| self.table.find(&mount).is_some());
        let is_live = tokio::select! {
            live = self.clock.timeout(timeout, live) => live.is_ok(),
            () = left(stream, has_body) => false,
        };
        let outcome = if is_live {
            drop(seat);
            // A reload may have happened meanwhile.
            request.settings = self.settings.load_full();
            match request.check_network() {
                Ok(()) => self.listener(&request, &listener, &mut permit).await,
                Err(reply) => Err(reply),
            }
        } else {
            let seconds = timeout.as_secs_f32();
            let sentence = format!("No source has begun to send within {seconds} s; try again.");
            Err(Reply::new(503, sentence).with("Retry-After", "10"))
        };
        // Held until here, so that the mount is wanted until the listener is counted as one.
        drop(waiting);
        match outcome {
            Ok(ListenerOutcome::Decided(outcome)) => outcome,
            Ok(ListenerOutcome::Idle(_)) => {
                let reply = Reply::new(503, "The source has stopped sending; try again.");
                self.refused(&request, &reply.with("Retry-After", "10"))
            }
            Err(reply) => self.refused(&request, &reply),
        }
    }

    /// Logs a refusal, and makes it the outcome.
    fn refused(&self, request: &Request, reply: &Reply) -> RequestOutcome {
        let what = (request.head.method(), request.loggable_path());
        self.log_refusal(request.peer, request.client.address, Some(what), reply);
        let bytes = if WhepPath::parse(&request.target.path).is_some() {
            request.render(&reply.clone().as_problem())
        } else {
            request.render(reply)
        };
        send_reply(bytes, request.keeps_connection())
    }

    /// Decides a request, checks it and takes its permits. Logs refusals.
    async fn handle(&self, request: Request, permit: &mut Option<Permit>) -> RequestOutcome {
        self.table.stats().requests.add(1);
        let decision = request
            .check_network()
            .and_then(|()| self.admittance.take_permit(&request, permit))
            .map_or_else(Decision::Reply, |()| decide(&request));
        let outcome = match decision {
            // The reply to OPTIONS is not a refusal.
            Decision::Reply(reply) if reply.status < 400 => {
                return send_reply(request.render(&reply), request.keeps_connection());
            }
            Decision::Reply(reply) => Err(reply),
            Decision::Source(source) => self.source(&request, *source, permit).await,
            Decision::Listener(listener) => {
                match self.listener(&request, &listener, permit).await {
                    Ok(ListenerOutcome::Decided(outcome)) => Ok(outcome),
                    Ok(ListenerOutcome::Idle(offer)) => {
                        match self.admittance.admit_waiting(&request, &offer) {
                            Ok((seat, waiting)) => {
                                let (permit, timeout) =
                                    (permit.take(), offer.settings().demand_timeout);
                                let waiting = WaitingRequest {
                                    request,
                                    listener,
                                    permit,
                                    seat,
                                    waiting,
                                    timeout,
                                };
                                return RequestOutcome::Wait(Box::new(waiting));
                            }
                            Err(reply) => Err(reply),
                        }
                    }
                    Err(reply) => Err(reply),
                }
            }
            Decision::EndSession(id) => {
                let whep = Box::new(WhepRequest::End(id));
                Ok(to_control_plane(&request, Resource::Whep(whep), permit))
            }
            Decision::Control(route) => {
                Ok(to_control_plane(&request, Resource::Route(route), permit))
            }
        };
        outcome.unwrap_or_else(|reply| self.refused(&request, &reply))
    }

    async fn source(
        &self,
        request: &Request,
        source: SourceRequest,
        permit: &mut Option<Permit>,
    ) -> Result<RequestOutcome, Reply> {
        let reservation = self.admittance.admit_source(request, &source, &self.clock).await?;
        let (peer, permit) = (request.peer, permit.take());
        let SourceRequest { framing: body, timing, description, .. } = source;
        Ok(RequestOutcome::DataPlane(Box::new(move |socket, read| {
            let source = SourceConnection {
                socket,
                read,
                body,
                timing,
                description,
                peer,
                permit,
                on_end: None,
            };
            Handoff::Source(Box::new(source), reservation)
        })))
    }

    /// Decides about a listener's request for a mount, or for an HLS file of one.
    async fn listener(
        &self,
        request: &Request,
        listener: &ListenerRequest,
        permit: &mut Option<Permit>,
    ) -> Result<ListenerOutcome, Reply> {
        let mount = mount_of(&listener.name);
        let entry = self.table.find(&listener.name).or_else(|| self.table.find(&mount));
        let Some(entry) = entry else {
            // HEAD does not wake a source, and neither does what wants the past.
            let wakes = listener.delivery != WantedDelivery::HeadOnly
                && listener.clip.is_none()
                && listener.at.is_none();
            let Some(offer) = self.table.offered(&mount).filter(|_| wakes) else {
                if listener.delivery == WantedDelivery::WebRtc {
                    return Err(Reply::new(404, "No source is sending to this mount."));
                }
                // The path may name a playlist, which the control plane serves.
                let outcome = to_control_plane(request, Resource::Route(None), permit);
                return Ok(ListenerOutcome::Decided(outcome));
            };
            self.admittance.check_ban(request, &mount)?;
            self.admittance
                .guards
                .check_access(request, &mount, &offer.settings(), &self.clock)
                .await?;
            return Ok(ListenerOutcome::Idle(offer));
        };
        self.admittance.check_ban(request, &entry.name)?;
        let settings = entry.settings_arc();
        let until = self
            .admittance
            .guards
            .check_access(request, &entry.name, &settings, &self.clock)
            .await?;
        Admittance::check_loop(request, &entry)?;
        let outcome = if let Some(path) = hls_path(&listener.name, &entry) {
            let hls = self.admittance.admit_hls(request, path, &entry, until)?;
            to_control_plane(request, Resource::Hls(Box::new(hls)), permit)
        } else if let Some(span) = listener.clip {
            let head_only = listener.delivery == WantedDelivery::HeadOnly;
            let clip = self.admittance.admit_clip(request, (span, head_only), &entry, until)?;
            to_control_plane(request, Resource::Clip(Box::new(clip)), permit)
        } else if listener.delivery == WantedDelivery::WebRtc {
            let listener = self.admittance.admit_webrtc(request, &entry, until)?;
            let whep = WhepRequest::Offer(Some(listener));
            to_control_plane(request, Resource::Whep(Box::new(whep)), permit)
        } else if listener.delivery == WantedDelivery::HeadOnly {
            let stream = entry.stream();
            let via = listener.is_relay;
            let head = stream.map_or_else(Vec::new, |stream| response_head(&entry, &stream, via));
            RequestOutcome::ReplyAndClose(head)
        } else {
            let (delivery, session) =
                self.admittance.admit_listener(request, listener, &entry, until, permit.take())?;
            let send_buffer = request.settings.limits.listener_send_buffer;
            let options = Some(self.accepted);
            RequestOutcome::DataPlane(Box::new(move |socket, _| {
                let listener =
                    ListenerConnection { socket, delivery, send_buffer, options, session };
                Handoff::Listener(Box::new(listener), entry)
            }))
        };
        Ok(ListenerOutcome::Decided(outcome))
    }

    /// Waits until the client has sent more bytes, unless `has_bytes`, and has acknowledged the
    /// last reply. Replies that the client does not read must not accumulate in the kernel.
    async fn wait_for_ack(&self, stream: &TcpStream, has_bytes: bool) {
        if !has_bytes && stream.readable().await.is_err() {
            return;
        }
        while tcp::unacknowledged(stream).is_ok_and(|bytes| bytes > 0) {
            sleep(ACK_POLL_INTERVAL).await;
        }
    }

    /// Logs a refusal, sends it and closes the connection.
    pub(super) async fn refuse(&self, stream: TcpStream, peer: SocketAddr, reply: &Reply) {
        self.log_refusal(peer, peer.ip(), None, reply);
        let bytes = reply.render(Version::Http10, false, true);
        tcp::answer_and_finish(stream, &bytes, &self.clock).await;
    }

    fn log_refusal(
        &self,
        peer: SocketAddr,
        client: IpAddr,
        request: Option<(&str, &str)>,
        reply: &Reply,
    ) {
        self.table.stats().refused.note(reply.status);
        refusals::log(peer, client, request, reply);
    }

    async fn refuse_busy(&self, socket: std::net::TcpStream, peer: SocketAddr) {
        if let Ok(stream) = TcpStream::from_std(socket) {
            self.refuse(stream, peer, &busy()).await;
        }
    }
}

/// The mount that a path is of: a file of HLS is below its mount.
fn mount_of(name: &Name) -> Name {
    HlsPath::parse(name.as_str()).map_or_else(|| name.clone(), |path| path.mount)
}

/// The HLS file that a path names. `None` if it names the mount itself.
fn hls_path(name: &Name, entry: &MountEntry) -> Option<HlsPath> {
    if entry.name == *name { None } else { HlsPath::parse(name.as_str()) }
}

/// Resolves when the client has closed its connection; or when it sends more, unless that is the
/// body of its request.
async fn left(stream: &TcpStream, has_body: bool) {
    if !has_body {
        // What it sends is not for us: no request follows one for a stream.
        let _ = stream.peek(&mut [0]).await;
        return;
    }
    while stream.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        sleep(BODY_POLL_INTERVAL).await;
    }
}

fn send_reply(bytes: Vec<u8>, keep: bool) -> RequestOutcome {
    if keep { RequestOutcome::Reply(bytes) } else { RequestOutcome::ReplyAndClose(bytes) }
}

fn to_control_plane(
    request: &Request,
    resource: Resource,
    permit: &mut Option<Permit>,
) -> RequestOutcome {
    let (head, target) = (request.head.clone(), request.target.clone());
    let (client, permit) = (request.client, permit.take());
    RequestOutcome::ControlPlane(Box::new(move |socket, mut read| {
        read.shrink_to_fit();
        ControlConnection { socket, head, target, resource, read, client, permit }
    }))
}

/// The reply when a limit or a queue leaves no room for a connection.
pub(super) fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "1")
}
