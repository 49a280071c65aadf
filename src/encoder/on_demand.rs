//! Starts and stops an encoder as its mount becomes wanted and unwanted.
//!
//! The server says when the mount is wanted. While it cannot be asked, an encoder that runs keeps
//! running, since somebody may be listening, and one that does not run is not started.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::process::EncoderProcess;
use crate::auth::Login;
use crate::log::journal;
use crate::mount::Name;
use crate::peers::{Backoff, LEAST_INTERVAL, RemoteDemand, ServerUrl};

/// An encoder, and the mount that it sends to.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    /// The server.
    pub server: ServerUrl,
    /// The mount.
    pub mount: Name,
    /// The login of the mount's source, with which the server lists the mount.
    pub login: Option<Login>,
    /// How much longer the encoder runs when the mount is wanted no more.
    pub linger: Duration,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// What is being done about an encoder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum EncoderState {
    /// Nobody wants the mount.
    #[default]
    Idle,
    /// The encoder runs.
    Running,
    /// It is not known whether the mount is wanted, for this reason.
    Away(String),
    /// The encoder has ended although the mount is wanted, and is started again.
    Failed(String),
}

/// Why an encoder that runs does so no more.
enum RunEnd {
    Ended(ExitStatus),
    Unwanted,
}

impl Encoder {
    /// Runs the encoder while it is wanted, until `stop` becomes true. Then the encoder has a few seconds
    /// to end its stream.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>, report: impl Fn(EncoderState)) {
        let demand =
            RemoteDemand { server: &self.server, mount: &self.mount, login: self.login.as_ref() };
        let mut backoff = Backoff::default();
        // Fails only if the sender is gone, which ends the program.
        let stopped = async || _ = stop.clone().wait_for(|stop| *stop).await;
        loop {
            tokio::select! {
                () = stopped() => return,
                () = self.wanted(demand, &report) => {}
            }
            let began = Instant::now();
            let mount = self.mount.as_str();
            let reason = match EncoderProcess::start(&self.command) {
                Ok(mut process) => {
                    report(EncoderState::Running);
                    journal!(info, ENCODER_STARTED, mount, pid = process.id(), "encoder started");
                    let end = tokio::select! {
                        () = stopped() => {
                            process.stop().await;
                            return;
                        }
                        status = process.ended() => RunEnd::Ended(status),
                        () = self.unwanted(demand) => RunEnd::Unwanted,
                    };
                    process.stop().await;
                    match end {
                        RunEnd::Unwanted => {
                            let seconds = began.elapsed().as_secs();
                            journal!(
                                info,
                                ENCODER_STOPPED,
                                mount,
                                seconds,
                                "encoder stopped: nobody wants the mount"
                            );
                            backoff = Backoff::default();
                            report(EncoderState::Idle);
                            // For a server that contradicts itself.
                            sleep(LEAST_INTERVAL.saturating_sub(began.elapsed())).await;
                            continue;
                        }
                        RunEnd::Ended(status) => format!("it ended with {status}"),
                    }
                }
                Err(error) => format!("it cannot be started: {error}"),
            };
            let delay = backoff.next(began.elapsed());
            let seconds = delay.as_secs_f32();
            journal!(
                warn,
                ENCODER_FAILED,
                mount,
                reason,
                seconds,
                "encoder not running; starting it again if the mount is wanted"
            );
            report(EncoderState::Failed(reason));
            tokio::select! {
                () = stopped() => return,
                () = sleep(delay) => {}
            }
        }
    }

    /// Resolves when the mount is wanted. A server that cannot be asked is asked again.
    async fn wanted(&self, demand: RemoteDemand<'_>, report: impl Fn(EncoderState)) {
        let (mut backoff, mut last) = (Backoff::default(), String::new());
        loop {
            let began = Instant::now();
            let Err(error) = demand.becomes(true).await else { return };
            let (mount, server, reason) =
                (self.mount.as_str(), self.server.to_string(), error.to_string());
            let delay = backoff.next(began.elapsed());
            if reason != last {
                let seconds = delay.as_secs_f32();
                journal!(
                    warn,
                    DEMAND_UNKNOWN,
                    mount,
                    server,
                    reason,
                    seconds,
                    "cannot learn whether the mount is wanted; trying again"
                );
                report(EncoderState::Away(reason.clone()));
                last = reason;
            }
            sleep(delay).await;
        }
    }

    /// Resolves when the mount has not been wanted for `linger`.
    async fn unwanted(&self, demand: RemoteDemand<'_>) {
        loop {
            demand.ends().await;
            tokio::select! {
                () = sleep(self.linger) => return,
                Ok(()) = demand.becomes(true) => {}
            }
        }
    }
}

impl EncoderState {
    /// In one line, for the service manager.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Idle => "idle: nobody listens".into(),
            Self::Running => "encoding".into(),
            Self::Away(reason) => format!("cannot learn whether the mount is wanted: {reason}"),
            Self::Failed(reason) => format!("encoder not running: {reason}"),
        }
    }
}
