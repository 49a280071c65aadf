//! The control plane's HTTP server: one task for each connection, which serves one request and closes.
//!
//! A request holds its slot until its client has acknowledged the response, so the kernel holds no more
//! responses than there are slots. A client that reads nothing of its response is reset.

use std::cell::{Cell, OnceCell, RefCell};
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue, SERVER as SERVER_FIELD,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::sleep;

use super::endpoints::{Answer, Control};
use super::limits::{MAX_REFUSING, MAX_REQUESTS, SEND_BUFFER, buffer};
use super::page;
use super::request::RequestContext;
use super::response::{HttpResponse, document, json_error, plain, stream};
use super::sse::{EventLog, MAX_SUBSCRIBERS, Subscriber};
use super::tracked_socket::TrackedSocket;
use crate::client::{Admission, AdmissionSlot, Full, WhenFull};
use crate::client_addr::ClientAddr;
use crate::clock::Clock;
use crate::http::{Reply, RequestHead, SERVER, Target, Version, redacted_path};
use crate::log::refusals;
use crate::platform::Heartbeat;
use crate::quota::{Permit, Quota};
use crate::routes::Route;
use crate::tcp;

/// How long a client may take nothing of its answer.
const ANSWER_STALLED: Duration = Duration::from_secs(30);
/// The same of events.
const EVENTS_STALLED: Duration = Duration::from_secs(10);
/// How long a request waits for a slot before it is refused.
const SLOT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it looks for one.
const SLOT_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The type of server-sent events.
const EVENTS: &str = "text/event-stream";

/// A connection whose request the control plane answers.
#[derive(Debug)]
pub(crate) struct ControlConnection {
    /// The connection.
    pub socket: std::net::TcpStream,
    /// The request's head.
    pub head: RequestHead,
    /// Its target.
    pub target: Target,
    /// What answers it; `None` for a path that is not the server's own.
    pub route: Option<&'static Route>,
    /// Bytes that the door has read after the head.
    pub read: Vec<u8>,
    /// The client.
    pub client: ClientAddr,
    /// The client's connection permit, freed when the connection ends.
    pub permit: Option<Permit>,
}

/// What all requests share.
struct ControlServer {
    control: Control,
    event_log: EventLog,
    /// Requests that are being answered.
    requests: Rc<Admission>,
    /// Those that read events.
    subscribers: Rc<Admission>,
    /// Requests that found no place, and wait for one or are being told so.
    refusing: Arc<Quota>,
    clock: Clock,
}

/// A request that is being served.
#[derive(Default)]
struct Serving {
    task: OnceCell<AbortHandle>,
    /// Its slot, until it becomes a subscriber to events.
    slot: RefCell<Option<AdmissionSlot>>,
}

/// Serves what comes until `stop` turns true; beats while it takes requests.
pub(crate) async fn serve(
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
        subscribers: Admission::new(MAX_SUBSCRIBERS, WhenFull::RefuseNewest),
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
    /// Serves a request, if there is a slot for it or will be in a moment.
    fn take(self: Rc<Self>, connection: ControlConnection) {
        let client = client_of(connection.client);
        if let Ok(slot) = self.requests.admit(client) {
            return self.spawn(connection, slot);
        }
        // Beyond this limit the connection is dropped, and so reset.
        let Some(permit) = self.refusing.take(MAX_REFUSING) else { return };
        spawn_local(async move {
            match self.wait_for_slot(client).await {
                Some(slot) => Rc::clone(&self).spawn(connection, slot),
                None => self.refuse(connection).await,
            }
            drop(permit);
        });
    }

    fn spawn(self: Rc<Self>, connection: ControlConnection, slot: AdmissionSlot) {
        let (server, id, request) = (Rc::clone(&self), slot.id(), Rc::<Serving>::default());
        request.slot.replace(Some(slot));
        let own = Rc::clone(&request);
        let task = spawn_local(async move { server.attend(connection, &own).await });
        self.requests.held_by(id, task.abort_handle());
        // It is set once, here.
        let _ = request.task.set(task.abort_handle());
    }

    /// Waits for a slot. Most requests take milliseconds, so a browser that asks for many files at once
    /// gets all of them.
    async fn wait_for_slot(&self, client: Option<IpAddr>) -> Option<AdmissionSlot> {
        let end = self.clock.now().checked_add(SLOT_TIMEOUT)?;
        while self.clock.now() < end {
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
        refusals::log(connection.client.address, connection.client.address, "", &reply);
        let bytes = reply.render(Version::Http11, false, true);
        tcp::answer_and_finish(socket, &bytes, &self.clock).await;
    }

    async fn attend(&self, connection: ControlConnection, request: &Serving) {
        let ControlConnection { socket, head, target, route, read, client, permit } = connection;
        // What the kernel holds for a slow reader is bounded as for listeners.
        if SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER).is_err() {
            return;
        }
        let Ok(socket) = TcpStream::from_std(socket) else { return };
        let (response, subscriber) =
            self.answer(&RequestContext::new(&head, &target, route, client)).await;
        // While the response is on its way, only the head's bytes are needed.
        let head = head.into_bytes();
        drop(target);
        if let (Some(subscriber), Some(task)) = (&subscriber, request.task.get()) {
            // It has a slot among the subscribers now.
            self.subscribers.held_by(subscriber.id(), task.clone());
            request.slot.take();
        }
        let (connection, stream) = TrackedSocket::new(socket, head, read);
        // hyper frames the response by the head that it reads once more; the door's parse decided.
        let response = Cell::new(Some(response));
        let service = service_fn(|_: Request<Incoming>| {
            let response = response.take().unwrap_or_else(|| plain(&busy()));
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            // Some clients end their side with the request, and wait for the response.
            .half_close(true)
            .max_buf_size(buffer(self.control.settings.load().request_head))
            .serve_connection(TokioIo::new(stream), service);
        let feed = async {
            let Some(subscriber) = subscriber else { return std::future::pending().await };
            tokio::select! {
                () = self.event_log.serve(subscriber, &self.control.table) => {}
                () = connection.stalls(EVENTS_STALLED, &self.clock) => {}
            }
        };
        // An error of the connection concerns nobody but its client, which is gone.
        tokio::select! {
            _ = served => {
                // The client has its response; ending the connection is not held against it.
                drop(permit);
                tcp::finish(&connection.socket, &self.clock).await;
            }
            () = feed => {}
            () = connection.stalls(ANSWER_STALLED, &self.clock) => {}
        }
    }

    /// The response to a request; and its subscriber, if it asked for events.
    async fn answer(&self, request: &RequestContext<'_>) -> (HttpResponse, Option<Subscriber>) {
        let control = &self.control;
        control.table.stats().control.add(1);
        let answered = match control.answer(request).await {
            Ok(Answer::Document(response)) => Ok((response, None)),
            Ok(Answer::Events) => self.subscribe(request),
            Err(reply) => Err(reply),
        };
        let path = &request.target.path;
        let (mut response, subscriber) = answered.unwrap_or_else(|reply| {
            control.table.stats().refused.note(reply.status);
            let client = request.client.address;
            refusals::log(client, client, redacted_path(path), &reply);
            let is_api = path.starts_with("/api/");
            (if is_api { json_error(&reply) } else { plain(&reply) }, None)
        });
        let fields = response.headers_mut();
        fields.insert(SERVER_FIELD, HeaderValue::from_static(SERVER));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, no-store"));
        if !path.starts_with("/admin") {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        (response, subscriber)
    }

    fn subscribe(
        &self,
        request: &RequestContext<'_>,
    ) -> Result<(HttpResponse, Option<Subscriber>), Reply> {
        // HEAD gets no events and needs no slot.
        let (mut response, subscriber) = if request.head.method() == "HEAD" {
            (document(EVENTS, ""), None)
        } else {
            let slot = self.subscribers.admit(client_of(request.client)).map_err(|Full| busy())?;
            let last = request.head.field("last-event-id");
            let (subscriber, body) = self.event_log.join(last, slot);
            (stream(EVENTS, body), Some(subscriber))
        };
        // nginx would otherwise collect events before it passes them on.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok((response, subscriber))
    }
}

/// Who is counted for a request, if that is known.
fn client_of(client: ClientAddr) -> Option<IpAddr> {
    (!client.is_proxy).then_some(client.address)
}

fn busy() -> Reply {
    Reply::new(503, "The server is busy; try again in a moment.").with("Retry-After", "2")
}
