//! `silvacast on-demand`: runs an encoder while its mount is wanted, as a service of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Exit, OnDemandArgs, block_on, failed, password_in};
use crate::auth::Login;
use crate::encoder::{Encoder, EncoderState};
use crate::log::{Log, LogFormat, journal};
use crate::mount::Name;
use crate::peers::ServerUrl;
use crate::platform::{FileCheck, Manager, Service};
use crate::units;

/// Runs until a signal stops it.
pub(super) fn run(args: OnDemandArgs) -> Result<(), Exit> {
    let invalid =
        |what: &str, error: &dyn std::fmt::Display| Exit::Invalid(format!("{what}: {error}"));
    let server = ServerUrl::parse(&args.url).map_err(|error| invalid("--url", &error))?;
    let mount = Name::new(&args.mount).map_err(|error| invalid("--mount", &error))?;
    let linger = units::duration(&args.linger).map_err(|error| invalid("--linger", &error))?;
    let password = args.password_file.as_deref().map(password_in).transpose()?;
    if let Some(program) = args.command.first().filter(|program| !exists(Path::new(program))) {
        return Err(Exit::Invalid(format!("there is no program {}", program.display())));
    }
    let login = password.map(|password| Login { user: args.user, password });
    let encoder = Encoder { server, mount, login, linger, command: args.command };
    let cannot_run = |error: std::io::Error| failed(format!("cannot run: {error}"));
    let _log = Log::start(LogFormat::Text, false).map_err(cannot_run)?;
    let manager = Manager::new().map_err(cannot_run)?;
    let (stop, notifier) = (manager.stop(), manager.notifier());
    let heartbeat = manager.heartbeats().of("encoder");
    let (state, changed) = (Arc::new(Mutex::new(EncoderState::default())), watch::Sender::new(()));
    let service = RunningEncoder { state: Arc::clone(&state), changes: changed.subscribe() };
    let report = |now| {
        *state.lock().unwrap_or_else(PoisonError::into_inner) = now;
        changed.send_replace(());
    };
    block_on(async {
        let (mount, server) = (encoder.mount.to_string(), encoder.server.to_string());
        journal!(info, READY, version = env!("CARGO_PKG_VERSION"), mount, server, "ready");
        manager.ready(service).map_err(cannot_run)?;
        heartbeat.during(encoder.run(stop, report)).await;
        Ok(())
    })?;
    journal!(info, STOPPED, "stopped");
    notifier.flush();
    Ok(())
}

/// Whether this is a file, or the name of one in a directory of `PATH`.
fn exists(program: &Path) -> bool {
    if program.components().count() != 1 || program.is_absolute() {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The encoder, as the manager reports on it.
struct RunningEncoder {
    state: Arc<Mutex<EncoderState>>,
    changes: watch::Receiver<()>,
}

impl Service for RunningEncoder {
    fn status(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sentence()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }

    /// All that it knows is on the command line.
    fn reload(&self) -> Result<(), String> {
        Ok(())
    }

    fn check(&self) -> FileCheck {
        FileCheck { is_in_force: true, ..FileCheck::default() }
    }
}
