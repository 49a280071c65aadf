//! Listeners: clients that receive a mount's pages.
//!
//! A listener is a socket and a cursor. Pages are written to the socket directly from the ring,
//! without waiting, so a slow listener delays no other. A listener stays connected as long as its
//! peer acknowledges data, however slowly.

mod audience;
mod delivery;
mod filler;
mod player;
mod response;
mod writer;

use std::net::TcpStream;
use std::time::Duration;

pub use crate::tcp::SocketOptions;
pub use audience::Audience;
pub use player::{Amount, Delivery, Player, ResponseHead};
pub use response::head as response_head;
pub use writer::ListenerSession;

use filler::Filler;
use writer::Listener;

use crate::log::journal;

/// The maximum process memory of a listener, in bytes: its own state, its entries in the audience
/// and in the directory, and the response head until it is written.
pub const LISTENER_MEMORY: usize = 4 * 1024;

/// An upper limit for the computed duration of a burst.
const MAX_BURST: Duration = Duration::from_mins(10);

/// A listener that the door has admitted.
#[derive(Debug)]
pub struct ListenerConnection {
    /// The connection, from which the request has been read.
    pub socket: TcpStream,
    /// How the stream is delivered to its player.
    pub delivery: Delivery,
    /// Size of the kernel's send buffer, in bytes.
    pub send_buffer: usize,
    /// The options that the socket has; `None` if it has not inherited any.
    pub options: Option<SocketOptions>,
    /// Its registration and permits.
    pub session: ListenerSession,
}

impl ListenerConnection {
    /// Adds the listener to the audience and writes its first bytes.
    ///
    /// # Errors
    /// Returns the socket if the mount has no stream at this moment.
    pub fn join(self, audience: &Audience) -> Result<(), TcpStream> {
        let now = audience.clock().now();
        let view = audience.view();
        view.refresh();
        let pages = view.pages();
        let (Some(join), Some(stream)) = (pages.stream.clone(), view.shared().entry().stream())
        else {
            return Err(self.socket);
        };
        let rate = join.headers.codec.granules_per_second();
        let cursor = match self.delivery.burst {
            Amount::Time(Duration::ZERO) => pages.ring.end(),
            Amount::Time(time) => pages.ring.back_in_time(time, rate, join.start),
            Amount::Block(bytes, time) => {
                let in_time = pages.ring.back_in_time(time, rate, join.start);
                let in_bytes = pages.ring.back_in_bytes(bytes, join.start);
                if in_time.position() > in_bytes.position() { in_time } else { in_bytes }
            }
        };
        let era = pages.era;
        let entry = view.shared().entry();
        let burst_bytes = pages.ring.head() - cursor.position();
        let burst = entry.gauges.duration_of(burst_bytes);
        drop(pages);
        let mut head = match self.delivery.head {
            ResponseHead::Nothing => Vec::new(),
            kind => response_head(entry, &stream, kind == ResponseHead::WithVia),
        };
        let filler = self.delivery.filled_for.map(|demuxer| {
            head.extend_from_slice(Filler::begin(demuxer));
            Filler::new(burst_bytes, now)
        });
        let preamble = (head, &join);
        let mount = entry.name.as_str();
        let (peer, since) = {
            let info = self.session.registration.listener();
            (info.client.address, info.since)
        };
        let place = (cursor, burst.unwrap_or_default().min(MAX_BURST));
        let mut session = self.session;
        session.filler = filler;
        let listener = Listener::new(self.socket, preamble, place, era, session, now);
        let keep_alive = entry.settings().listener_timeout;
        let options = SocketOptions { send_buffer: self.send_buffer, keep_alive };
        let configured = options.set(listener.socket(), self.options);
        // A listener is logged once, when it leaves.
        match configured.and_then(|()| audience.add(listener)) {
            Ok(()) => entry.listener_joined(since.elapsed()),
            Err(error) => {
                journal!(
                    warn, LISTENER_LOST, mount, %peer, %error,
                    "cannot add the listener to the mount"
                );
            }
        }
        Ok(())
    }
}
