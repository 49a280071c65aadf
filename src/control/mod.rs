//! The control plane: everything that is not audio, through hyper, on a thread of its own.
//!
//! It sees the data plane through the [`Table`] and its counters only, so that no slow
//! reader and no long document can delay a page. Each connection serves one request:
//! the door has to see every head, as the next one may ask for a mount.

mod status;

use std::convert::Infallible;
use std::io::Cursor;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::timeout;

pub use status::{Station, listen_url, render as status_json};

use crate::http::{SERVER, path_and_query};
use crate::mount::{Seat, Table};

/// Requests that may be served at once.
pub const MOST_REQUESTS: usize = 64;
/// What one request may take of memory, in bytes: hyper's buffer and the answer.
pub const REQUEST_MEMORY: usize = 64 * 1024;
/// Time for one request, from its handing over to its last byte.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// hyper's buffer for a head and what it writes, in bytes.
const BUFFER: usize = 16 * 1024;

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

/// What the control plane answers from.
#[derive(Debug)]
pub struct Control {
    /// How the server describes itself.
    pub station: Station,
    /// Accepted in front of every path.
    pub prefix: String,
    /// The mounts.
    pub table: Arc<Table>,
}

impl Control {
    /// Serves what the door sends until `stop` turns true.
    pub async fn serve(
        self,
        mut arrivals: mpsc::Receiver<Arrival>,
        mut stop: watch::Receiver<bool>,
    ) {
        let control = Rc::new(self);
        let seats = Arc::new(Semaphore::new(MOST_REQUESTS));
        let serve = async {
            while let Some(arrival) = arrivals.recv().await {
                // The queue in front is bounded too; beyond it, the door says that the server is busy.
                let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
                let control = Rc::clone(&control);
                tokio::task::spawn_local(async move {
                    let _ = timeout(REQUEST_TIME, control.attend(arrival)).await;
                    drop(seat);
                });
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
        let mut response = match path_and_query(&request.uri().to_string(), &self.prefix) {
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
                let status = status_json(&self.station, &self.table.live(), SystemTime::now());
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
