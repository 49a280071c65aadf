//! The control plane: everything that is not audio, through hyper, on a thread of its own.
//!
//! It sees the data plane through the [`Table`] and its counters, and asks it for something by
//! [orders](crate::worker::Order) only, so that no slow reader and no long document can delay a page.
//! Each connection serves one request: the door has to see every head, as the next one may ask for a mount.

mod admin;
mod answer;
mod api;
mod bulletin;
mod ceiling;
mod connection;
mod desk;
mod metrics;
pub mod page;
mod playlist;
mod stats;
mod status;
mod visit;
mod xml;

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http_body_util::Either;
use tokio::sync::{mpsc, watch};

pub use api::OPENAPI;
pub use bulletin::{KEPT as KEPT_EVENTS, MOST_READERS};
pub use ceiling::{Ceiling, Item, Place};
pub use status::{Station, listen_url, path as url_path, render as status_json};

use answer::{Answer, JSON, document, json, pieces, plain};
use api::{Mount, Mounts, listeners};
use visit::Visit;

use crate::auth::{Credentials, Gate};
use crate::http::{Origin, Reply};
use crate::mount::{Name, Seat, Table};
use crate::platform::{Heartbeat, Reloader};
use crate::worker::Workers;

/// Requests on their way from the door.
pub const QUEUE: usize = 64;
/// Requests that may be served at once.
pub const MOST_REQUESTS: usize = 64;
/// Requests beyond [`MOST_REQUESTS`] that may wait for a place; more are reset.
pub const MOST_REFUSING: usize = 64;
/// What one request, or one reader of events, may take of memory where a head may have so many bytes, in bytes:
/// hyper's buffers for reading and writing, and what is being written. What an answer says of each source comes on
/// top.
pub const fn request_memory(request_head: usize) -> usize {
    2 * buffer(request_head) + SOURCE_TEXT
}
/// What an answer says of one source, in bytes: eight texts of at most 256 bytes, each of which XML may make six
/// times as long, its name likewise, and some numbers.
pub const SOURCE_TEXT: usize = 16 * 1024;
/// What is asked for as `SO_SNDBUF` of a connection, in bytes; the kernel doubles it.
pub const SEND_BUFFER: usize = 16 * 1024;

/// hyper's buffer, in bytes: the longest head that the door lets in, and a little; 8 KiB is the least it takes.
const fn buffer(request_head: usize) -> usize {
    8 * 1024 + request_head
}

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
    /// The longest request head that the door lets in, in bytes.
    pub request_head: usize,
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
    /// The most memory that it can take.
    pub ceiling: Arc<Ceiling>,
    /// The mounts.
    pub table: Arc<Table>,
    /// Where orders go.
    pub workers: Workers,
    /// Where the administrator's password is asked for.
    pub gate: Gate,
    /// Has the configuration read again.
    pub reloader: Reloader,
}

impl Control {
    /// Serves what the door sends until `stop` turns true; beats while it takes requests.
    pub async fn serve(
        self,
        arrivals: mpsc::Receiver<Arrival>,
        heartbeat: Heartbeat,
        stop: watch::Receiver<bool>,
    ) {
        desk::serve(self, arrivals, heartbeat, stop).await;
    }

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
                Ok(pieces(JSON, listeners(&self.table)))
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

/// The same path, as that of a folder.
fn with_slash(path: &str, query: &str) -> Answer {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    plain(&Reply::new(308, "It is in this folder.").with("Location", format!("{path}/{query}")))
}
