//! The composition root: creates the threads, connects them, and waits for their end.
//!
//! The door runs on the thread that calls [`Server::run`]. Each worker and the control plane have a
//! thread. The threads share the [`MountTable`] and the settings in force.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use arc_swap::ArcSwap;
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, watch};

use crate::client::{
    ConnectionQuotas, CredentialKind, KnownCredentials, LinkRegister, LoginGuard, PasswordChecker,
};
use crate::clock::Timestamp;
use crate::config::{Budget, Config};
use crate::control::{
    self, Administration, Control, ControlSettings, Detections, MemoryCeiling, Metrics, Resources,
    ShownConfig, Whep,
};
use crate::detections::DetectionLog;
use crate::door::{Admittance, Dispatcher, Door, DoorSettings, LoginGuards};
use crate::hls::HlsListeners;
use crate::mount::MountTable;
use crate::peers::{PeerDirectory, PeerSettings, Peers};
use crate::platform::{Heartbeats, Reloader, resident};
use crate::quota::Quota;
use crate::tcp::{self, SocketOptions};
use crate::webrtc::{WebRtcMessage, WebRtcQueue, WebRtcService};
use crate::worker::{self, WorkerQueue, Workers};

/// A server that is not running yet.
#[derive(Debug)]
pub(crate) struct Server {
    table: Arc<MountTable>,
    listeners: Arc<Quota>,
    door: Arc<ArcSwap<DoorSettings>>,
    control: Arc<ArcSwap<ControlSettings>>,
    peers: Arc<ArcSwap<PeerSettings>>,
    shown: Arc<ArcSwap<ShownConfig>>,
    ceiling: Arc<MemoryCeiling>,
    config: Config,
}

/// Access to a running server: its status, and the configuration in force.
#[derive(Debug)]
pub(crate) struct ServerHandle {
    table: Arc<MountTable>,
    listeners: Arc<Quota>,
    door: Arc<ArcSwap<DoorSettings>>,
    control: Arc<ArcSwap<ControlSettings>>,
    peers: Arc<ArcSwap<PeerSettings>>,
    shown: Arc<ArcSwap<ShownConfig>>,
    /// The configuration with which the server was started.
    config: Config,
    /// The most memory that the server can take.
    ceiling: Arc<MemoryCeiling>,
}

impl Server {
    /// A server with this configuration.
    pub(crate) fn new(config: Config) -> Self {
        let table = MountTable::default();
        table.follow(&config.door.rules);
        Self {
            ceiling: Arc::new(MemoryCeiling::new(Budget::of(&config).items)),
            table: Arc::new(table),
            listeners: Arc::default(),
            door: Arc::new(ArcSwap::from_pointee(config.door.clone())),
            control: Arc::new(ArcSwap::from_pointee(config.control.clone())),
            peers: Arc::new(ArcSwap::from_pointee(config.peers.clone())),
            shown: Arc::new(ArcSwap::from_pointee(config.shown.clone())),
            config,
        }
    }

    /// A handle that stays valid while the server runs.
    pub(crate) fn handle(&self) -> ServerHandle {
        ServerHandle {
            table: Arc::clone(&self.table),
            listeners: Arc::clone(&self.listeners),
            door: Arc::clone(&self.door),
            control: Arc::clone(&self.control),
            peers: Arc::clone(&self.peers),
            shown: Arc::clone(&self.shown),
            config: self.config.clone(),
            ceiling: Arc::clone(&self.ceiling),
        }
    }

    /// Serves on `sockets` until `stop` becomes true and all streams have been ended. Calls `ready`
    /// when every socket accepts connections. Each loop that must advance registers in
    /// `heartbeats`.
    ///
    /// # Errors
    /// The system's error if a thread, a runtime or a listening socket cannot be set up.
    pub(crate) fn run(
        self,
        sockets: Vec<TcpListener>,
        webrtc: Option<WebRtcService>,
        reloader: Reloader,
        heartbeats: &Heartbeats,
        stop: &watch::Receiver<bool>,
        ready: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let links = Arc::<LinkRegister>::default();
        let (guards, admin_guard, detector_guard) = login_guards(Arc::clone(&links))?;
        let readers = self.config.workers + usize::from(webrtc.is_some());
        let (workers, queues) = Workers::new(self.config.workers, readers);
        let (webrtc_queue, messages) = WebRtcQueue::new();
        let webrtc_queue = webrtc.as_ref().map(|_| webrtc_queue);
        if webrtc.is_some() {
            self.table.has_webrtc();
        }
        let webrtc = webrtc.map(|service| (service, messages));
        let backlog = tcp::backlog(self.config.door.limits.listeners);
        let (to_control, requests) = mpsc::channel(control::REQUEST_QUEUE);
        let address = sockets.first().and_then(|socket| socket.local_addr().ok());
        let since = Timestamp::now();
        let connections = Arc::<ConnectionQuotas>::default();
        let hls_listeners = Arc::<HlsListeners>::default();
        let peers = Peers {
            settings: self.peers,
            table: Arc::clone(&self.table),
            workers: workers.clone(),
            listeners: Arc::clone(&self.listeners),
            directory: PeerDirectory::default(),
        };
        let detections = Arc::<DetectionLog>::default();
        let control = Control {
            peers: peers.directory.clone(),
            settings: self.control,
            configuration: self.shown,
            port: address.map_or(0, |address| address.port()),
            since,
            metrics: Metrics::new(
                Arc::clone(&self.table),
                Arc::clone(&self.ceiling),
                peers.directory.clone(),
                Arc::clone(&detections),
                since.wall,
            ),
            resources: Resources {
                table: Arc::clone(&self.table),
                listeners: Arc::clone(&self.listeners),
                connections: Arc::clone(&connections),
                ceiling: self.ceiling,
            },
            table: Arc::clone(&self.table),
            administration: Administration {
                table: Arc::clone(&self.table),
                workers: workers.clone(),
                hls_listeners: Arc::clone(&hls_listeners),
                reloader,
                links: Arc::clone(&links),
            },
            detections: Detections::new(detections, Arc::clone(&self.table), workers.clone()),
            whep: Whep::new(webrtc_queue),
            guards: [&guards.sources, &guards.listeners, &admin_guard, &detector_guard]
                .map(Clone::clone)
                .into(),
            links,
            guard: admin_guard,
            detector_guard,
        };
        let mut threads = start_data_plane(queues, webrtc, heartbeats, stop)?;
        let (heartbeat, stop_control) = (heartbeats.of("control"), stop.clone());
        let listeners = Arc::clone(&hls_listeners);
        let stop_peers = stop.clone();
        threads.push(spawn("control", move |runtime| {
            // Other servers are dealt with here: it takes little time, and none of the data plane's.
            runtime.spawn_local(peers.run(stop_peers));
            runtime.block_on(control::serve(control, listeners, requests, heartbeat, stop_control));
        })?);
        let (settings, table) = (self.door, self.table);
        let admittance = Admittance::new(
            Arc::clone(&settings),
            Arc::clone(&table),
            self.listeners,
            guards,
            connections,
            hls_listeners,
        );
        let limits = &self.config.door.limits;
        let options = SocketOptions {
            send_buffer: limits.listener_send_buffer,
            keep_alive: self.config.door.rules.defaults.listener_timeout,
        };
        let door =
            Door::new(Dispatcher::new(settings, table, admittance, workers, to_control, options));
        runtime()?.block_on(async {
            let mut accepting = Vec::new();
            for socket in sockets {
                let name = socket.local_addr().map(|address| format!("accept on {address}"))?;
                accepting.push((tcp::accepting(socket, backlog, options)?, heartbeats.of(name)));
            }
            ready()?;
            door.serve(accepting, stop.clone()).await;
            io::Result::Ok(())
        })?;
        for thread in threads {
            // In a release build a panic aborts the process, so no thread has panicked here.
            let _ = thread.join();
        }
        Ok(())
    }
}

impl ServerHandle {
    /// The status in one line, such as `3 microphones, 12 listeners, 41/64 MiB worst case`.
    pub(crate) fn status(&self) -> String {
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

    /// Changes when the status may have changed, but for the memory in it.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.table.changes()
    }

    /// The configuration with which the server was started.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether this configuration is in force, but for what needs a restart.
    pub(crate) fn is_in_force(&self, config: &Config) -> bool {
        **self.door.load() == config.door
            && **self.peers.load() == config.peers
            && **self.control.load() == config.control
            && **self.shown.load() == config.shown
    }

    /// Puts another configuration in force for all later requests and for all mounts. Connections
    /// are not affected.
    pub(crate) fn put_in_force(&self, config: &Config) {
        // In this order, a mount that is created in between already has the new rules.
        self.door.store(Arc::new(config.door.clone()));
        self.peers.store(Arc::new(config.peers.clone()));
        // It wakes those who follow the settings.
        self.table.follow(&config.door.rules);
        self.control.store(Arc::new(config.control.clone()));
        self.shown.store(Arc::new(config.shown.clone()));
        // Existing mounts keep their rings, so the ceiling can only rise.
        self.ceiling.raise(Budget::of(config).items);
    }
}

/// The guards of the door, of the administrator's login and of detectors' logins.
fn login_guards(links: Arc<LinkRegister>) -> io::Result<(LoginGuards, LoginGuard, LoginGuard)> {
    let known = KnownCredentials::default();
    let guards = LoginGuards {
        sources: LoginGuard::new(CredentialKind::Source, &known),
        listeners: LoginGuard::new(CredentialKind::Listener, &known),
        links,
        checker: PasswordChecker::start()?,
    };
    let of = |kind| LoginGuard::new(kind, &known);
    Ok((guards, of(CredentialKind::Admin), of(CredentialKind::Detector)))
}

/// Starts the threads that read mounts: those of the queues and, after them, that of WebRTC.
fn start_data_plane(
    queues: Vec<WorkerQueue>,
    webrtc: Option<(WebRtcService, mpsc::Receiver<WebRtcMessage>)>,
    heartbeats: &Heartbeats,
    stop: &watch::Receiver<bool>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let (mut threads, workers) = (Vec::new(), queues.len());
    for (number, queue) in queues.into_iter().enumerate() {
        let name = format!("audio-{number}");
        let (heartbeat, heartbeats, stop) =
            (heartbeats.of(&*name), heartbeats.clone(), stop.clone());
        threads.push(spawn(&name, move |runtime| {
            runtime.block_on(worker::run(queue, heartbeat, heartbeats, stop));
        })?);
    }
    if let Some((service, messages)) = webrtc {
        let (heartbeat, stop) = (heartbeats.of("webrtc"), stop.clone());
        threads.push(spawn("webrtc", move |runtime| {
            runtime.block_on(service.run(workers, messages, heartbeat, stop));
        })?);
    }
    Ok(threads)
}

/// Spawns a named thread with a runtime. Returns when the runtime is set up.
fn spawn(
    name: &str,
    work: impl FnOnce(&LocalRuntime) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (set_up, outcome) = std::sync::mpsc::sync_channel(1);
    let thread = Builder::new().name(name.into()).spawn(move || {
        // Cannot fail: the receiver waits for one message.
        let report = |outcome| _ = set_up.send(outcome);
        match runtime() {
            Ok(runtime) => {
                report(Ok(()));
                work(&runtime);
            }
            Err(error) => report(Err(error)),
        }
    })?;
    outcome.recv().map_err(io::Error::other)??;
    Ok(thread)
}

/// A runtime whose tasks all stay on this thread.
fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}
