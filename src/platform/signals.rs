//! Signals that mean: stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A value that turns true at the first SIGTERM or SIGINT.
///
/// # Errors
/// What the system says where it lets no signal be caught.
pub fn stop_requested() -> io::Result<watch::Receiver<bool>> {
    let (stop, stopping) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(event = "stopping", signal = name, "stopping");
                // Nobody waits any more where this fails.
                let _ = stop.send(true);
            }
        });
    })?;
    Ok(stopping)
}
