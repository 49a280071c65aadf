//! Where requests are taken, each served by a task of its own: one answer and the end, or events for as long as
//! their reader likes.

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::io::Cursor;
use std::rc::Rc;
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
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::sleep;

use super::answer::{Answer, document, json_error, plain, stream};
use super::bulletin::{Bulletin, MOST_READERS, Place};
use super::visit::Visit;
use super::{Arrival, BUFFER, Control, MOST_REQUESTS, SEND_BUFFER, metrics, page, status_json};
use crate::crowd::Crowd;
use crate::http::{Origin, Reply, SERVER, allowed, loggable, path_and_query};
use crate::platform::Pulse;
use crate::refusals;

/// Time for one request, from its handing over to its last byte.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// The type that Prometheus asks for.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What all requests share.
struct Desk {
    control: Control,
    bulletin: Bulletin,
    /// Those who read events.
    readers: Rc<Crowd>,
}

/// A request that is being served.
#[derive(Default)]
struct Serving {
    task: OnceCell<AbortHandle>,
    /// It reads events, for as long as it likes.
    reads: Cell<bool>,
}

impl Serving {
    fn is_over(&self) -> bool {
        self.task.get().is_some_and(AbortHandle::is_finished)
    }
}

/// Serves what comes until `stop` turns true; beats while it takes requests.
pub(super) async fn serve(
    control: Control,
    mut arrivals: mpsc::Receiver<Arrival>,
    mut pulse: Pulse,
    mut stop: watch::Receiver<bool>,
) {
    page::prepare();
    let desk = Desk { control, bulletin: Bulletin::new(), readers: Crowd::new(MOST_READERS) };
    let desk = Rc::new(desk);
    let mut all: Vec<Rc<Serving>> = Vec::new();
    let serve = async {
        while let Some(arrival) = pulse.during(arrivals.recv()).await {
            all.retain(|request| !request.is_over());
            // Whoever takes long to read an answer makes room for whoever asks now.
            let mut passing = all.iter().filter(|request| !request.reads.get());
            let oldest = passing.next();
            if passing.count() + 1 >= MOST_REQUESTS
                && let Some(task) = oldest.and_then(|oldest| oldest.task.get())
            {
                task.abort();
            }
            let (desk, request) = (Rc::clone(&desk), Rc::<Serving>::default());
            all.push(Rc::clone(&request));
            let own = Rc::clone(&request);
            let task = tokio::task::spawn_local(async move { desk.attend(arrival, &own).await });
            // It is set once, here.
            let _ = request.task.set(task.abort_handle());
        }
    };
    LocalSet::new()
        .run_until(async {
            tokio::select! {
                () = serve => {}
                () = desk.bulletin.watch(&desk.control.table) => {}
                _ = stop.wait_for(|&stop| stop) => {}
            }
        })
        .await;
}

impl Desk {
    async fn attend(&self, arrival: Arrival, request: &Serving) {
        // What the kernel holds for a slow reader is bounded as for listeners.
        if SockRef::from(&arrival.socket).set_send_buffer_size(SEND_BUFFER).is_err() {
            return;
        }
        let Ok(socket) = tokio::net::TcpStream::from_std(arrival.socket) else { return };
        let (reader, writer) = socket.into_split();
        let stream = tokio::io::join(Cursor::new(arrival.read).chain(reader), writer);
        let (to_feed, place) = oneshot::channel();
        let to_feed = Cell::new(Some(to_feed));
        let service = service_fn(|asked: Request<Incoming>| {
            let to_feed = &to_feed;
            async move {
                let (answer, place) = self.answer(&asked, arrival.origin).await;
                if let (Some(place), Some(to_feed)) = (place, to_feed.take()) {
                    // Nobody to be fed is nobody to be told.
                    let _ = to_feed.send(place);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let feed = async {
            let Ok(place) = place.await else { return std::future::pending().await };
            request.reads.set(true);
            if let Some(task) = request.task.get() {
                self.readers.serves(place.id(), task.clone());
            }
            self.bulletin.serve(place, &self.control.table).await;
        };
        let limit = async {
            sleep(REQUEST_TIME).await;
            if request.reads.get() {
                std::future::pending::<()>().await;
            }
        };
        // What goes wrong between a client and its answer is the client's affair, and nobody is left to be
        // told of a request that took too long, or of events that were not taken.
        tokio::select! {
            _ = connection => {}
            () = feed => {}
            () = limit => {}
        }
    }

    /// The answer to a request, and the place of a reader of events; the request's body is not needed by any of them.
    async fn answer<B>(&self, request: &Request<B>, origin: Origin) -> (Answer, Option<Place>) {
        let control = &self.control;
        control.table.totals().control.add(1);
        let target = request.uri().to_string();
        let asked = path_and_query(&target, &control.settings.load().prefix);
        let mut place = None;
        let mut answer = match &asked {
            Ok((path, query)) => {
                let visit = Visit {
                    method: request.method(),
                    path,
                    query,
                    fields: request.headers(),
                    target: request.uri(),
                    origin,
                };
                let answer = self.page(&visit, &mut place).await;
                answer.unwrap_or_else(|reply| {
                    control.table.totals().refused.note(reply.status);
                    refusals::log(origin.address, origin.address, loggable(path), &reply);
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

    async fn page(&self, visit: &Visit<'_>, place: &mut Option<Place>) -> Result<Answer, Reply> {
        let control = &self.control;
        let is_admin = visit.path == "/admin" || visit.path.starts_with("/admin/");
        match *visit.method {
            Method::GET | Method::HEAD => {}
            Method::POST if is_admin => {}
            _ => {
                let sentence = "Only GET and HEAD are understood here.";
                return Err(Reply::new(405, sentence).with("Allow", allowed(visit.path)));
            }
        }
        if let Some(answer) = control.listening_page(visit) {
            return Ok(answer);
        }
        match visit.path {
            // Where Icecast has its page for people.
            "/status.xsl" => {
                let there = Reply::new(302, "The page for people is here.").with("Location", "./");
                Ok(plain(&there))
            }
            "/healthz" => Ok(document("text/plain; charset=utf-8", "ok\n")),
            "/status-json.xsl" => {
                let status = status_json(&control.station(visit), &control.table.shown());
                Ok(document("application/json; charset=UTF-8", status))
            }
            "/metrics" => metrics::render(&control.table, control.ceiling.get())
                .map(|text| document(METRICS, text))
                .map_err(|error| Reply::new(500, error.to_string())),
            "/api/v1/events" => Ok(self.events(visit, place)),
            _ if is_admin => control.administer(visit).await,
            path => match path.strip_prefix("/api/") {
                Some(what) => control.api(what, visit),
                None => control.elsewhere(visit),
            },
        }
    }

    fn events(&self, visit: &Visit<'_>, place: &mut Option<Place>) -> Answer {
        let last = visit.fields.get("last-event-id").and_then(|last| last.to_str().ok());
        let place_in = self.readers.enter(visit.origin.address);
        let (joined, body) = self.bulletin.join(last, place_in);
        // Whoever only asks for the head gets no events.
        *place = (visit.method == Method::GET).then_some(joined);
        let mut answer = stream("text/event-stream", body);
        // Some proxies would gather events before they pass them on.
        answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        answer
    }
}
