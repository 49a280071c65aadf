//! The process of an encoder, with those that it starts.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// How long an encoder has to end its stream.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The process of an encoder. Dropping this kills it.
#[derive(Debug)]
pub(super) struct EncoderProcess {
    child: Child,
    /// The process group: a script's encoder is stopped with the script.
    group: Pid,
}

impl EncoderProcess {
    /// Starts a program with its arguments.
    ///
    /// # Errors
    /// The system's error if there is no such program, or it cannot be started.
    pub(super) fn start(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let child =
            Command::new(program).args(arguments).stdin(Stdio::null()).process_group(0).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let group = Pid::from_raw(id.ok_or(io::ErrorKind::NotFound)?);
        Ok(Self { child, group })
    }

    /// The number of the process.
    pub(super) fn id(&self) -> i32 {
        self.group.as_raw()
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap_or_default()
    }

    /// Stops it, and what it has started and left: with SIGTERM, and with SIGKILL if that takes longer
    /// than [`STOP_TIMEOUT`].
    #[allow(clippy::disallowed_methods, reason = "the encoder's time does not stop with ours")]
    pub(super) async fn stop(mut self) {
        // It fails if all have ended.
        let _ = killpg(self.group, Signal::SIGTERM);
        // On a timeout, dropping this kills it.
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
    }
}

impl Drop for EncoderProcess {
    fn drop(&mut self) {
        // It fails if all have ended. tokio waits for the child's end.
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}
