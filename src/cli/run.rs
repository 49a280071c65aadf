//! `silvacast run`: prepares the process, serves until a signal stops it, and reloads the
//! configuration.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use nix::libc;
use tokio::sync::watch;

use super::{Exit, RunArgs, failed, invalid_config, load, print, random_secret};
use crate::auth::Secret;
use crate::config::{Budget, Config, Environment, Problem};
use crate::door::bind;
use crate::log::Log;
use crate::log::journal;
use crate::platform::{
    FileCheck, Manager, Service, allow_open_files, drop_privileges, inherited_sockets,
};
use crate::server::{Server, ServerHandle};
use crate::text::sanitize;
use crate::webrtc::WebRtcService;

/// Serves with the given configuration; without one, on loopback with passwords made for this run.
pub(super) fn run(args: &RunArgs) -> Result<(), Exit> {
    let environment = Environment::of_process();
    let Some(file) = args.config.as_deref() else { return run_trial(&environment) };
    let config = load(file, &environment)?;
    if nix::unistd::geteuid().is_root() && !config.unusable.is_empty() {
        return Err(invalid_config(file, &config.unusable));
    }
    let inherited = inherited_sockets().map_err(failed)?;
    let webrtc = inherited.webrtc;
    let sockets = if inherited.http.is_empty() { listen(&config.listen)? } else { inherited.http };
    serve(config, sockets, webrtc, Some(file), Box::new(|| Ok(())))
}

fn run_trial(environment: &Environment) -> Result<(), Exit> {
    let (source, admin) = (random_secret()?, random_secret()?);
    let config = trial_config(&source, &admin, environment)?;
    let sockets = listen(&config.listen)?;
    let address = first_address(&sockets)?;
    print(&format!(
        "No configuration given: serving this machine only, with passwords made for this run.\n\
         \n  source password   {}\n  admin password    {}  (user admin)\n\n\
         Send a microphone or any sound:\n  ffmpeg -re -i INPUT -c:a libopus -b:a 64k -page_duration 20000 \
         -content_type audio/ogg -f ogg icecast://source:{}@{address}/mic-test.opus\n\n\
         Listen:\n  http://{address}/mic-test.opus",
        source.expose(),
        admin.expose(),
        source.expose(),
    ));
    serve(config, sockets, None, None, Box::new(|| Ok(())))
}

/// The configuration without a file.
pub(super) fn trial_config(
    source: &Secret,
    admin: &Secret,
    environment: &Environment,
) -> Result<Config, Exit> {
    Config::trial(source, admin, environment).map_err(|problems| {
        Exit::Invalid(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// Serves until a signal stops the server. Privileges are dropped while the process has one thread,
/// and before anything is read from the network. `start_beside` starts threads that run beside the
/// server.
pub(super) fn serve(
    config: Config,
    sockets: Vec<TcpListener>,
    webrtc: Option<UdpSocket>,
    file: Option<&Path>,
    start_beside: Box<dyn FnOnce() -> Result<(), Exit>>,
) -> Result<(), Exit> {
    let cannot_serve = |error: std::io::Error| failed(format!("cannot serve: {error}"));
    allow_open_files(Budget::of(&config).files).map_err(failed)?;
    if webrtc.is_some() && config.webrtc.listen.is_none() {
        let sentence = "the service manager passed a socket for WebRTC, which is switched off; set \
                        [webrtc] listen, or disable the socket unit";
        return Err(failed(sentence));
    }
    let webrtc = WebRtcService::open(&config.webrtc, webrtc).map_err(failed)?;
    let dropped = drop_privileges(&config.user).map_err(failed)?;
    let _log = Log::start(config.log_format, config.combined).map_err(cannot_serve)?;
    let (uid, gid) = (dropped.uid, dropped.gid);
    journal!(info, PRIVILEGES, uid, gid, "privileges dropped");
    for reason in dropped.kept {
        journal!(warn, PRIVILEGES, uid, gid, reason, "a privilege without effect was kept");
    }
    log_warnings(&config);
    start_beside()?;
    let manager = Manager::new().map_err(cannot_serve)?;
    let (stop, heartbeats) = (manager.stop(), manager.heartbeats().clone());
    let (reloader, notifier) = (manager.reloader(), manager.notifier());
    let addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok());
    let listen = addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(", ");
    let server = Server::new(config);
    let running = Running { handle: server.handle(), file: file.map(Path::to_owned) };
    server
        .run(sockets, webrtc, reloader, &heartbeats, &stop, || {
            journal!(info, READY, version = env!("CARGO_PKG_VERSION"), listen, "ready");
            manager.ready(running)
        })
        .map_err(cannot_serve)?;
    journal!(info, STOPPED, "stopped");
    notifier.flush();
    Ok(())
}

fn log_warnings(config: &Config) {
    for setting in &config.ignored {
        journal!(warn, SETTING_IGNORED, %setting, "setting ignored");
    }
    for reason in &config.warnings {
        journal!(warn, CONFIG_WARNING, %reason, "the configuration may not say what is meant");
    }
}

/// The running server, as the manager reports on it and reloads it.
struct Running {
    handle: ServerHandle,
    /// The configuration file, if there is one.
    file: Option<PathBuf>,
}

impl Service for Running {
    fn status(&self) -> String {
        self.handle.status()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.handle.changes()
    }

    fn reload(&self) -> Result<(), String> {
        let read = self.read();
        let problems = match read {
            Ok(config) => {
                for key in self.handle.config().needs_restart(&config) {
                    journal!(warn, RELOAD_LATER, key, "this change takes effect after a restart");
                }
                log_warnings(&config);
                self.handle.put_in_force(&config);
                journal!(info, RELOADED, "configuration reloaded");
                return Ok(());
            }
            Err(problems) => problems,
        };
        let file = self.file_name().unwrap_or_default();
        for problem in &problems {
            journal!(
                error,
                RELOAD_FAILED,
                file,
                reason = %problem,
                "configuration not reloaded; the old one stays in force"
            );
        }
        let first =
            problems.first().map(|problem| sanitize(&problem.to_string())).unwrap_or_default();
        Err(match problems.len() {
            0 | 1 => first,
            more => format!("{first}; and {} more", more - 1),
        })
    }

    fn check(&self) -> FileCheck {
        let file = self.file_name();
        let text = |problems: &[Problem]| -> Vec<_> {
            problems.iter().map(|problem| sanitize(&problem.to_string())).collect()
        };
        match self.read() {
            Ok(config) => FileCheck {
                file,
                problems: Vec::new(),
                warnings: config.shown.warnings.clone(),
                needs_restart: self.handle.config().needs_restart(&config).collect(),
                is_in_force: self.handle.is_in_force(&config),
            },
            Err(problems) => FileCheck { file, problems: text(&problems), ..FileCheck::default() },
        }
    }
}

impl Running {
    fn file_name(&self) -> Option<String> {
        Some(self.file.as_deref()?.display().to_string())
    }

    /// Reads the configuration file again, without putting it in force.
    fn read(&self) -> Result<Config, Vec<Problem>> {
        let problem = |text: String| vec![Problem { line: None, text }];
        let Some(file) = &self.file else {
            return Err(problem("the server was started without a configuration file".into()));
        };
        let config = Config::load(file, &Environment::of_process())?;
        allow_open_files(Budget::of(&config).files).map_err(|error| problem(error.to_string()))?;
        Ok(config)
    }
}

/// Binds every address.
pub(super) fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Exit> {
    let open = |&address| {
        bind(address, addresses).map_err(|error| {
            let remedy = match error.raw_os_error() {
                Some(libc::EAFNOSUPPORT) => "; this machine has no IPv6, use 0.0.0.0",
                Some(libc::EADDRNOTAVAIL) => "; this machine has no such address",
                _ => "; SILVASONIC_ICECAST_PORT chooses another port",
            };
            failed(format!("cannot listen on {address}: {error}{remedy}"))
        })
    };
    addresses.iter().map(open).collect()
}

/// The address of the first socket.
pub(super) fn first_address(sockets: &[TcpListener]) -> Result<SocketAddr, Exit> {
    let address = sockets.first().and_then(|socket| socket.local_addr().ok());
    address.ok_or_else(|| failed("no address to listen on"))
}
