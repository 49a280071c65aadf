//! The conversation with whoever runs the service: signals in; readiness, status and proof of life out.
//!
//! It has a thread of its own, so that what is said is true of the others: the watchdog is told
//! that all is well only if every loop has advanced, and no loop waits for a service manager. Nothing
//! here waits for anybody outside either: messages go through a [`Notifier`], and the configuration is
//! read on a thread that may hang, as its files may be anywhere. So a signal is always heard.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::heartbeat::Heartbeats;
use super::notify::Notifier;
use crate::log::journal;

/// How often the status is looked at; it is sent where it has changed.
const STATUS: Duration = Duration::from_secs(1);

/// What the service manager hears of and what it may ask for.
pub trait Service: Send + Sync {
    /// One line on what is going on.
    fn status(&self) -> String;

    /// Takes over the configuration as it now is.
    ///
    /// # Errors
    /// One line on what is wrong with it; then nothing has changed.
    fn reload(&self) -> Result<(), String>;
}

/// The conversation, before anything has been said.
pub struct Manager {
    runtime: Runtime,
    signals: Signals,
    heartbeats: Heartbeats,
    /// How often the watchdog is told.
    look: Option<Duration>,
    stop: watch::Sender<bool>,
    asks: mpsc::Receiver<Ask>,
    reloader: Reloader,
    notifier: Notifier,
}

/// Asks for the configuration to be read again, as SIGHUP does.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<Ask>);

type Ask = oneshot::Sender<Result<(), String>>;

impl Reloader {
    /// One that nobody listens to yet, and its other end.
    fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, heard) = mpsc::channel(4);
        (Self(asks), heard)
    }

    /// Asks, and waits for what came of it.
    ///
    /// # Errors
    /// What was wrong.
    pub async fn ask(&self) -> Result<(), String> {
        let (answer, told) = oneshot::channel();
        let busy = || "the server is busy with it; try again in a moment".to_owned();
        self.0.try_send(answer).map_err(|_| busy())?;
        told.await.map_err(|_| busy())?
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Manager {
    /// Catches signals from now on. The watchdog's time is the environment's (`WATCHDOG_USEC`).
    ///
    /// # Errors
    /// What the system says where it lets no signal be caught.
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
        // sd_watchdog_enabled(3) has half of it; so a look may be late, or find a loop late, and nothing is lost.
        let look = sd_notify::watchdog_enabled().map(|time| time / 4);
        let heartbeats = look.map_or_else(Heartbeats::default, Heartbeats::watched);
        let (reloader, asks) = Reloader::new();
        let stop = watch::Sender::new(false);
        let notifier = Notifier::start()?;
        Ok(Self { runtime, signals, heartbeats, look, stop, asks, reloader, notifier })
    }

    /// Turns true at the first SIGTERM or SIGINT.
    pub fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// For whoever may ask for the configuration to be read again.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Tells the service manager; flush it before the process ends.
    pub fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Where loops that must advance sign in.
    pub fn heartbeats(&self) -> &Heartbeats {
        &self.heartbeats
    }

    /// Says that the server accepts, and goes on with the conversation on a thread of its own.
    ///
    /// # Errors
    /// What the system says where it gives no thread.
    pub fn ready(self, service: impl Service + 'static) -> io::Result<()> {
        let Self { runtime, signals, heartbeats, look, stop, asks, notifier, .. } = self;
        notifier.started(service.status());
        let talk = Talk {
            service: Arc::new(service),
            stop,
            asks,
            watchdog: Watchdog {
                heartbeats,
                notifier: notifier.clone(),
                behind: HashSet::new(),
                stuck: HashSet::new(),
            },
            notifier,
            said: String::new(),
            complaint: None,
            reload: None,
            next_reload: None,
        };
        let talking = move || runtime.block_on(talk.go_on(signals, look));
        std::thread::Builder::new().name("manager".into()).spawn(talking)?;
        Ok(())
    }
}

struct Talk<S> {
    service: Arc<S>,
    stop: watch::Sender<bool>,
    asks: mpsc::Receiver<Ask>,
    watchdog: Watchdog,
    notifier: Notifier,
    /// The status that was last sent.
    said: String,
    /// What was wrong with the configuration that was last read again.
    complaint: Option<String>,
    /// The configuration is being read again.
    reload: Option<Reload>,
    /// It has to be read once more after that, as somebody asked meanwhile; and who did.
    next_reload: Option<Vec<Ask>>,
}

/// The configuration as it is being read, and who wants to hear what came of it.
struct Reload {
    outcome: JoinHandle<Result<(), String>>,
    asks: Vec<Ask>,
}

impl<S: Service + 'static> Talk<S> {
    async fn go_on(mut self, mut signals: Signals, look: Option<Duration>) {
        let mut look = look.map(interval);
        if let Some(look) = &mut look {
            // After a sleep, one look and not all those that were missed.
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut status = interval(STATUS);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => self.end("SIGTERM"),
                _ = signals.interrupt.recv() => self.end("SIGINT"),
                _ = signals.hang_up.recv() => self.reload(Vec::new()),
                Some(ask) = self.asks.recv() => self.reload(vec![ask]),
                outcome = outcome(&mut self.reload) => self.reloaded(outcome),
                () = next(&mut look) => self.watchdog.look(),
                _ = status.tick() => self.tell_status(),
            }
        }
    }

    fn end(&self, signal: &str) {
        journal!(info, STOPPING, signal, "stopping");
        self.notifier.stopping();
        // Nobody waits any more where this fails.
        let _ = self.stop.send(true);
    }

    /// Has the configuration read, now or after it has been.
    fn reload(&mut self, asks: Vec<Ask>) {
        if self.reload.is_some() {
            self.next_reload.get_or_insert_default().extend(asks);
            return;
        }
        self.notifier.reloading();
        let service = Arc::clone(&self.service);
        self.reload = Some(Reload { outcome: spawn_blocking(move || service.reload()), asks });
    }

    fn reloaded(&mut self, outcome: Result<(), String>) {
        self.complaint = outcome.err();
        for ask in self.reload.take().into_iter().flat_map(|reload| reload.asks) {
            // The caller may have dropped the receiver.
            let _ = ask.send(self.complaint.clone().map_or(Ok(()), Err));
        }
        self.notifier.ready();
        self.tell_status();
        if let Some(asks) = self.next_reload.take() {
            self.reload(asks);
        }
    }

    fn tell_status(&mut self) {
        let mut status = self.service.status();
        if let Some(complaint) = &self.complaint {
            status = format!("configuration not taken over ({complaint}); {status}");
        }
        if status != self.said {
            self.notifier.status(status.clone());
            self.said = status;
        }
    }
}

/// What comes of reading the configuration, while it is read.
async fn outcome(reload: &mut Option<Reload>) -> Result<(), String> {
    match reload {
        Some(reload) => {
            let outcome = (&mut reload.outcome).await;
            outcome.unwrap_or_else(|error| Err(format!("cannot be read: {error}")))
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

/// Tells the service manager that all is well, for as long as it is.
struct Watchdog {
    heartbeats: Heartbeats,
    notifier: Notifier,
    /// The loops that had not advanced at the last look.
    behind: HashSet<String>,
    /// Those that had not at the one before it either, and have been named.
    stuck: HashSet<String>,
}

impl Watchdog {
    fn look(&mut self) {
        let behind = self.heartbeats.behind();
        // Once may be a machine that slept, or a thread that got no processor.
        for name in behind.intersection(&self.behind) {
            if self.stuck.insert(name.clone()) {
                journal!(
                    error,
                    LOOP_STUCK,
                    r#loop = name,
                    "a loop does not advance: the watchdog hears nothing until it does"
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
