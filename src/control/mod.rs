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
pub(crate) use metrics::Metrics;
pub(crate) use sse::{KEPT as KEPT_EVENTS, MAX_READERS};
pub(crate) use status::{Station, path as url_path, render as status_json};

use api::{MountList, MountStatus, listeners};
use request::RequestContext;
use response::{HttpResponse, JSON, document, json, pieces, plain};

use crate::auth::Credentials;
use crate::client::LoginGuard;
use crate::client_addr::ClientAddr;
use crate::http::Reply;
use crate::mount::{Name, Table};
use crate::platform::{Heartbeat, Reloader};
use crate::quota::Permit;
use crate::worker::Workers;

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

/// A connection that the door takes for no stream.
#[derive(Debug)]
pub struct ControlConnection {
    /// The connection.
    pub socket: std::net::TcpStream,
    /// What has been read from it: the request's head, at least.
    pub read: Vec<u8>,
    /// Where it comes from.
    pub client: ClientAddr,
    /// Freed when it ends.
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
    /// Accepted in front of every path.
    pub prefix: String,
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
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// The mounts.
    pub table: Arc<Table>,
    /// Where orders go.
    pub workers: Workers,
    /// Where the administrator's password is asked for.
    pub guard: LoginGuard,
    /// Has the configuration read again.
    pub reloader: Reloader,
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

    /// The page on which people listen, and the files that belong to it.
    fn listening_page(&self, request: &RequestContext<'_>) -> Option<HttpResponse> {
        let asked = request.target.path();
        if request.path == "/" && !asked.ends_with('/') {
            // Everything in the page is named from where it is, so it has to be in the folder.
            return Some(with_slash(asked, request.query));
        }
        let mut shown =
            if page::is_document(request.path) { self.table.public_streams() } else { Vec::new() };
        if let Some(wanted) = request.parameter("mount") {
            shown.retain(|(entry, _)| entry.name.as_str() == wanted);
        }
        let microphones: Vec<_> = shown
            .iter()
            .map(|(entry, stream)| {
                let mount = entry.name.as_str();
                let title = stream.source.description.name.as_deref().unwrap_or(mount);
                page::Microphone { mount, title }
            })
            .collect();
        let answer = page::asset(request.path, request.fields, &microphones)?;
        Some(answer.map(Either::Left))
    }

    /// What lies below `/api/`.
    fn api(&self, what: &str, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let nothing = || {
            Reply::new(404, "There is no such thing here; /api/v1/openapi.json says what there is.")
        };
        match what.strip_prefix("v1/").ok_or_else(nothing)? {
            "openapi.json" => Ok(document("application/json", OPENAPI)),
            "mounts" => Ok(json(&MountList::of(&self.table))),
            "listeners" => {
                self.admin_login(request)?;
                Ok(pieces(JSON, listeners(&self.table)))
            }
            other => {
                let name = other.strip_prefix("mounts/").ok_or_else(nothing)?;
                let name = Name::new(&format!("/{}", name.trim_start_matches('/')));
                // Who knows the name of a hidden mount may ask for it.
                let found = name.ok().and_then(|name| self.table.find(&name));
                let heard = found.and_then(|entry| Some((entry.stream()?, entry)));
                let (stream, entry) = heard.ok_or_else(|| {
                    Reply::new(404, "No source is sending to a mount of this name.")
                })?;
                Ok(json(&MountStatus::of(&entry, &stream)))
            }
        }
    }

    /// Every other path: a mount's playlist, or nothing.
    fn elsewhere(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        if let Some((entry, stream)) = playlist::mount(request.path, &self.table) {
            let base = request.base(&self.settings.load(), self.port);
            return Ok(playlist::render(&base, &entry, &stream));
        }
        Err(Reply::new(
            404,
            "There is no such page, and no source is sending to a mount of this name.",
        ))
    }

    fn station(&self, request: &RequestContext<'_>) -> Station {
        let about = self.settings.load_full();
        let base = request.listen_base(&about, self.port);
        Station { about, base, since: self.since }
    }
}

/// The same path, as that of a folder.
fn with_slash(path: &str, query: &str) -> HttpResponse {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    plain(&Reply::new(308, "It is in this folder.").with("Location", format!("{path}/{query}")))
}
