//! The control plane: everything that is not audio, through hyper, on a thread of its own.
//!
//! It sees the data plane through the [`Table`] and its counters only, so that no slow
//! reader and no long document can delay a page. Each connection serves one request:
//! the door has to see every head, as the next one may ask for a mount.

mod status;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Cursor;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue,
    SERVER as SERVER_FIELD,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, LocalSet};
use tokio::time::timeout;

pub use status::{Station, listen_url, render as status_json};

use crate::http::{SERVER, path_and_query};
use crate::mount::{Seat, Table};
use crate::platform::Pulse;

/// Requests that may be served at once.
pub const MOST_REQUESTS: usize = 64;
/// What one request may take of memory, in bytes, beside what its answer says of each source.
pub const REQUEST_MEMORY: usize = 2 * BUFFER;
/// What an answer says of one source, in bytes: its texts are bounded, and grow a little as JSON.
pub const SOURCE_TEXT: usize = 8 * 1024;
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
    /// The mounts.
    pub table: Arc<Table>,
}

impl Control {
    /// Serves what the door sends until `stop` turns true; beats while it takes requests.
    pub async fn serve(
        self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mut pulse: Pulse,
        mut stop: watch::Receiver<bool>,
    ) {
        let control = Rc::new(self);
        let mut requests: VecDeque<AbortHandle> = VecDeque::new();
        let serve = async {
            while let Some(arrival) = pulse.during(arrivals.recv()).await {
                requests.retain(|request| !request.is_finished());
                // Whoever takes long to read an answer makes room for whoever asks now.
                if requests.len() >= MOST_REQUESTS
                    && let Some(oldest) = requests.pop_front()
                {
                    oldest.abort();
                }
                let control = Rc::clone(&control);
                let request = tokio::task::spawn_local(async move {
                    // Nobody is left to be told of a request that took too long.
                    let _ = timeout(REQUEST_TIME, control.attend(arrival)).await;
                });
                requests.push_back(request.abort_handle());
            }
        };
        LocalSet::new()
            .run_until(async {
                tokio::select! {
                    () = serve => {}
                    _ = stop.wait_for(|&stop| stop) => {}
                }
            })
            .await;
    }

    async fn attend(&self, arrival: Arrival) {
        let Ok(socket) = tokio::net::TcpStream::from_std(arrival.socket) else { return };
        let (reader, writer) = socket.into_split();
        let stream = tokio::io::join(Cursor::new(arrival.read).chain(reader), writer);
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(self.answer(&request)) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        // What goes wrong between a client and its answer is the client's affair.
        let _ = connection.await;
    }

    /// The answer to a request; its body is not needed by any of them.
    pub fn answer<B: Body>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let mut response =
            match path_and_query(&request.uri().to_string(), &self.settings.load().prefix) {
                Ok((path, _)) => self.page(request.method(), &path),
                Err(reply) => plain(StatusCode::BAD_REQUEST, &reply.sentence),
            };
        let fields = response.headers_mut();
        fields.insert(SERVER_FIELD, HeaderValue::from_static(SERVER));
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
        response
    }

    fn page(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response =
                plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are understood here.");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/healthz" => plain(StatusCode::OK, "ok"),
            "/status-json.xsl" => {
                let about = self.settings.load_full();
                let station = Station { about, port: self.port, since: self.since };
                let status = status_json(&station, &self.table.live(), SystemTime::now());
                document(StatusCode::OK, "application/json; charset=UTF-8", status)
            }
            _ => plain(
                StatusCode::NOT_FOUND,
                "There is no such page, and no source is sending to a mount of this name.",
            ),
        }
    }
}

fn plain(status: StatusCode, sentence: &str) -> Response<Full<Bytes>> {
    document(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
}

fn document(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
