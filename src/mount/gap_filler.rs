//! Continues a mount's stream while no source sends, and ends it after the hold time.
//!
//! Wakes once per gap interval to check for a gap; it does no work while a source is sending.

use std::convert::Infallible;
use std::rc::Rc;

use tokio::task::yield_now;

use super::home::HomeMount;
use super::logical_stream::IdleOutcome;
use crate::clock::Clock;

/// Fills the gaps of `mount`. Never returns; drop the future to stop.
pub async fn fill_gaps(mount: Rc<HomeMount>, clock: Clock) -> Infallible {
    loop {
        match mount.idle(clock.moment()) {
            IdleOutcome::Until(deadline) => tokio::select! {
                // Let the source's task read what has already arrived before checking for a gap.
                () = async { clock.sleep_until(deadline).await; yield_now().await } => {}
                () = mount.changed.notified() => {}
            },
            IdleOutcome::Forever | IdleOutcome::Over => mount.changed.notified().await,
        }
    }
}
