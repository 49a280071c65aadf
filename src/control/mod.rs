//! The control plane: everything that is not audio, through hyper, on a thread of its own.
//!
//! It reads the data plane through the table of mounts and its counters, and changes it through
//! [commands](crate::worker::Command) only, so no slow client and no long document can delay a page.
//! Each connection serves one request: the door has to see every request head, as the next one may be
//! for a mount's stream.
//!
//! `server` serves connections, `endpoints` answers requests; a file for each kind of document:
//! `page` and its assets, `api`, `status`, `stats` and `admin` (Icecast's), `metrics`, `playlist`,
//! `sse`.

mod admin;
mod api;
mod endpoints;
mod limits;
mod memory_ceiling;
mod metrics;
mod page;
mod playlist;
mod render;
mod request;
mod response;
mod server;
mod settings;
mod sse;
mod stats;
mod status;
mod tracked_socket;
mod xml;

pub(crate) use admin::Administration;
pub(crate) use endpoints::Control;
pub(crate) use limits::{
    MAX_REFUSING, MAX_REQUESTS, REQUEST_QUEUE, SEND_BUFFER, SOURCE_TEXT, request_memory,
};
pub(crate) use memory_ceiling::{CeilingItem, MemoryCeiling, MemoryOwner};
pub(crate) use metrics::Metrics;
pub(crate) use render::url_path;
pub(crate) use server::{ControlConnection, serve};
pub(crate) use settings::ControlSettings;
pub(crate) use sse::{MAX_STORED_EVENTS, MAX_SUBSCRIBERS};
