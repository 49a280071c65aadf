//! The control plane: everything that is not audio, through hyper, on a thread of its own.
//!
//! It sees the data plane through the [`Table`] and its counters, and asks it for something by
//! [orders](crate::worker::Order) only, so that no slow reader and no long document can delay a page.
//! Each connection serves one request: the door has to see every head, as the next one may ask for a mount.

mod admin;
mod answer;
mod api;
mod bulletin;
mod metrics;
pub mod page;
mod playlist;
mod stats;
mod status;
mod visit;
mod xml;

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::io::Cursor;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue, SERVER as SERVER_FIELD,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::sleep;

pub use api::OPENAPI;
pub use bulletin::{KEPT as KEPT_EVENTS, MOST_READERS, READER_MEMORY};
pub use status::{Station, listen_url, path as url_path, render as status_json};

use answer::{Answer, document, json, json_error, plain, stream};
use api::{Listeners, Mount, Mounts};
use bulletin::{Bulletin, Place};
use visit::Visit;

use crate::auth::{Credentials, Gate};
use crate::crowd::Crowd;
use crate::http::{Origin, Reply, SERVER, allowed, path_and_query};
use crate::mount::{Gauge, Name, Seat, Table};
use crate::platform::{Pulse, Reloader};
use crate::refusals::Refusals;
use crate::worker::Workers;

/// Requests on their way from the door.
pub const QUEUE: usize = 64;
/// Requests that may be served at once.
pub const MOST_REQUESTS: usize = 64;
/// What one request may take of memory, in bytes, beside what its answer says of each source.
pub const REQUEST_MEMORY: usize = 2 * BUFFER;
/// What an answer says of one source, in bytes: its texts are bounded, and grow a little as JSON.
pub const SOURCE_TEXT: usize = 8 * 1024;
/// What the kernel may hold of an answer that its reader has not yet taken, in bytes; it doubles the number.
pub const SEND_BUFFER: usize = 32 * 1024;
/// Time for one request, from its handing over to its last byte.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// hyper's buffer, in bytes: the longest head that the door may be told to let in, and a little.
const BUFFER: usize = 68 * 1024;

/// A connection that the door takes for no stream.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub socket: std::net::TcpStream,
    /// What has been read from it: the request's head, at least.
    pub read: Vec<u8>,
    /// Where it comes from.
    pub origin: Origin,
    /// Freed when it ends.
    pub seat: Option<Seat>,
}

/// What the control plane needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name under which the server is reached.
    pub hostname: String,
    /// Where it is.
    pub location: String,
    /// Who looks after it.
    pub admin: String,
    /// Accepted in front of every path.
    pub prefix: String,
    /// Proxies whose word on scheme and host is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// The passwords of the administrator, and of sources, which may say what they play.
    pub credentials: Credentials,
}

/// What the control plane answers from.
#[derive(Debug)]
pub struct Control {
    /// Those in force.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Port under which the server is reached.
    pub port: u16,
    /// Since when it runs.
    pub since: SystemTime,
    /// The most memory that it can take, in bytes.
    pub ceiling: Arc<Gauge>,
    /// The mounts.
    pub table: Arc<Table>,
    /// Where orders go.
    pub workers: Workers,
    /// Where the administrator's password is asked for.
    pub gate: Gate,
    /// What is said of requests that are refused.
    pub refusals: Arc<Refusals>,
    /// Has the configuration read again.
    pub reloader: Reloader,
}

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

impl Control {
    /// Serves what the door sends until `stop` turns true; beats while it takes requests.
    pub async fn serve(
        self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mut pulse: Pulse,
        mut stop: watch::Receiver<bool>,
    ) {
        page::prepare();
        let desk =
            Desk { control: self, bulletin: Bulletin::new(), readers: Crowd::new(MOST_READERS) };
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
                let task =
                    tokio::task::spawn_local(async move { desk.attend(arrival, &own).await });
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
                    control.refusals.say(origin.address, origin.address, &target, &reply);
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

/// The same path, as that of a folder.
fn with_slash(path: &str, query: &str) -> Answer {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    plain(&Reply::new(308, "It is in this folder.").with("Location", format!("{path}/{query}")))
}

/// The type that Prometheus asks for.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Control {
    /// The page on which people listen, and the files that belong to it.
    fn listening_page(&self, visit: &Visit<'_>) -> Option<Answer> {
        let asked = visit.target.path();
        if visit.path == "/" && !asked.ends_with('/') {
            // Everything in the page is named from where it is, so it has to be in the folder.
            return Some(with_slash(asked, visit.query));
        }
        let mut shown = if page::is_document(visit.path) { self.table.shown() } else { Vec::new() };
        if let Some(wanted) = visit.parameter("mount") {
            shown.retain(|(slot, _)| slot.name.as_str() == wanted);
        }
        let microphones: Vec<_> = shown
            .iter()
            .map(|(slot, live)| {
                let mount = slot.name.as_str();
                let title = live.description.name.as_deref().unwrap_or(mount);
                page::Microphone { mount, title }
            })
            .collect();
        let answer = page::asset(visit.path, visit.fields, &microphones)?;
        Some(answer.map(Either::Left))
    }

    /// What lies below `/api/`.
    fn api(&self, what: &str, visit: &Visit<'_>) -> Result<Answer, Reply> {
        let nothing = || {
            Reply::new(404, "There is no such thing here; /api/v1/openapi.json says what there is.")
        };
        match what.strip_prefix("v1/").ok_or_else(nothing)? {
            "openapi.json" => Ok(document("application/json", OPENAPI)),
            "mounts" => Ok(json(&Mounts::of(&self.table))),
            "listeners" => {
                self.admin_login(visit)?;
                Ok(json(&Listeners::of(&self.table)))
            }
            other => {
                let name = other.strip_prefix("mounts/").ok_or_else(nothing)?;
                let name = Name::new(&format!("/{}", name.trim_start_matches('/')));
                // Who knows the name of a hidden mount may ask for it.
                let found = name.ok().and_then(|name| self.table.find(&name));
                let heard = found.and_then(|slot| Some((slot.live()?, slot)));
                let (live, slot) = heard.ok_or_else(|| {
                    Reply::new(404, "No source is sending to a mount of this name.")
                })?;
                Ok(json(&Mount::of(&slot, &live)))
            }
        }
    }

    /// Every other path: a mount's playlist, or nothing.
    fn elsewhere(&self, visit: &Visit<'_>) -> Result<Answer, Reply> {
        if let Some((slot, live)) = playlist::mount(visit.path, &self.table) {
            let base = visit.base(&self.settings.load(), self.port);
            return Ok(playlist::render(&base, &slot, &live));
        }
        Err(Reply::new(
            404,
            "There is no such page, and no source is sending to a mount of this name.",
        ))
    }

    fn station(&self, visit: &Visit<'_>) -> Station {
        let about = self.settings.load_full();
        let base = visit.listen_base(&about, self.port);
        Station { about, base, since: self.since }
    }
}
