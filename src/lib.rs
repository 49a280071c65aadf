//! silvacast takes live Ogg/Opus from field recorders and lets people hear it as it happens.
//!
//! The stream's way through the program, and the modules in its order:
//!
//! ```text
//!                 ┌──────────── data plane: raw sockets, no allocation per page ───────────┐
//!  encoder ──PUT──► door ──► source ──► ogg (scan, splice) ───► mount (ring) ──► listener ──► player
//!                    │ one request head, bounded, timed              │
//!                    └──everything else──► control (hyper) ◄─────────┘ the table and its counters
//! ```
//!
//! - [`door`]: accepts, reads one request head, decides.
//! - [`auth`]: who may do what; pure, but for one slow check on its own thread.
//! - [`admission`]: a limited number of places for connections, and who loses one when all are taken.
//! - [`worker`]: a data-plane thread, which owns sources and listeners.
//! - [`source`]: one encoder's connection, always drained.
//! - [`ogg_splice`]: pages, found in any cut of bytes; headers; one stream out of many. A crate of its own, without sockets or clocks.
//! - [`mount`]: the ring, the claim on it, what is on the air and who keeps it there, each thread's view of it, and the table of them all.
//! - [`listener`]: a cursor and a socket; written to straight from the ring.
//! - [`control`]: status and all else that is not audio.
//! - [`server`]: starts the threads and takes them down. [`config`]: settings and the memory budget.
//! - [`platform`]: privileges, signals, service manager. [`log`]: what the journal is told, and how. [`cli`]: the commands. [`push`]: the source client.
//! - [`tcp`]: what the kernel is asked about a connection, and how one is ended. [`clock`]: time without the server's own standstills.
//! - [`http`], [`text`], [`units`]: words and numbers that several of these share.
//!
//! What always holds:
//!
//! - **A source is always drained.** Between its socket and the ring nothing waits.
//! - **A stream goes on**, without a jump, whatever becomes of its source; and no later than real time.
//! - **Memory is fixed.** A mount is one ring; a listener has no queue; every count has a limit.
//! - **Nobody else is hurt.** A listener that does not read costs its cursor and its socket.
//! - **A stream begins on a page that a decoder can begin with**, after its headers.

pub mod admission;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod door;
pub mod http;
pub mod listener;
pub mod log;
pub mod mount;
pub mod platform;
pub mod push;
pub mod server;
pub mod source;
pub mod tcp;
pub mod text;
pub mod units;
pub mod worker;
