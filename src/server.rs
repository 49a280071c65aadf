//! The composition root: starts the threads, and takes them down again.
//!
//! The door runs on the thread that calls [`Server::run`]; each data-plane thread and the control
//! plane have one of their own. They share the [`Table`] and the settings in force, and nothing else.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::client::{LoginGuard, PasswordChecker};
use crate::config::{Budget, Config};
use crate::control::{self, Control, ControlSettings, MemoryCeiling, Metrics};
use crate::door::{Door, DoorSettings, LoginGuards};
use crate::mount::Table;
use crate::platform::{Heartbeats, Reloader, resident};
use crate::quota::Quota;
use crate::tcp;
use crate::worker::{self, Workers};

/// A server that has yet to run.
#[derive(Debug)]
pub(crate) struct Server {
    table: Arc<Table>,
    listeners: Arc<Quota>,
    door: Arc<ArcSwap<DoorSettings>>,
    control: Arc<ArcSwap<ControlSettings>>,
    ceiling: Arc<MemoryCeiling>,
    config: Config,
}

/// A running server from outside: what goes on in it, and which configuration is in force.
#[derive(Debug)]
pub(crate) struct ServerHandle {
    table: Arc<Table>,
    listeners: Arc<Quota>,
    door: Arc<ArcSwap<DoorSettings>>,
    control: Arc<ArcSwap<ControlSettings>>,
    config: Config,
    /// The most memory that it can take.
    ceiling: Arc<MemoryCeiling>,
}

impl Server {
    /// A server with this configuration.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            ceiling: Arc::new(MemoryCeiling::new(Budget::of(&config).items)),
            table: Arc::default(),
            listeners: Arc::default(),
            door: Arc::new(ArcSwap::from_pointee(config.door.clone())),
            control: Arc::new(ArcSwap::from_pointee(config.control.clone())),
            config,
        }
    }

    /// A view of it that stays true while it runs.
    pub(crate) fn handle(&self) -> ServerHandle {
        ServerHandle {
            table: Arc::clone(&self.table),
            listeners: Arc::clone(&self.listeners),
            door: Arc::clone(&self.door),
            control: Arc::clone(&self.control),
            config: self.config.clone(),
            ceiling: Arc::clone(&self.ceiling),
        }
    }

    /// Serves on `sockets` until `stop` turns true and the drain is over. `ready` is called once
    /// every socket accepts. Each loop that must advance has one of the `heartbeats`.
    ///
    /// # Errors
    /// What the system says where it gives no thread or no runtime.
    pub(crate) fn run(
        self,
        sockets: Vec<TcpListener>,
        reloader: Reloader,
        heartbeats: &Heartbeats,
        stop: &watch::Receiver<bool>,
        ready: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let checker = PasswordChecker::start()?;
        let gates = LoginGuards {
            sources: LoginGuard::default(),
            listeners: LoginGuard::default(),
            checker,
        };
        let (workers, queues) = Workers::new(self.config.workers);
        let backlog = tcp::backlog(self.config.door.limits.listeners);
        let (to_control, arrivals) = mpsc::channel(control::REQUEST_QUEUE);
        let address = sockets.first().and_then(|socket| socket.local_addr().ok());
        let control = Control {
            settings: self.control,
            port: address.map_or(0, |address| address.port()),
            since: SystemTime::now(),
            metrics: Metrics::new(Arc::clone(&self.table), self.ceiling),
            table: Arc::clone(&self.table),
            workers: workers.clone(),
            guard: LoginGuard::default(),
            reloader,
        };
        let mut threads = Vec::new();
        for (number, queue) in queues.into_iter().enumerate() {
            let name = format!("audio-{number}");
            let (heartbeat, heartbeats, stop) =
                (heartbeats.of(&*name), heartbeats.clone(), stop.clone());
            threads.push(thread(&name, move |runtime| {
                runtime.block_on(worker::run(queue, heartbeat, heartbeats, stop));
            })?);
        }
        let (heartbeat, stop_control) = (heartbeats.of("control"), stop.clone());
        threads.push(thread("control", move |runtime| {
            runtime.block_on(control.serve(arrivals, heartbeat, stop_control));
        })?);
        let door = Door::new(self.door, self.table, self.listeners, workers, to_control, gates);
        runtime()?.block_on(async {
            let mut accepting = Vec::new();
            for socket in sockets {
                let name = socket.local_addr().map(|address| format!("accept on {address}"))?;
                accepting.push((tcp::accepting(socket, backlog)?, heartbeats.of(name)));
            }
            ready()?;
            door.serve(accepting, stop.clone()).await;
            io::Result::Ok(())
        })?;
        for thread in threads {
            // A thread that panicked has taken the process with it, where panics abort.
            let _ = thread.join();
        }
        Ok(())
    }
}

impl ServerHandle {
    /// One line: `3 microphones, 12 listeners, 41/64 MiB worst case`.
    pub(crate) fn sentence(&self) -> String {
        let count =
            |number: usize, what| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        format!(
            "{}, {}, {}/{} MiB worst case",
            count(self.table.streams().len(), "microphone"),
            count(self.listeners.taken(), "listener"),
            resident() >> 20,
            self.ceiling.total().div_ceil(1 << 20),
        )
    }

    /// The configuration that the server began with.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Puts another configuration in force, without touching a connection: each request and each
    /// mount goes by it from now on.
    pub(crate) fn put_in_force(&self, config: &Config) {
        // In this order: a mount that is made in between finds the new rules already.
        self.door.store(Arc::new(config.door.clone()));
        self.table.follow(&config.door.rules);
        self.control.store(Arc::new(config.control.clone()));
        // Mounts that there are keep their rings.
        self.ceiling.raise(Budget::of(config).items);
    }
}

fn thread(name: &str, work: impl FnOnce(&Runtime) + Send + 'static) -> io::Result<JoinHandle<()>> {
    let runtime = runtime()?;
    Builder::new().name(name.into()).spawn(move || work(&runtime))
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
