//! Listeners: from a request for a mount to its pages in a socket.
//!
//! A listener costs a cursor and a socket. It is written to straight from the ring,
//! without waiting; whatever it does costs itself only. What counts is whether its peer acknowledges what is
//! sent: one that reads, however slowly, stays.

mod audience;
mod burst;
mod response;
mod writer;

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

pub use audience::Audience;
pub use burst::{Amount, Player, amount};
pub use response::head as response_head;
pub use writer::ListenerSession;

use writer::Listener;

use crate::log::journal;
use crate::tcp::keep_alive;

/// What a listener takes of the process's memory at the most, in bytes: itself, its place in the
/// audience, and the answer's head until the kernel has it.
pub const LISTENER_MEMORY: usize = 4 * 1024;

/// The longest burst that there can be.
const LONGEST_BURST: Duration = Duration::from_mins(10);

/// A listener whom the door has let in.
#[derive(Debug)]
pub struct ListenerConnection {
    /// The connection, its request already read.
    pub socket: TcpStream,
    /// How much of the past it gets.
    pub burst: Amount,
    /// Kernel memory for what it has not yet received, in bytes.
    pub send_buffer: usize,
    /// Who it is.
    pub session: ListenerSession,
}

impl ListenerConnection {
    /// Puts the listener into the audience; its first bytes leave now.
    ///
    /// # Errors
    /// Gives the socket back if the mount has nothing to hear at this moment.
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
        let cursor = match self.burst {
            Amount::Time(Duration::ZERO) => pages.ring.end(),
            Amount::Time(time) => pages.ring.back_in_time(time, rate, join.start),
            Amount::Bytes(bytes) => pages.ring.back_in_bytes(bytes, join.start),
        };
        let era = pages.era;
        let ahead = view.shared().entry().gauges.duration_of(pages.ring.head() - cursor.position());
        drop(pages);
        let opening = (response_head(&stream), &join);
        let entry = view.shared().entry();
        let name = entry.name.as_str();
        let (peer, since) = {
            let info = self.session.registration.listener();
            (info.address, info.since)
        };
        let place = (cursor, ahead.unwrap_or_default().min(LONGEST_BURST));
        let listener = Listener::new(self.socket, opening, place, era, self.session, now);
        let tuned = tune(listener.socket(), self.send_buffer, entry.settings().listener_timeout);
        // That it was here is said when it leaves, in one line.
        match tuned.and_then(|()| audience.add(listener)) {
            Ok(()) => entry.listener_joined(since.elapsed()),
            Err(error) => {
                journal!(warn, LISTENER_LOST, mount = name, %peer, %error, "listener lost on joining");
            }
        }
        Ok(())
    }
}

/// No delay, a bounded share of kernel memory, and probes for a peer that vanished while it had nothing to
/// acknowledge. There is no `TCP_USER_TIMEOUT`: it ends a connection whose window is closed whenever the kernel
/// probes, whatever its peer reads in between.
fn tune(socket: &TcpStream, send_buffer: usize, timeout: Duration) -> io::Result<()> {
    let options = SockRef::from(socket);
    options.set_tcp_nodelay(true)?;
    // The kernel doubles what it is asked for, and counts its own overhead in it.
    options.set_send_buffer_size(send_buffer / 2)?;
    keep_alive(socket, timeout)
}
