//! Where requests are taken, each served by a task of its own: one answer and the end, or events for as long as
//! their reader likes.
//!
//! A request holds its place until its client has acknowledged the answer, so that the kernel holds no more answers
//! than there are places. A client that takes nothing of its answer is reset.

use std::cell::{Cell, OnceCell, RefCell};
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue, SERVER as SERVER_FIELD,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::sleep;

use super::request::RequestContext;
use super::response::{HttpResponse, document, json_error, plain, stream};
use super::sse::{EventLog, Subscriber};
use super::tracked_socket::TrackedSocket;
use super::{
    Control, ControlConnection, MAX_READERS, MAX_REFUSING, MAX_REQUESTS, SEND_BUFFER, buffer, page,
    status_json,
};
use crate::client::{Admission, AdmissionSlot, Full, WhenFull};
use crate::client_addr::ClientAddr;
use crate::clock::Clock;
use crate::http::{Reply, SERVER, Version, allowed, path_and_query, redacted_path};
use crate::log::refusals;
use crate::platform::Heartbeat;
use crate::quota::Quota;
use crate::tcp;

/// How long a client may take nothing of its answer.
const ANSWER_STALLED: Duration = Duration::from_secs(30);
/// The same of events.
const EVENTS_STALLED: Duration = Duration::from_secs(10);
/// How long a request waits for a place before it is refused.
const WAIT: Duration = Duration::from_secs(1);
/// How often it looks for one.
const LOOK: Duration = Duration::from_millis(50);
/// The type that Prometheus asks for.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The type of server-sent events.
const EVENTS: &str = "text/event-stream";

/// What all requests share.
struct ControlServer {
    control: Control,
    event_log: EventLog,
    /// Requests that are being answered.
    requests: Rc<Admission>,
    /// Those who read events.
    readers: Rc<Admission>,
    /// Requests that found no place, and wait for one or are being told so.
    refusing: Arc<Quota>,
    clock: Clock,
}

/// A request that is being served.
#[derive(Default)]
struct Serving {
    task: OnceCell<AbortHandle>,
    /// Its place, until it becomes a reader of events.
    permit: RefCell<Option<AdmissionSlot>>,
}

/// Serves what comes until `stop` turns true; beats while it takes requests.
pub(super) async fn serve(
    control: Control,
    mut connections: mpsc::Receiver<ControlConnection>,
    mut heartbeat: Heartbeat,
    mut stop: watch::Receiver<bool>,
) {
    page::prepare();
    let server = Rc::new(ControlServer {
        control,
        event_log: EventLog::new(),
        requests: Admission::new(MAX_REQUESTS, WhenFull::RefuseNewest),
        readers: Admission::new(MAX_READERS, WhenFull::RefuseNewest),
        refusing: Arc::default(),
        clock: Clock::start(),
    });
    let serve = async {
        while let Some(connection) = heartbeat.during(connections.recv()).await {
            Rc::clone(&server).take(connection);
        }
    };
    LocalSet::new()
        .run_until(async {
            tokio::select! {
                () = serve => {}
                () = server.event_log.watch(&server.control.table) => {}
                () = server.clock.beat() => {}
                _ = stop.wait_for(|&stop| stop) => {}
            }
        })
        .await;
}

impl ControlServer {
    /// Serves a request, if there is a place for it or will be in a moment.
    fn take(self: Rc<Self>, connection: ControlConnection) {
        if let Ok(permit) = self.requests.admit(client_of(connection.client)) {
            return self.spawn(connection, permit);
        }
        // Dropped, and so reset, where there are too many of these already.
        let Some(permit) = self.refusing.take(MAX_REFUSING) else { return };
        spawn_local(async move {
            match self.wait_for_place(client_of(connection.client)).await {
                Some(permit) => Rc::clone(&self).spawn(connection, permit),
                None => self.refuse(connection).await,
            }
            drop(permit);
        });
    }

    fn spawn(self: Rc<Self>, connection: ControlConnection, permit: AdmissionSlot) {
        let (server, id, request) = (Rc::clone(&self), permit.id(), Rc::<Serving>::default());
        request.permit.replace(Some(permit));
        let own = Rc::clone(&request);
        let task = spawn_local(async move { server.attend(connection, &own).await });
        self.requests.held_by(id, task.abort_handle());
        // It is set once, here.
        let _ = request.task.set(task.abort_handle());
    }

    /// Most requests take milliseconds: a browser that asks for many files at once need not be refused.
    async fn wait_for_place(&self, client: Option<IpAddr>) -> Option<AdmissionSlot> {
        let end = self.clock.now().checked_add(WAIT)?;
        while self.clock.now() < end {
            sleep(LOOK).await;
            if let Ok(permit) = self.requests.admit(client) {
                return Some(permit);
            }
        }
        None
    }

    async fn refuse(&self, connection: ControlConnection) {
        let Ok(socket) = TcpStream::from_std(connection.socket) else { return };
        let reply = busy();
        self.control.table.stats().refused.note(reply.status);
        refusals::log(connection.client.address, connection.client.address, "", &reply);
        let answer = reply.render(Version::Http11, false, true);
        tcp::answer_and_finish(socket, &answer, &self.clock).await;
    }

    async fn attend(&self, connection: ControlConnection, request: &Serving) {
        let ControlConnection { socket, read, client, permit } = connection;
        // What the kernel holds for a slow reader is bounded as for listeners.
        if SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER).is_err() {
            return;
        }
        let Ok(socket) = TcpStream::from_std(socket) else { return };
        let (connection, stream) = TrackedSocket::new(socket, read);
        let (to_feed, place) = oneshot::channel();
        let to_feed = Cell::new(Some(to_feed));
        let service = service_fn(|asked: Request<Incoming>| {
            let to_feed = &to_feed;
            async move {
                let (answer, place) = self.answer(&asked, client).await;
                if let (Some(place), Some(to_feed)) = (place, to_feed.take()) {
                    // If the receiver is gone, the connection is closed and there is no stream to start.
                    let _ = to_feed.send(place);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            // Some clients end their side with the request, and wait for the answer.
            .half_close(true)
            .max_buf_size(buffer(self.control.settings.load().request_head))
            .serve_connection(TokioIo::new(stream), service);
        let feed = async {
            let Ok(place) = place.await else { return std::future::pending().await };
            if let Some(task) = request.task.get() {
                self.readers.held_by(place.id(), task.clone());
            }
            // It has a place among the readers now.
            request.permit.take();
            tokio::select! {
                () = self.event_log.serve(place, &self.control.table) => {}
                () = connection.stalls(EVENTS_STALLED, &self.clock) => {}
            }
        };
        // What goes wrong between a client and its answer is the client's affair, and nobody is left to be
        // told of an answer that was not taken.
        tokio::select! {
            _ = served => {
                // What is left to be done is for the server's own sake.
                drop(permit);
                tcp::finish(&connection.socket, &self.clock).await;
            }
            () = feed => {}
            () = connection.stalls(ANSWER_STALLED, &self.clock) => {}
        }
    }

    /// The answer to a request, and the place of a reader of events; the request's body is not needed by any of them.
    async fn answer<B>(
        &self,
        request: &Request<B>,
        client: ClientAddr,
    ) -> (HttpResponse, Option<Subscriber>) {
        let control = &self.control;
        control.table.stats().control.add(1);
        let target = request.uri().to_string();
        let asked = path_and_query(&target, &control.settings.load().prefix);
        let mut place = None;
        let mut answer = match &asked {
            Ok((path, query)) => {
                let request = RequestContext {
                    method: request.method(),
                    path,
                    query,
                    fields: request.headers(),
                    target: request.uri(),
                    client,
                };
                let answer = self.page(&request, &mut place).await;
                answer.unwrap_or_else(|reply| {
                    control.table.stats().refused.note(reply.status);
                    refusals::log(client.address, client.address, redacted_path(path), &reply);
                    if path.starts_with("/api/") { json_error(&reply) } else { plain(&reply) }
                })
            }
            Err(reply) => plain(reply),
        };
        let fields = answer.headers_mut();
        fields.insert(SERVER_FIELD, HeaderValue::from_static(SERVER));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, no-store"));
        if !asked.is_ok_and(|(path, _)| path.starts_with("/admin")) {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        (answer, place)
    }

    async fn page(
        &self,
        request: &RequestContext<'_>,
        place: &mut Option<Subscriber>,
    ) -> Result<HttpResponse, Reply> {
        let control = &self.control;
        let is_admin = request.path == "/admin" || request.path.starts_with("/admin/");
        match *request.method {
            Method::GET | Method::HEAD => {}
            Method::POST if is_admin => {}
            _ => {
                let sentence = "Only GET and HEAD are understood here.";
                return Err(Reply::new(405, sentence).with("Allow", allowed(request.path)));
            }
        }
        if let Some(answer) = control.listening_page(request) {
            return Ok(answer);
        }
        match request.path {
            // Where Icecast has its page for people.
            "/status.xsl" => {
                let there = Reply::new(302, "The page for people is here.").with("Location", "./");
                Ok(plain(&there))
            }
            "/healthz" => Ok(document("text/plain; charset=utf-8", "ok\n")),
            "/status-json.xsl" => {
                let status =
                    status_json(&control.station(request), &control.table.public_streams());
                Ok(document("application/json; charset=UTF-8", status))
            }
            "/metrics" => control
                .metrics
                .render()
                .map(|text| document(METRICS, text))
                .map_err(|error| Reply::new(500, error.to_string())),
            "/api/v1/events" => self.events(request, place),
            _ if is_admin => control.administer(request).await,
            path => match path.strip_prefix("/api/") {
                Some(what) => control.api(what, request),
                None => control.elsewhere(request),
            },
        }
    }

    fn events(
        &self,
        request: &RequestContext<'_>,
        place: &mut Option<Subscriber>,
    ) -> Result<HttpResponse, Reply> {
        let last = request.fields.get("last-event-id").and_then(|last| last.to_str().ok());
        let mut answer = if request.method == Method::GET {
            let permit = self.readers.admit(client_of(request.client)).map_err(|Full| busy())?;
            let (joined, body) = self.event_log.join(last, permit);
            *place = Some(joined);
            stream(EVENTS, body)
        } else {
            // HEAD gets no events and needs no place.
            document(EVENTS, "")
        };
        // Some proxies would gather events before they pass them on.
        answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(answer)
    }
}

/// Who is counted for a request, if that is known.
fn client_of(client: ClientAddr) -> Option<IpAddr> {
    (!client.is_proxy).then_some(client.address)
}

fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "2")
}
