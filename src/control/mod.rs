//! The control plane: serves everything that is not audio. It runs hyper on a separate thread.
//!
//! It reads the data plane through the table of mounts and their counters, and changes it only
//! through [commands](crate::worker::Command). A slow client or a long document therefore cannot
//! delay audio. Each connection is closed after one request, because the next request may be for a
//! stream, which only the door can hand to the data plane.
//!
//! `server` serves connections and `endpoints` dispatches requests. Each kind of document has a
//! file: `page` (the listening page and its files), `api`, `status`, `stats` and `admin` (Icecast's
//! formats and commands), `resources`, `metrics`, `playlist`, `hls` with `segment`, `clip`, `detections`,
//! `whep`, and `sse`.

mod admin;
mod api;
mod blocks;
mod clip;
mod clocks;
mod configuration;
mod detections;
mod endpoints;
mod event_data;
mod files;
mod hls;
mod journal_lines;
mod limits;
mod link;
mod memory_ceiling;
mod metrics;
mod negotiation;
mod page;
mod playlist;
mod render;
mod request;
mod resources;
mod response;
mod segment;
mod server;
mod settings;
mod sse;
mod stats;
mod status;
mod tracked_socket;
mod waiter;
mod whep;
mod xml;

pub(crate) use admin::Administration;
pub(crate) use clip::{CLIP_MEMORY, ClipListener, ClipRequest, not_held};
pub(crate) use detections::{Detections, MAX_SUBMISSIONS, SUBMISSION_MEMORY};
pub(crate) use endpoints::Control;
pub(crate) use hls::HlsRequest;
pub(crate) use limits::{
    MAX_REFUSED_REQUESTS, MAX_REQUESTS, REQUEST_QUEUE, RESPONSE_SEND_BUFFER, SOURCE_TEXT,
    request_memory,
};
pub(crate) use memory_ceiling::{CeilingItem, MemoryCeiling, MemoryOwner};
pub(crate) use metrics::Metrics;
pub(crate) use resources::Resources;
pub(crate) use server::{ControlConnection, Resource, serve};
pub(crate) use settings::{ControlSettings, DEFAULT_HOSTNAME, ShownConfig};
pub(crate) use sse::{MAX_STORED_EVENTS, MAX_SUBSCRIBERS};
pub(crate) use waiter::MAX_WAITING_REQUESTS;
pub(crate) use whep::{MAX_OFFERS, OFFER_MEMORY, Whep, WhepRequest};
