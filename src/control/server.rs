//! The control plane's HTTP server. A task per connection serves one request and closes the
//! connection.
//!
//! A request holds its admission slot until its client has acknowledged the response, which limits
//! the responses in kernel memory. A client that does not read its response is reset.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue, SERVER as SERVER_FIELD, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::clip::{self, ClipRequest, ClipTags};
use super::endpoints::{AwaitedBody, Control, EndpointResult};
use super::hls::{HlsFiles, HlsRequest};
use super::limits::{MAX_REFUSED_REQUESTS, MAX_REQUESTS, RESPONSE_SEND_BUFFER, buffer};
use super::request::{RequestContext, URL_FIELDS};
use super::response::{HttpResponse, document, json_error, plain, stream};
use super::sse::{EventLog, MAX_SUBSCRIBERS, Subscriber};
use super::tracked_socket::TrackedSocket;
use super::waiter::{MAX_WAITING_REQUESTS, RequestTask, Waiter};
use super::whep::WhepRequest;
use crate::client::{Admission, AdmissionSlot, Full, WhenFull};
use crate::client_addr::ClientAddr;
use crate::clock::Clock;
use crate::hls::HlsListeners;
use crate::http::{Reply, RequestHead, RequestTarget, SERVER, Version, redacted_path};
use crate::log::refusals;
use crate::platform::Heartbeat;
use crate::quota::{Permit, Quota};
use crate::routes::Route;
use crate::tcp;

/// A client that acknowledges nothing of its response for this long is disconnected.
const RESPONSE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// An event subscriber that acknowledges nothing for this long is disconnected.
const EVENT_STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request waits for a slot before it is refused.
const SLOT_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval at which admission is tried again during [`SLOT_TIMEOUT`].
const SLOT_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Content type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// A connection that the door hands to the control plane.
#[derive(Debug)]
pub(crate) struct ControlConnection {
    /// The socket.
    pub socket: std::net::TcpStream,
    /// The request head.
    pub head: RequestHead,
    /// The target of the request.
    pub target: RequestTarget,
    /// What the request is for.
    pub resource: Resource,
    /// Bytes that the door has read after the head.
    pub read: Vec<u8>,
    /// The client's address.
    pub client: ClientAddr,
    /// The client's connection permit, freed when the connection ends.
    pub permit: Option<Permit>,
}

/// What a request to the control plane is for.
#[derive(Debug)]
pub(crate) enum Resource {
    /// The route of the path; `None` if the path is not in the route table.
    Route(Option<&'static Route>),
    /// An HLS file of a mount, to which the client was admitted.
    Hls(Box<HlsRequest>),
    /// A clip of a mount, to which the client was admitted.
    Clip(Box<ClipRequest>),
    /// A listener by WebRTC, which was admitted to its mount.
    Whep(Box<WhepRequest>),
}

/// What a request's head leads to.
enum Prepared {
    /// This response.
    Response(HttpResponse),
    /// This response, whose body are the events for a subscriber.
    Events(HttpResponse, Subscriber),
    /// A response that depends on the body of the request.
    AwaitedBody(Box<PreparedBody>),
}

/// A request whose body is to be read.
struct PreparedBody {
    awaited: AwaitedBody,
    /// The path, for a refusal.
    path: String,
    client: ClientAddr,
    resource: Resource,
}

/// State that all requests share.
struct ControlServer {
    control: Control,
    event_log: EventLog,
    /// Slots of requests that are being served.
    requests: Rc<Admission>,
    /// Slots of event subscribers.
    subscribers: Rc<Admission>,
    /// Slots of requests that wait.
    waiting: Rc<Admission>,
    hls: HlsFiles,
    /// Counts requests that wait for a slot or are being sent a 503.
    refusing: Arc<Quota>,
    clock: Clock,
}

/// Serves connections until `stop` becomes true. `heartbeat` shows that the receive loop advances.
/// Runs on a [`LocalRuntime`](tokio::runtime::LocalRuntime).
pub(crate) async fn serve(
    control: Control,
    hls_listeners: Arc<HlsListeners>,
    mut connections: mpsc::Receiver<ControlConnection>,
    heartbeat: Heartbeat,
    mut stop: watch::Receiver<bool>,
) {
    let server = Rc::new(ControlServer {
        hls: HlsFiles::new(Arc::clone(&control.table), Arc::clone(&hls_listeners)),
        control,
        event_log: EventLog::new(),
        requests: Admission::new(MAX_REQUESTS, WhenFull::RefuseNewest),
        subscribers: Admission::new(MAX_SUBSCRIBERS, WhenFull::RefuseNewest),
        waiting: Admission::new(MAX_WAITING_REQUESTS, WhenFull::RefuseNewest),
        refusing: Arc::default(),
        clock: Clock::start(),
    });
    let serve = async {
        while let Some(connection) = heartbeat.during(connections.recv()).await {
            Rc::clone(&server).admit(connection);
        }
    };
    tokio::select! {
        () = serve => {}
        () = server.event_log.watch(&server.control.table, server.control.detections.log()) => {}
        () = server.clock.beat() => {}
        () = hls_listeners.expire() => {}
        _ = stop.wait_for(|&stop| stop) => {}
    }
}

impl ControlServer {
    /// Serves a request if it gets a slot within [`SLOT_TIMEOUT`], otherwise refuses it.
    fn admit(self: Rc<Self>, connection: ControlConnection) {
        let client = client_of(connection.client);
        if let Ok(slot) = self.requests.admit(client) {
            return self.spawn(connection, slot);
        }
        // Returning here drops the connection, which resets it (SO_LINGER is 0).
        let Some(permit) = self.refusing.take(MAX_REFUSED_REQUESTS) else { return };
        spawn_local(async move {
            match self.wait_for_slot(client).await {
                Some(slot) => Rc::clone(&self).spawn(connection, slot),
                None => self.refuse(connection).await,
            }
            drop(permit);
        });
    }

    fn spawn(self: Rc<Self>, connection: ControlConnection, slot: AdmissionSlot) {
        let server = Rc::clone(&self);
        let request = Rc::new(RequestTask::new());
        let request_of_task = Rc::clone(&request);
        let task = spawn_local(async move { server.serve(connection, &request_of_task).await });
        request.set(task.abort_handle());
        request.hold(&self.requests, slot);
    }

    /// Waits for a slot. Most requests take milliseconds, so a browser that requests many files at
    /// once gets all of them.
    async fn wait_for_slot(&self, client: Option<IpAddr>) -> Option<AdmissionSlot> {
        let _watch = self.clock.watch_for_stalls();
        let deadline = self.clock.now().checked_add(SLOT_TIMEOUT)?;
        while self.clock.now() < deadline {
            sleep(SLOT_POLL_INTERVAL).await;
            if let Ok(slot) = self.requests.admit(client) {
                return Some(slot);
            }
        }
        None
    }

    async fn refuse(&self, connection: ControlConnection) {
        let Ok(socket) = TcpStream::from_std(connection.socket) else { return };
        let reply = busy();
        self.control.table.stats().refused.note(reply.status);
        refusals::log(connection.client.address, connection.client.address, None, &reply);
        let bytes = reply.render(Version::Http11, false, true);
        tcp::answer_and_finish(socket, &bytes, &self.clock).await;
    }

    async fn serve(&self, connection: ControlConnection, request: &RequestTask) {
        let ControlConnection { socket, head, target, resource, read, client, permit } = connection;
        // Limits the kernel memory for a client that reads slowly.
        if SockRef::from(&socket).set_send_buffer_size(RESPONSE_SEND_BUFFER).is_err() {
            return;
        }
        let local = local_address(&socket, client);
        let Ok(socket) = TcpStream::from_std(socket) else { return };
        let context = RequestContext::new(&head, &target, client);
        let mut waiter = Waiter::new((&self.requests, &self.waiting), request, client_of(client));
        let prepared = self.respond(&context, resource, local, &mut waiter).await;
        waiter.finish();
        let (response, subscriber, awaited) = match prepared {
            Prepared::Response(response) => (Some(response), None, None),
            Prepared::Events(response, subscriber) => (Some(response), Some(subscriber), None),
            Prepared::AwaitedBody(awaited) => (None, None, Some(awaited)),
        };
        // Frees the index and the target: hyper needs only the bytes.
        let head = head.into_bytes();
        drop(target);
        if let Some(subscriber) = &subscriber {
            request.exchange(&self.subscribers, subscriber.id());
        }
        let (connection, stream) = TrackedSocket::new(socket, head, read);
        // hyper parses the head again, but only to frame the bodies: what the head leads to is known.
        let (response, awaited) = (Cell::new(response), Cell::new(awaited));
        let service = service_fn(|request: Request<Incoming>| {
            let (response, awaited) = (response.take(), awaited.take());
            // What is rare is boxed: each request has room for all of its task.
            async {
                let response = match (response, awaited) {
                    (Some(response), _) => response,
                    (None, Some(awaited)) => {
                        Box::pin(self.take(*awaited, request.into_body())).await
                    }
                    (None, None) => plain(&busy()),
                };
                Ok::<_, Infallible>(response)
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            // Some clients shut down their sending side after the request.
            .half_close(true)
            .max_buf_size(buffer(self.control.settings.load().limits.request_head))
            .serve_connection(TokioIo::new(stream), service);
        let send_events = async {
            let Some(subscriber) = subscriber else { return std::future::pending().await };
            tokio::select! {
                () = self.event_log.serve(subscriber, &self.control.table) => {}
                () = connection.wait_for_stall(EVENT_STALL_TIMEOUT, &self.clock) => {}
            }
        };
        // An error of `served` means that the client has disconnected.
        tokio::select! {
            _ = served => {
                // Freed before the connection is closed, so that the client may open another one.
                drop(permit);
                tcp::finish(&connection.socket, &self.clock).await;
            }
            () = send_events => {}
            () = connection.wait_for_stall(RESPONSE_STALL_TIMEOUT, &self.clock) => {}
        }
    }

    /// Generates the response to a request, and a subscriber if it is for events.
    async fn respond(
        &self,
        request: &RequestContext<'_>,
        mut resource: Resource,
        local: Option<IpAddr>,
        waiter: &mut Waiter<'_>,
    ) -> Prepared {
        let control = &self.control;
        control.table.stats().control.add(1);
        let prepare = |awaited, resource| {
            let (path, client) = (request.target.path.to_string(), request.client);
            Prepared::AwaitedBody(Box::new(PreparedBody { awaited, path, client, resource }))
        };
        let mut subscriber = None;
        let result = match &mut resource {
            Resource::Hls(hls) => self.hls.respond(request, hls, waiter).await,
            Resource::Clip(clip) => {
                let settings = &control.settings.load();
                let tags = ClipTags { settings, detections: control.detections.log() };
                clip::respond(request, clip, &tags)
            }
            Resource::Whep(whep) => match &mut **whep {
                WhepRequest::End(id) => Box::pin(control.whep.end(*id, &self.clock)).await,
                WhepRequest::Offer(listener) => {
                    // Each request is prepared once.
                    let listener = listener.take().ok_or_else(busy);
                    match listener.and_then(|listener| control.whep.admit(listener, local)) {
                        Ok(offer) => return prepare(AwaitedBody::Offer(Box::new(offer)), resource),
                        Err(reply) => Err(reply),
                    }
                }
            },
            Resource::Route(route) => match control.respond(request, *route, waiter).await {
                Ok(EndpointResult::Document(response)) => Ok(response),
                Ok(EndpointResult::Events) => self.subscribe(request).map(|(response, new)| {
                    subscriber = new;
                    response
                }),
                Ok(EndpointResult::Submission(submission)) => {
                    return prepare(AwaitedBody::Detections(submission), resource);
                }
                Err(reply) => Err(reply),
            },
        };
        let response = self.complete(
            result,
            (request.head.method(), &request.target.path),
            request.client,
            &resource,
        );
        match subscriber {
            Some(subscriber) => Prepared::Events(response, subscriber),
            None => Prepared::Response(response),
        }
    }

    /// Reads the body of a request, and generates the response to it.
    async fn take(&self, prepared: PreparedBody, body: Incoming) -> HttpResponse {
        let PreparedBody { awaited, path, client, resource } = prepared;
        let body = read_body(body, awaited.max_body());
        let body = self.clock.timeout(BODY_TIMEOUT, body).await.unwrap_or_else(|_| {
            let seconds = BODY_TIMEOUT.as_secs();
            Err(Reply::new(408, format!("The body was not complete after {seconds} s.")))
        });
        let result = match body {
            Ok(body) => self.control.take(awaited, &body, &self.clock).await,
            Err(reply) => Err(reply),
        };
        self.complete(result, ("POST", &path), client, &resource)
    }

    /// Makes a response of a result, with the header fields that all responses have. Logs a refusal.
    fn complete(
        &self,
        result: Result<HttpResponse, Reply>,
        (method, path): (&str, &str),
        client: ClientAddr,
        resource: &Resource,
    ) -> HttpResponse {
        let control = &self.control;
        let mut response = result.unwrap_or_else(|reply| {
            control.table.stats().refused.note(reply.status);
            let what = Some((method, redacted_path(path)));
            refusals::log(client.address, client.address, what, &reply);
            match resource {
                Resource::Whep(_) => plain(&reply.as_problem()),
                _ if path.starts_with("/api/") => json_error(&reply),
                _ => plain(&reply),
            }
        });
        let allow_origin = match resource {
            Resource::Hls(hls) => hls.allow_origin.clone(),
            Resource::Clip(clip) => clip.allow_origin.clone(),
            Resource::Route(_) | Resource::Whep(_) => control.settings.load().allow_origin.clone(),
        };
        let fields = response.headers_mut();
        fields.insert(SERVER_FIELD, HeaderValue::from_static(SERVER));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, no-store"));
        // Keeps a cache that stores it all the same from answering one client with another's URLs.
        // Those in an HLS playlist are relative.
        if matches!(resource, Resource::Route(_)) {
            fields.entry(VARY).or_insert(HeaderValue::from_static(URL_FIELDS));
        }
        if !path.starts_with("/admin")
            && let Ok(origin) = HeaderValue::from_str(&allow_origin)
        {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        response
    }

    fn subscribe(
        &self,
        request: &RequestContext<'_>,
    ) -> Result<(HttpResponse, Option<Subscriber>), Reply> {
        // The response to HEAD has no body, so it needs no slot.
        let (mut response, subscriber) = if request.head.method() == "HEAD" {
            (document(EVENT_STREAM, ""), None)
        } else {
            let slot = self.subscribers.admit(client_of(request.client)).map_err(|Full| busy())?;
            let last_event_id = request.head.field("last-event-id");
            let (subscriber, body) = self.event_log.subscribe(last_event_id, slot);
            (stream(EVENT_STREAM, body), Some(subscriber))
        };
        // Keeps nginx from buffering events.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok((response, subscriber))
    }
}

/// The client to which admission attributes a request, if it is known.
fn client_of(client: ClientAddr) -> Option<IpAddr> {
    (!client.is_proxy).then_some(client.address)
}

/// The address by which a client has reached this server. `None` if a proxy on this machine has.
fn local_address(socket: &std::net::TcpStream, client: ClientAddr) -> Option<IpAddr> {
    let address = socket.local_addr().ok()?.ip().to_canonical();
    let is_of_proxy = client.behind_proxy() && address.is_loopback();
    (!is_of_proxy).then_some(address)
}

/// Reads the body of a request. Each piece is copied, because it may be a single byte that keeps a whole
/// buffer of hyper's in memory.
///
/// # Errors
/// The reply to send if it is too long, or if the client has left.
async fn read_body(mut body: Incoming, most: usize) -> Result<Vec<u8>, Reply> {
    let mut bytes = Vec::with_capacity(most);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Reply::new(400, "The body is not complete."))?;
        // Trailers have no data.
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len() + piece.len() > most {
            let sentence = format!("The body has more than {} KiB.", most / 1024);
            return Err(Reply::new(413, sentence));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "2")
}
