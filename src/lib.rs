//! silvacast takes live Ogg/Opus from field recorders and lets people hear it as it happens.
//!
//! One process receives one stream per microphone from FFmpeg or another Icecast source client, and
//! relays each to any number of browsers and players over plain HTTP. It replaces an Icecast server
//! on a recorder that runs unattended for years, and its first rule is that the recording is never
//! disturbed. `docs/glossary.md` defines the terms, `docs/architecture.md` tells the whole story.
//!
//! # The way of a page
//!
//! ```text
//!                 ┌──────────── data plane: raw sockets, no allocation per page ────────────┐
//!  encoder ──PUT──► door ──► source ──► ogg_splice ────► mount (ring) ──► listener ──► player
//!                    │ one request head, bounded, timed     │
//!                    └──everything else──► control (hyper) ◄┘ table, counters; commands back to the worker
//! ```
//!
//! A source's socket is read into the buffer of an [`ogg_splice::Scanner`], which finds whole pages.
//! [`ogg_splice::Splice`] makes each a page of the mount's one continuous stream, and the page is
//! copied once, into the ring of its mount. Listeners are written to straight from the ring.
//! The pure core runs by itself, without sockets or clocks:
//!
//! ```
//! use ogg_splice::{PageHeader, Scanner, write_page};
//!
//! let mut stream = Vec::new();
//! write_page(&mut stream, PageHeader { first: true, ..PageHeader::default() }, &[b"OpusHead"]);
//!
//! // However a connection cuts the bytes, whole and valid pages come out.
//! let (mut scanner, mut pages) = (Scanner::new(), 0);
//! for piece in stream.chunks(5) {
//!     scanner.room()[..piece.len()].copy_from_slice(piece);
//!     scanner.filled(piece.len());
//!     while scanner.next_page().is_some() {
//!         pages += 1;
//!     }
//! }
//! assert_eq!(pages, 1);
//! ```
//!
//! # Modules, from the command line down
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the commands: `run`, `check`, `health`, `push`, `on-demand`, `share`, `demo` |
//! | `server` | creates the threads, applies a configuration, stops everything |
//! | `push` | the source client behind `silvacast push` and the demo |
//! | `encoder` | runs an encoder while its mount is wanted, behind `silvacast on-demand` |
//! | [`config`] | reads `silvacast.toml` or `icecast.xml`; computes the memory budget |
//! | [`door`] | accepts connections, reads one request head from each, decides where it goes |
//! | `control` | everything that is not audio: status, API, events, admin, metrics, the listening page |
//! | [`peers`] | pulls mounts from other servers and pushes mounts to them |
//! | [`worker`] | a data-plane thread, which owns sources and listeners |
//! | [`source`] | an encoder's connection: reads it and publishes its pages |
//! | [`listener`] | a player's connection: a cursor into the ring and a socket |
//! | [`hls`] | a mount as a playlist and segments, which are cut from the ring |
//! | [`clip`] | a part of a mount's ring as a finished Ogg file |
//! | [`detections`] | the species that detectors have heard in the audio of a mount |
//! | [`webrtc`] | a mount as RTP packets for browsers, by WHEP |
//! | [`mount`] | the pages of a mount, the claim on it, and the table of all mounts |
//! | `client` | limits for single clients: admission, login guard, password checks |
//! | [`auth`] | who may do what; pure |
//! | [`ogg_splice`] | pages, stream headers, and one stream out of many sources; pure, a crate |
//! | [`platform`] | privileges, inherited sockets, service manager, watchdog |
//! | [`log`] | the journal: its catalog of events, throttle and access log |
//! | `routes` | the server's own paths: methods, who may ask, what answers; every other path is a mount's |
//! | [`http`], `tcp`, `clock`, `wall_clock`, `utc`, `stats`, `quota`, `client_addr`, `text`, `units` | what several of these share |
//!
//! A module uses only modules below it in this table (`tests/whole/code.rs` checks the order). Each
//! folder has one more rule: no two files use each other, not even through others.
//!
//! # What always holds
//!
//! - **A source is always drained.** Nothing between its socket and the ring waits.
//! - **A stream continues** without a jump when its source restarts, and never lags real time.
//! - **Memory is bounded.** A mount is one ring, a listener has no queue, every count has a limit;
//!   `silvacast check` prints the sum.
//! - **A client costs itself only.** A listener that does not read costs its cursor and its socket.
//! - **Every listener starts with the stream's headers**, at a page that a decoder can start with.

pub mod auth;
pub mod cli;
mod client;
mod client_addr;
pub mod clip;
mod clock;
pub mod config;
mod control;
pub mod detections;
pub mod door;
mod encoder;
pub mod hls;
pub mod http;
pub mod listener;
pub mod log;
pub mod mount;
pub mod peers;
pub mod platform;
mod push;
mod quota;
mod routes;
mod server;
pub mod source;
mod stats;
mod tcp;
mod text;
mod units;
pub mod utc;
pub mod wall_clock;
pub mod webrtc;
pub mod worker;
