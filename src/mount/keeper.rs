//! Keeps a mount's stream going while no source does, and ends it when none has for too long.
//!
//! It sleeps for as long as a gap takes to show, looks whether there is one, and costs a source
//! that sends nothing at all.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep_until;

use super::Mount;
use super::feed::Idle;

/// Keeps the stream of `mount` for as long as it is polled, on the mount's own thread.
pub async fn keep(mount: Arc<Mount>) -> Infallible {
    loop {
        match mount.idle(Instant::now()) {
            Idle::Until(then) => tokio::select! {
                () = sleep_until(then.into()) => {}
                () = mount.stirred.notified() => {}
            },
            Idle::Forever | Idle::Over => mount.stirred.notified().await,
        }
    }
}
