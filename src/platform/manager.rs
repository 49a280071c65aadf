//! The link to the service manager: handles signals, reports readiness and status, and pings the
//! watchdog.
//!
//! The manager runs on a separate thread, so it can judge the other threads: it pings the watchdog
//! only if every loop has advanced. The manager itself never blocks, so it always handles a signal.
//! Messages go through a [`Notifier`]. The configuration is read on a blocking thread, because its
//! files may be on a file system that hangs.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::heartbeat::Heartbeats;
use super::notify::Notifier;
use crate::log::journal;

/// The least time between two statuses.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Reload requests that can wait for the manager.
const RELOAD_QUEUE: usize = 4;

/// The service that the manager reports on.
pub trait Service: Send + Sync {
    /// The current status, in one line.
    fn status(&self) -> String;

    /// Changes when the status may have changed.
    fn changes(&self) -> watch::Receiver<()>;

    /// Reads the configuration again and puts it in force.
    ///
    /// # Errors
    /// One line that says what is wrong with the configuration. Nothing has changed then.
    fn reload(&self) -> Result<(), String>;

    /// Reads the configuration again, and puts nothing in force.
    fn check(&self) -> FileCheck;
}

/// What a reload would find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileCheck {
    /// The file; `None` if the service was started without one.
    pub file: Option<String>,
    /// Why it cannot be put in force.
    pub problems: Vec<String>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
    /// The keys that a reload does not change.
    pub needs_restart: Vec<String>,
    /// Whether a reload would change nothing.
    pub is_in_force: bool,
}

/// The link to the service manager, before the server is ready.
pub struct Manager {
    runtime: Runtime,
    signals: Signals,
    heartbeats: Heartbeats,
    /// Time between two checks of the heartbeats; `None` if there is no watchdog.
    check_interval: Option<Duration>,
    stop: watch::Sender<bool>,
    requests: mpsc::Receiver<ConfigRequest>,
    reloader: Reloader,
    notifier: Notifier,
}

/// Requests a reload of the configuration, as SIGHUP does, or a check of its file.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<ConfigRequest>);

enum ConfigRequest {
    Reload(ReloadReply),
    Check(oneshot::Sender<FileCheck>),
}

/// A reload request: where its outcome is sent. The error is a sentence for a person.
type ReloadReply = oneshot::Sender<Result<(), String>>;

impl Reloader {
    /// A reloader, and the queue of its requests.
    fn new() -> (Self, mpsc::Receiver<ConfigRequest>) {
        let (requests, queue) = mpsc::channel(RELOAD_QUEUE);
        (Self(requests), queue)
    }

    /// Requests a reload and waits for its outcome.
    ///
    /// # Errors
    /// A sentence for the client: what is wrong with the configuration, or that too many reloads
    /// are waiting.
    pub async fn ask(&self) -> Result<(), String> {
        self.request(ConfigRequest::Reload).await?
    }

    /// What a reload would find.
    ///
    /// # Errors
    /// A sentence for the client: too many reloads are waiting.
    pub async fn check(&self) -> Result<FileCheck, String> {
        self.request(ConfigRequest::Check).await
    }

    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> ConfigRequest,
    ) -> Result<T, String> {
        let (reply, outcome) = oneshot::channel();
        let busy = || "too many reloads are waiting; try again in a moment".to_owned();
        self.0.try_send(request(reply)).map_err(|_| busy())?;
        outcome.await.map_err(|_| busy())
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Manager {
    /// Installs the signal handlers. The watchdog's timeout comes from the environment
    /// (`WATCHDOG_USEC`, `sd_watchdog_enabled(3)`).
    ///
    /// # Errors
    /// The system's error if a signal handler, the runtime or a thread cannot be created.
    pub fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
            }
        };
        // sd_watchdog_enabled(3) recommends half the timeout. A quarter allows one check that is
        // late, or that finds a loop late.
        let check_interval = sd_notify::watchdog_enabled().map(|timeout| timeout / 4);
        let (reloader, requests) = Reloader::new();
        let stop = watch::Sender::new(false);
        let notifier = Notifier::start()?;
        Ok(Self {
            runtime,
            signals,
            heartbeats: Heartbeats::default(),
            check_interval,
            stop,
            requests,
            reloader,
            notifier,
        })
    }

    /// The stop signal: becomes true at the first SIGTERM or SIGINT.
    pub fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Requests reloads.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Sends messages to the service manager. Flush it before the process ends.
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Where loops that must advance register.
    pub fn heartbeats(&self) -> &Heartbeats {
        &self.heartbeats
    }

    /// Reports that the server accepts connections, and runs the manager on the thread `manager`.
    ///
    /// # Errors
    /// The system's error if the thread cannot be created.
    pub fn ready(self, service: impl Service + 'static) -> io::Result<()> {
        let Self { runtime, signals, heartbeats, check_interval, stop, requests, notifier, .. } =
            self;
        notifier.started(service.status());
        let manager = RunningManager {
            service: Arc::new(service),
            stop,
            requests,
            watchdog: Watchdog {
                heartbeats,
                notifier: notifier.clone(),
                behind: HashSet::new(),
                stuck: HashSet::new(),
            },
            notifier,
            last_status: String::new(),
            reload_error: None,
            reload: None,
            next_reload: None,
        };
        let run = move || runtime.block_on(manager.run(signals, check_interval));
        std::thread::Builder::new().name("manager".into()).spawn(run)?;
        Ok(())
    }
}

/// The manager once the server is ready.
struct RunningManager<S> {
    service: Arc<S>,
    stop: watch::Sender<bool>,
    requests: mpsc::Receiver<ConfigRequest>,
    watchdog: Watchdog,
    notifier: Notifier,
    /// The status that was sent last.
    last_status: String,
    /// Why the last reload failed, if it did.
    reload_error: Option<String>,
    /// The reload that is running.
    reload: Option<ReloadTask>,
    /// Requests that came while a reload was running: it may have read the old file, so another
    /// reload follows.
    next_reload: Option<Vec<ReloadReply>>,
}

/// A running reload, and the requests that wait for its outcome.
struct ReloadTask {
    outcome: JoinHandle<Result<(), String>>,
    replies: Vec<ReloadReply>,
}

impl<S: Service + 'static> RunningManager<S> {
    async fn run(mut self, mut signals: Signals, check_interval: Option<Duration>) {
        let mut checks = check_interval.map(interval);
        if let Some(checks) = &mut checks {
            // After a stall of the process, check once, not once per missed tick.
            checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut changes = self.service.changes();
        let mut status_due = Some(Instant::now());
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => self.stop("SIGTERM"),
                _ = signals.interrupt.recv() => self.stop("SIGINT"),
                _ = signals.hang_up.recv() => self.reload(Vec::new()),
                Some(request) = self.requests.recv() => match request {
                    ConfigRequest::Reload(reply) => self.reload(vec![reply]),
                    ConfigRequest::Check(reply) => self.check(reply),
                },
                outcome = outcome(&mut self.reload) => self.reloaded(outcome),
                () = next(&mut checks) => {
                    self.watchdog.check();
                    // Memory can grow without anything that `changes` tells of.
                    self.send_status();
                }
                Ok(()) = changes.changed(), if status_due.is_none() => {
                    status_due = Some(Instant::now() + STATUS_INTERVAL);
                }
                () = sleep_until(status_due.unwrap_or_else(Instant::now)),
                    if status_due.is_some() =>
                {
                    status_due = None;
                    self.send_status();
                }
            }
        }
    }

    fn stop(&self, signal: &str) {
        journal!(info, STOPPING, signal, "stopping");
        self.notifier.stopping();
        // Fails only if every receiver is gone, so there is nothing left to stop.
        let _ = self.stop.send(true);
    }

    /// Starts a reload, or schedules one if a reload is running.
    fn reload(&mut self, replies: Vec<ReloadReply>) {
        if self.reload.is_some() {
            self.next_reload.get_or_insert_default().extend(replies);
            return;
        }
        self.notifier.reloading();
        let service = Arc::clone(&self.service);
        self.reload =
            Some(ReloadTask { outcome: spawn_blocking(move || service.reload()), replies });
    }

    /// Checks the file beside whatever else is done.
    fn check(&self, reply: oneshot::Sender<FileCheck>) {
        let service = Arc::clone(&self.service);
        // The caller may have dropped the receiver.
        spawn_blocking(move || _ = reply.send(service.check()));
    }

    fn reloaded(&mut self, outcome: Result<(), String>) {
        self.reload_error = outcome.err();
        for reply in self.reload.take().into_iter().flat_map(|reload| reload.replies) {
            // The caller may have dropped the receiver.
            let _ = reply.send(self.reload_error.clone().map_or(Ok(()), Err));
        }
        self.notifier.ready();
        self.send_status();
        if let Some(replies) = self.next_reload.take() {
            self.reload(replies);
        }
    }

    fn send_status(&mut self) {
        let mut status = self.service.status();
        if let Some(error) = &self.reload_error {
            status = format!("configuration not reloaded ({error}); {status}");
        }
        if status != self.last_status {
            self.notifier.status(status.clone());
            self.last_status = status;
        }
    }
}

/// Waits for the outcome of the running reload; never resolves if no reload is running.
async fn outcome(reload: &mut Option<ReloadTask>) -> Result<(), String> {
    match reload {
        Some(reload) => {
            let outcome = (&mut reload.outcome).await;
            outcome.unwrap_or_else(|error| Err(format!("the reload failed: {error}")))
        }
        None => std::future::pending().await,
    }
}

async fn next(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => _ = interval.tick().await,
        None => std::future::pending().await,
    }
}

/// Pings the service manager's watchdog while every loop advances.
struct Watchdog {
    heartbeats: Heartbeats,
    notifier: Notifier,
    /// The loops that had not advanced at the last check.
    behind: HashSet<String>,
    /// The loops that have been reported as stuck: they had not advanced at two checks in a row.
    stuck: HashSet<String>,
}

impl Watchdog {
    fn check(&mut self) {
        let behind = self.heartbeats.check();
        // A loop that is behind at one check only is not stuck: the process may have been stopped,
        // or the thread may not have been scheduled.
        for name in behind.intersection(&self.behind) {
            if self.stuck.insert(name.clone()) {
                journal!(
                    error,
                    LOOP_STUCK,
                    r#loop = name,
                    "a loop does not advance; no watchdog pings until it does"
                );
            }
        }
        self.stuck.retain(|name| {
            let still = behind.contains(name);
            if !still {
                journal!(info, LOOP_RESUMED, r#loop = name, "a loop advances again");
            }
            still
        });
        if behind.is_empty() {
            self.notifier.watchdog();
        }
        self.behind = behind;
    }
}
