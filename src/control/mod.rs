//! The control plane: everything that is not audio, through hyper, on a thread of its own.
//!
//! It sees the data plane through the [`Table`] and its counters, and asks it for something by
//! [orders](crate::worker::Command) only, so that no slow reader and no long document can delay a page.
//! Each connection serves one request: the door has to see every head, as the next one may ask for a mount.

mod admin;
mod api;
mod memory_ceiling;
mod metrics;
pub(crate) mod page;
mod playlist;
mod request;
mod response;
mod server;
mod sse;
mod stats;
mod status;
mod tracked_socket;
mod xml;

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http_body_util::Either;
use tokio::sync::{mpsc, watch};

pub(crate) use api::OPENAPI;
pub(crate) use memory_ceiling::{CeilingItem, MemoryCeiling, MemoryOwner};
pub(crate) use sse::{KEPT as KEPT_EVENTS, MAX_READERS};
pub(crate) use status::{Station, path as url_path};

use api::{MountList, MountStatus, listeners};
use request::RequestContext;
use response::{HttpResponse, JSON, document, json, pieces, plain};

use crate::auth::Credentials;
use crate::client::LoginGuard;
use crate::client_addr::ClientAddr;
use crate::http::{Reply, RequestHead, Target};
use crate::mount::{Name, Table};
use crate::platform::{Heartbeat, Reloader};
use crate::quota::Permit;
use crate::routes::{Endpoint, Methods, Route};
use crate::worker::Workers;

/// The type that Prometheus asks for.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Requests on their way from the door.
pub(crate) const REQUEST_QUEUE: usize = 64;
/// Requests that may be served at once.
pub(crate) const MAX_REQUESTS: usize = 64;
/// Requests beyond [`MAX_REQUESTS`] that may wait for a place; more are reset.
pub(crate) const MAX_REFUSING: usize = 64;
/// What one request, or one reader of events, may take of memory where a head may have so many bytes, in bytes:
/// hyper's buffers for reading and writing, and what is being written. What an answer says of each source comes on
/// top.
pub(crate) const fn request_memory(request_head: usize) -> usize {
    2 * buffer(request_head) + SOURCE_TEXT
}
/// What an answer says of one source, in bytes: eight texts of at most 256 bytes, each of which XML may make six
/// times as long, its name likewise, and some numbers.
pub(crate) const SOURCE_TEXT: usize = 16 * 1024;
/// What is asked for as `SO_SNDBUF` of a connection, in bytes; the kernel doubles it.
pub(crate) const SEND_BUFFER: usize = 16 * 1024;

/// hyper's buffer, in bytes: the longest head that the door lets in, and a little; 8 KiB is the least it takes.
const fn buffer(request_head: usize) -> usize {
    8 * 1024 + request_head
}

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

/// What the control plane needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// Name under which the server is reached.
    pub hostname: String,
    /// Where it is.
    pub location: String,
    /// Who looks after it.
    pub admin: String,
    /// The longest request head that the door lets in, in bytes.
    pub request_head: usize,
    /// The passwords of the administrator, and of sources, which may say what they play.
    pub credentials: Credentials,
}

/// What the control plane answers from.
#[derive(Debug)]
pub(crate) struct Control {
    /// Those in force.
    pub settings: Arc<ArcSwap<ControlSettings>>,
    /// Port under which the server is reached.
    pub port: u16,
    /// Since when it runs.
    pub since: SystemTime,
    /// The most memory that it can take.
    pub ceiling: Arc<MemoryCeiling>,
    /// The mounts.
    pub table: Arc<Table>,
    /// Where orders go.
    pub workers: Workers,
    /// Where the administrator's password is asked for.
    pub guard: LoginGuard,
    /// Has the configuration read again.
    pub reloader: Reloader,
}

/// What a request gets.
enum Answer {
    /// A response that is complete, or complete once its pieces have been made.
    Document(HttpResponse),
    /// Server-sent events.
    Events,
}

impl Control {
    /// Serves what the door sends until `stop` turns true; beats while it takes requests.
    pub(crate) async fn serve(
        self,
        connections: mpsc::Receiver<ControlConnection>,
        heartbeat: Heartbeat,
        stop: watch::Receiver<bool>,
    ) {
        server::serve(self, connections, heartbeat, stop).await;
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The reply to a request that is refused.
    async fn answer(&self, request: &RequestContext<'_>) -> Result<Answer, Reply> {
        let methods = request.route.map_or(Methods::Read, |route| route.methods);
        if !methods.include(request.head.method()) {
            let sentence = "Only GET and HEAD are allowed here.";
            return Err(Reply::new(405, sentence).with("Allow", methods.allow()));
        }
        let Some(route) = request.route else {
            return self.playlist(request).map(Answer::Document);
        };
        self.check_caller(route.caller, request)?;
        let document = match route.endpoint {
            Endpoint::Events => return Ok(Answer::Events),
            Endpoint::ListeningPage | Endpoint::EmbeddedPlayer | Endpoint::PageFile => {
                self.page(request)
            }
            Endpoint::StatusPage => {
                let there = Reply::new(302, "The page for people is here.").with("Location", "./");
                Ok(plain(&there))
            }
            Endpoint::StatusJson => {
                let status = status::render(&self.station(request), &self.table.public_streams());
                Ok(document("application/json; charset=UTF-8", status))
            }
            Endpoint::Health => Ok(document("text/plain; charset=utf-8", "ok\n")),
            Endpoint::Metrics => metrics::render(&self.table, &self.ceiling)
                .map(|text| document(METRICS, text))
                .map_err(|error| Reply::new(500, error.to_string())),
            Endpoint::OpenApi => Ok(document("application/json", OPENAPI)),
            Endpoint::Mounts => Ok(json(&MountList::of(&self.table))),
            Endpoint::Mount => self.mount_status(request),
            Endpoint::Listeners => Ok(pieces(JSON, listeners(&self.table))),
            Endpoint::UnknownApi => Err(Reply::new(
                404,
                "There is no such resource; /api/v1/openapi.json lists those that exist.",
            )),
            Endpoint::Admin(command) => self.administer(command, request).await,
        };
        document.map(Answer::Document)
    }

    /// The page on which people listen, and its files.
    fn page(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let Target { path, raw_path, query, .. } = request.target;
        if path == "/" && !raw_path.ends_with('/') {
            // The page's links are relative, so its own path has to end with a slash.
            return Ok(with_slash(raw_path, query));
        }
        let mut streams =
            if page::is_document(path) { self.table.public_streams() } else { Vec::new() };
        if let Some(wanted) = request.target.decoded_parameter("mount") {
            streams.retain(|(entry, _)| entry.name.as_str() == wanted);
        }
        let microphones: Vec<_> = streams
            .iter()
            .map(|(entry, stream)| {
                let mount = entry.name.as_str();
                let title = stream.source.description.name.as_deref().unwrap_or(mount);
                page::Microphone { mount, title }
            })
            .collect();
        let answer = page::asset(path, &request.fields, &microphones).ok_or_else(no_page)?;
        Ok(answer.map(Either::Left))
    }

    /// The mount that the path names.
    fn mount_status(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let path = &request.target.path;
        let name = path.strip_prefix("/api/v1/mounts/").unwrap_or_default();
        let name = Name::new(&format!("/{}", name.trim_start_matches('/')));
        // A hidden mount is not listed, but whoever knows its name may ask for it.
        let entry = name.ok().and_then(|name| self.table.find(&name));
        let found = entry.and_then(|entry| Some((entry.stream()?, entry)));
        let (stream, entry) = found
            .ok_or_else(|| Reply::new(404, "No source is sending to a mount of this name."))?;
        Ok(json(&MountStatus::of(&entry, &stream)))
    }

    /// A mount's playlist, for a path that is not the server's own.
    fn playlist(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let (entry, stream) =
            playlist::mount(&request.target.path, &self.table).ok_or_else(no_page)?;
        let base = request.base(&self.settings.load(), self.port);
        Ok(playlist::render(&base, &entry, &stream))
    }

    fn station(&self, request: &RequestContext<'_>) -> Station {
        let about = self.settings.load_full();
        let base = request.listen_base(&about, self.port);
        Station { about, base, since: self.since }
    }
}

fn no_page() -> Reply {
    Reply::new(404, "There is no such page, and no source is sending to a mount of this name.")
}

/// A redirect to the same path with a slash at its end.
fn with_slash(path: &str, query: &str) -> HttpResponse {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    plain(&Reply::new(308, "This page is a folder.").with("Location", format!("{path}/{query}")))
}
