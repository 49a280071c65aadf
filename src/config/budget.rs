//! The most memory that the server can use with a configuration, item by item.
//!
//! Every limit in the program appears here, and the process stays below the sum.

use std::fmt;

use super::Config;
use crate::auth::LOCKOUT_MEMORY;
use crate::client::LINK_REGISTER_MEMORY;
use crate::control::{
    self, CLIP_MEMORY, CeilingItem, MAX_OFFERS, MAX_REQUESTS, MAX_STORED_EVENTS, MAX_SUBMISSIONS,
    MAX_SUBSCRIBERS, MAX_WAITING_REQUESTS, MemoryOwner, OFFER_MEMORY, REQUEST_QUEUE, SOURCE_TEXT,
    SUBMISSION_MEMORY, request_memory,
};
use crate::detections::DETECTION_MEMORY;
use crate::door::{self, CONNECTION_MEMORY, MAX_CLIPS, MAX_WAITING_CONNECTIONS};
use crate::hls::response_memory;
use crate::http::HEAD_INDEX_MEMORY;
use crate::listener::LISTENER_MEMORY;
use crate::log::{LOG_MEMORY, RECENT_MEMORY};
use crate::mount::{BAN_MEMORY, KNOWN_MOUNT_MEMORY, MAX_KNOWN_MOUNTS, STREAM_HISTORY_MEMORY};
use crate::peers::{CHUNKED_MEMORY, PEER_MEMORY};
use crate::source::MAX_FINAL_RESPONSES;
use crate::tcp::{RECEIVE_BUFFER, SHORT_ANSWER_MEMORY, SOCKET_MEMORY, backlog, sent_memory};
use crate::webrtc::{self, MAX_SOCKETS, SESSION_MEMORY, WEBRTC_MEMORY};
use ogg_splice::{MAX_HEADERS, MAX_KEPT_HEADERS, MAX_PACKET, MAX_PAGE, Scanner};

/// The program itself, its threads and their runtimes, in bytes. Measured at 3 MiB.
const PROGRAM: usize = 6 * 1024 * 1024;
/// Each further data-plane thread.
const THREAD: usize = 256 * 1024;
/// Records of wrong passwords: of sources, of listeners, of the administrator and of detectors.
const LOCKOUTS: usize = 4;

/// What the administrator is shown.
const SHOWN_MEMORY: usize = RECENT_MEMORY + LINK_REGISTER_MEMORY + BAN_MEMORY;

/// The send buffer of a UDP socket (`net.core.wmem_default`), and a receive buffer, which the kernel doubles.
const UDP_BUFFERS: usize = 212_992 + 2 * webrtc::RECEIVE_BUFFER;
/// Open files of the process itself: standard streams, log, signals.
const FILES: usize = 16;
/// Open files of each thread's runtime.
const THREAD_FILES: usize = 4;

/// The items that take memory: of the process itself, and of the kernel on its behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All items, those of the process first.
    pub items: Vec<CeilingItem>,
    /// The most files that are open at the same time, including connections.
    pub files: u64,
}

impl Budget {
    /// The worst case of a configuration.
    pub fn of(config: &Config) -> Self {
        let limits = &config.door.limits;
        let ring = config.door.rules.largest_ring();
        // A mount has its source, and possibly another one whose headers are not complete yet. Headers
        // are collected as packets, then become pages. The newest packet may be copied as it grows.
        let source = Scanner::MEMORY + 2 * MAX_HEADERS + MAX_KEPT_HEADERS;
        // A packet that spans pages; a page of silence being built, whose buffer may have doubled; and
        // the headers of the stream, as its source sent them, as listeners get them now, and as they
        // got them before; and what is known of the times of this and the last streams.
        let stream = MAX_PACKET + 2 * MAX_PAGE + 3 * MAX_KEPT_HEADERS + STREAM_HISTORY_MEMORY;
        // u64, so that a 32-bit machine shows a sum that does not fit into its memory.
        let process = |what, count: usize, each: usize| {
            CeilingItem::new(MemoryOwner::Process, what, count as u64, each as u64)
        };
        let kernel = |what, count: usize, each: usize| {
            CeilingItem::new(MemoryOwner::Kernel, what, count as u64, each as u64)
        };
        let at_door = MAX_WAITING_CONNECTIONS + door::MAX_REFUSED_CONNECTIONS;
        let pending_requests = REQUEST_QUEUE + control::MAX_REFUSED_REQUESTS;
        let answered = MAX_REQUESTS + MAX_WAITING_REQUESTS + MAX_SUBSCRIBERS;
        let final_responses = config.workers * MAX_FINAL_RESPONSES;
        let sources = 2 * limits.sources + final_responses;
        // What is sent in chunks goes through a connection within the machine, of which one end counts as
        // a listener.
        let forwarded = config.peers.forwards.len() * limits.sources;
        let chunked = 2 * forwarded;
        // A list of another server, or a question about the demand, beside the streams.
        let asking = config.peers.relays.len() + forwarded;
        let connections =
            sources + limits.listeners + at_door + pending_requests + answered + asking + chunked;
        let backlog = backlog(limits.listeners) * config.listen.len();
        let (webrtc, sessions) = match config.webrtc.listen {
            Some(_) => (1, config.webrtc.sessions),
            None => (0, 0),
        };
        // Each mount has an epoll set on each thread.
        let files = connections
            + limits.sources * config.workers
            + config.listen.len()
            + (THREAD_FILES + MAX_SOCKETS) * webrtc
            + THREAD_FILES * (config.workers + 3)
            + FILES;
        let request = request_memory(limits.request_head);
        let longest_segment = config.door.rules.longest_segment().as_secs() as usize + 1;
        let response = (limits.sources * SOURCE_TEXT).max(response_memory(longest_segment));
        // It keeps its request, which is decided again when the source is there.
        let on_demand = config.door.rules.are_on_demand()
            || config.peers.relays.iter().any(|relay| relay.on_demand);
        let waiting = if on_demand { limits.listeners } else { 0 };
        let waiting_listener = limits.request_head + HEAD_INDEX_MEMORY;
        let peers = config.peers.relays.len() + config.peers.forwards.len();
        let known_mounts = MAX_KNOWN_MOUNTS + config.door.rules.rules.len();
        let detections = limits.sources * config.door.rules.most_detections();
        let workers = PROGRAM + (config.workers - 1) * THREAD;
        let mut items = vec![
            process("the program and its threads", 1, workers),
            process("a mount's ring", limits.sources * config.workers, ring),
            process("a source's page in the making and its headers", 2 * limits.sources, source),
            process(
                "a stream's packet and silence in the making, its headers and its times",
                limits.sources,
                stream,
            ),
            process("a listener", limits.listeners, LISTENER_MEMORY),
            process("a listener that waits for its source", waiting, waiting_listener),
            process("a request head", at_door, CONNECTION_MEMORY + 2 * limits.request_head),
            process(
                "a request on its way",
                pending_requests,
                2 * limits.request_head + HEAD_INDEX_MEMORY,
            ),
            // During a reload there are the old and the new configuration.
            process("a configuration's users and tokens", 2, config.door.rules.memory()),
            process("another server, from or to which mounts are relayed", peers, PEER_MEMORY),
            process("a stream that is sent in chunks", forwarded, CHUNKED_MEMORY),
            process("a record of wrong passwords", LOCKOUTS, LOCKOUT_MEMORY),
            process("a mount that is off", known_mounts, KNOWN_MOUNT_MEMORY),
            process("a request that is answered", MAX_REQUESTS, request + response),
            // Only for a playlist, or for a part of a segment.
            process("a request that waits", MAX_WAITING_REQUESTS, request + response_memory(0)),
            process("WebRTC and its thread", webrtc, WEBRTC_MEMORY),
            process("a session of WebRTC", sessions, SESSION_MEMORY),
            process("an offer of WebRTC", webrtc * MAX_OFFERS, OFFER_MEMORY),
            process("a clip", MAX_CLIPS, CLIP_MEMORY),
            process("a detection that is kept", detections, DETECTION_MEMORY),
            process("a request body with detections", MAX_SUBMISSIONS, SUBMISSION_MEMORY),
            process("a reader of events", MAX_SUBSCRIBERS, request),
            process("an event that is kept", MAX_STORED_EVENTS, SOURCE_TEXT),
            process("log lines in the queue", 1, LOG_MEMORY),
            process("the newest log lines, links and blocks", 1, SHOWN_MEMORY),
            kernel(
                "a listener's send buffer",
                limits.listeners + forwarded,
                sent_memory(limits.listener_send_buffer),
            ),
            // The kernel doubles the size that it is asked for.
            kernel("a socket of WebRTC", webrtc * MAX_SOCKETS, UDP_BUFFERS),
            kernel(
                "an answer that is not yet taken",
                answered,
                sent_memory(2 * control::RESPONSE_SEND_BUFFER),
            ),
            kernel(
                "a short answer that is not yet taken",
                at_door + pending_requests + final_responses,
                SHORT_ANSWER_MEMORY,
            ),
            kernel(
                "a connection and its receive buffer",
                connections + backlog,
                SOCKET_MEMORY + 2 * RECEIVE_BUFFER,
            ),
        ];
        items.retain(|item| item.count > 0);
        Self { files: files as u64, items }
    }

    /// The memory of the process itself, in bytes.
    pub fn process_total(&self) -> u64 {
        self.sum(|item| item.owner == MemoryOwner::Process)
    }

    /// The sum of all items, in bytes.
    pub fn total(&self) -> u64 {
        self.sum(|_| true)
    }

    fn sum(&self, counts: impl Fn(&CeilingItem) -> bool) -> u64 {
        self.items.iter().filter(|item| counts(item)).map(CeilingItem::bytes).sum()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "memory, worst case:")?;
        for owner in [MemoryOwner::Process, MemoryOwner::Kernel] {
            writeln!(f, "  in the {}", owner.name())?;
            for item in self.items.iter().filter(|item| item.owner == owner) {
                let count =
                    if item.count == 1 { String::new() } else { format!("{} × ", item.count) };
                writeln!(f, "  {:>10.2} MiB  {count}{}", mib(item.bytes()), item.what)?;
            }
        }
        write!(
            f,
            "  {:>10.2} MiB  in all, {:.2} MiB of it in the process\nopen files, maximum: {}",
            mib(self.total()),
            mib(self.process_total()),
            self.files
        )
    }
}
