//! A source: reads an encoder's connection and publishes its pages.
//!
//! A source waits only for bytes from its encoder, and for milliseconds if the encoder sends many
//! times faster than real time. It publishes what one read has brought and begins to write it to the
//! listeners, both without waiting: no listener, log or status request can delay it. So the socket
//! is always drained, and the recording at the other end is never blocked.

mod body;
mod connection;
mod end;
mod reader;
mod sniff;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{JoinSet, yield_now};

pub use body::{BodyFraming, BrokenChunks, ChunkState};
pub use connection::{ResponseTiming, SourceConnection};
pub use end::empty_body_reply;

use end::{SourceEnd, send_final_response};
use reader::SourceReader;

use crate::clock::Clock;
use crate::listener::Audience;
use crate::log::journal;
use crate::mount::{Claim, MountEntry, Revocation, RevokeReason};
use crate::platform::Heartbeat;
use crate::quota::Quota;
use crate::tcp;

/// The maximum number of ended sources per worker that are sent a final response at the same time.
pub const MAX_FINAL_RESPONSES: usize = 32;

/// Serves a source until its connection ends or its claim is revoked; bytes that arrive after that
/// are discarded. Writes its pages to `audience`, the listeners on the mount's home thread. Drops
/// the claim in each case.
pub async fn serve(
    connection: SourceConnection,
    (mut claim, revocation): (Claim, Revocation),
    audience: Rc<Audience>,
    heartbeat: Heartbeat,
    final_responses: Arc<Quota>,
) {
    let began = Instant::now();
    let clock = audience.clock().clone();
    let entry = Arc::clone(claim.entry());
    let peer = connection.peer;
    // Behind a proxy, the client's address differs from the peer's.
    let client = connection.description.address.map(tracing::field::display);
    let agent = connection.description.agent.clone().unwrap_or_default();
    let mount = entry.name.as_str();
    journal!(info, SOURCE_CONNECTED, mount, %peer, client, agent, "source connected");
    let mut reader = match SourceReader::new(connection, clock.clone()) {
        Ok(reader) => reader,
        Err(error) => {
            journal!(warn, SOURCE_LOST, mount, %peer, %error, "cannot serve the source");
            return;
        }
    };
    // A task of its own: its timers need not be looked at for every page.
    let mut supervisor = JoinSet::new();
    let heard = Rc::new(Cell::new(clock.now()));
    supervisor.spawn_local(supervise(
        Rc::clone(&heard),
        Arc::clone(&entry),
        revocation,
        heartbeat,
        clock.clone(),
    ));
    let end = tokio::select! {
        biased;
        Some(Ok(end)) = supervisor.join_next() => end,
        end = reader.run(&mut claim, &audience, &heard) => end,
    };
    drop((claim, audience, supervisor));
    let end = match end {
        SourceEnd::Disconnected | SourceEnd::Complete if reader.bytes == 0 => SourceEnd::Empty,
        SourceEnd::TimedOut(timeout) if reader.bytes == 0 => SourceEnd::Silent(timeout),
        end => end,
    };
    reader.report_end(&end);
    let seconds = began.elapsed().as_secs();
    let (bytes, damaged) = (reader.bytes, reader.damaged_bytes);
    match &end {
        SourceEnd::Complete | SourceEnd::TakenOver | SourceEnd::Evicted(_) => {
            let by = if let SourceEnd::Evicted(by) = &end { Some(by) } else { None };
            let by_user = by.map(|by| &*by.user);
            let by_client = by.map(|by| tracing::field::display(by.address));
            journal!(
                info, SOURCE_ENDED, mount, %peer, reason = %end, by_user, by_client, seconds,
                bytes, damaged,
                "source ended"
            );
        }
        _ => journal!(
            warn, SOURCE_ENDED, mount, %peer, reason = %end, seconds, bytes, damaged,
            "source ended"
        ),
    }
    // Ending the connection may take seconds and needs only the socket: free the buffers now.
    let (socket, body, answered) = reader.into_connection();
    // If too many sources are ending, close the connection without a final response.
    let Some(_permit) = final_responses.take(MAX_FINAL_RESPONSES) else { return };
    if answered {
        tcp::finish(&socket, &clock).await;
    } else {
        send_final_response(socket, body, &end, &clock).await;
    }
}

/// Beats while the source is served, and returns why it must not be served any more. `heard` is when
/// it last sent something.
async fn supervise(
    heard: Rc<Cell<Instant>>,
    entry: Arc<MountEntry>,
    revocation: Revocation,
    heartbeat: Heartbeat,
    clock: Clock,
) -> SourceEnd {
    let end = async {
        tokio::select! {
            reason = revocation.revoked() => match reason {
                RevokeReason::TakenOver => SourceEnd::TakenOver,
                RevokeReason::Evicted(by) => SourceEnd::Evicted(by),
            },
            end = silence(&entry, &heard, &clock) => end,
        }
    };
    heartbeat.during(end).await
}

/// Resolves when the source has sent nothing for the mount's `source_timeout`. `heard` is when it
/// last sent something.
async fn silence(entry: &MountEntry, heard: &Cell<Instant>, clock: &Clock) -> SourceEnd {
    loop {
        let timeout = entry.settings().source_timeout;
        let is_over = || {
            // After the server was suspended, the source's TCP may need as long again to resume.
            clock.now().saturating_duration_since(heard.get()) >= timeout && clock.grace().is_zero()
        };
        match heard.get().checked_add(timeout) {
            Some(end) => clock.sleep_until(end.max(clock.now() + clock.grace())).await,
            None => std::future::pending().await,
        }
        if is_over() {
            // Data may have arrived while this thread did not run: it is read first.
            yield_now().await;
            if is_over() {
                return SourceEnd::TimedOut(timeout);
            }
        }
    }
}
