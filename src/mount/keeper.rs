//! Keeps a mount's stream going while no source does, and ends it when none has for too long.
//!
//! Wakes once per gap interval to check for a gap; it does no work while a source is sending.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::task::yield_now;

use super::Mount;
use super::feed::Idle;
use crate::clock::Clock;

/// Keeps the stream of `mount` for as long as it is polled, on the mount's own thread.
pub async fn keep(mount: Arc<Mount>, clock: Clock) -> Infallible {
    loop {
        match mount.idle(clock.moment()) {
            Idle::Until(then) => tokio::select! {
                // What sources have sent until now is read before it is missed.
                () = async { clock.sleep_until(then).await; yield_now().await } => {}
                () = mount.stirred.notified() => {}
            },
            Idle::Forever | Idle::Over => mount.stirred.notified().await,
        }
    }
}
