//! Serving: from the configuration to the end, with the process in order before the first connection.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::{Exit, load, random_secret, say};
use crate::auth::Secret;
use crate::config::{Budget, Config, Environment, Problem};
use crate::door::bind;
use crate::log::Log;
use crate::log::journal;
use crate::platform::{Manager, Service, allow_open_files, drop_privileges, inherited_sockets};
use crate::server::{Server, ServerHandle};
use crate::text::sanitize;

/// Serves what the file says; without one, on loopback and with passwords made for this run.
pub(super) fn run(file: Option<&Path>) -> Result<(), Exit> {
    let environment = Environment::of_process();
    let Some(file) = file else { return try_out(&environment) };
    let config = load(file, &environment)?;
    let inherited = inherited_sockets().map_err(|error| Exit::Failed(error.to_string()))?;
    let sockets = if inherited.is_empty() { listen(&config.listen)? } else { inherited };
    serve(config, sockets, Some(file), || Ok(()))
}

fn try_out(environment: &Environment) -> Result<(), Exit> {
    let (source, admin) = (random_secret()?, random_secret()?);
    let config = for_trying(&source, &admin, environment)?;
    let sockets = listen(&config.listen)?;
    let address = address(&sockets)?;
    say(&format!(
        "No configuration dropped: trying it out on this machine only, with passwords made for this run.\n\
         \n  source password   {}\n  admin password    {}  (user admin)\n\n\
         Send a microphone or any sound:\n  ffmpeg -re -i INPUT -c:a libopus -b:a 64k -page_duration 20000 \
         -content_type audio/ogg -f ogg icecast://source:{}@{address}/mic-test.opus\n\n\
         Listen:\n  http://{address}/mic-test.opus",
        source.expose(),
        admin.expose(),
        source.expose(),
    ));
    serve(config, sockets, None, || Ok(()))
}

/// The configuration where there is no file.
pub(super) fn for_trying(
    source: &Secret,
    admin: &Secret,
    environment: &Environment,
) -> Result<Config, Exit> {
    Config::for_trying(source, admin, environment).map_err(|problems| {
        Exit::Wrong(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// Serves until told to stop. The order counts: privileges are dropped while there is one thread, and
/// before anything is read from the network. `beside` starts what runs beside the server.
pub(super) fn serve(
    config: Config,
    sockets: Vec<TcpListener>,
    file: Option<&Path>,
    beside: impl FnOnce() -> Result<(), Exit>,
) -> Result<(), Exit> {
    let failed = |error: std::io::Error| Exit::Failed(format!("cannot serve: {error}"));
    allow_open_files(Budget::of(&config).files).map_err(|error| Exit::Failed(error.to_string()))?;
    let dropped = drop_privileges(&config.user).map_err(|error| Exit::Failed(error.to_string()))?;
    let _log = Log::start(config.combined).map_err(failed)?;
    let (uid, gid) = (dropped.uid, dropped.gid);
    journal!(info, PRIVILEGES, uid, gid, "runs without capabilities or a way to get any");
    for what in dropped.kept {
        journal!(warn, PRIVILEGES, uid, gid, reason = what, "a privilege without effect was kept");
    }
    tell_ignored(&config);
    beside()?;
    let manager = Manager::new().map_err(failed)?;
    let (stop, heartbeats) = (manager.stop(), manager.heartbeats().clone());
    let (reloader, notifier) = (manager.reloader(), manager.notifier());
    let addresses: Vec<_> = sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    let server = Server::new(config);
    let running = Running { handle: server.handle(), file: file.map(Path::to_owned) };
    server
        .run(sockets, reloader, &heartbeats, &stop, || {
            journal!(info, READY, version = env!("CARGO_PKG_VERSION"), listen = ?addresses, "ready");
            manager.ready(running)
        })
        .map_err(failed)?;
    journal!(info, STOPPED, "stopped");
    notifier.flush();
    Ok(())
}

fn tell_ignored(config: &Config) {
    for setting in &config.ignored {
        journal!(warn, SETTING_IGNORED, %setting, "this has no meaning here");
    }
}

/// What the service manager hears of the server, and how it reads its configuration again.
struct Running {
    handle: ServerHandle,
    file: Option<PathBuf>,
}

impl Service for Running {
    fn status(&self) -> String {
        self.handle.sentence()
    }

    fn reload(&self) -> Result<(), String> {
        let read = self.read();
        let problems = match read {
            Ok(config) => {
                for key in self.handle.config().needs_restart(&config) {
                    journal!(warn, RELOAD_LATER, key, "this counts from the next start only");
                }
                tell_ignored(&config);
                self.handle.put_in_force(&config);
                journal!(info, RELOADED, "the configuration is in force");
                return Ok(());
            }
            Err(problems) => problems,
        };
        let file = self.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
        for problem in &problems {
            journal!(error, RELOAD_FAILED, file, reason = %problem, "the configuration is not taken over; all stays as it was");
        }
        let first =
            problems.first().map(|problem| sanitize(&problem.to_string())).unwrap_or_default();
        Err(match problems.len() {
            0 | 1 => first,
            more => format!("{first}; and {} more", more - 1),
        })
    }
}

impl Running {
    fn read(&self) -> Result<Config, Vec<Problem>> {
        let general = |text: String| vec![Problem { line: None, text }];
        let Some(file) = &self.file else {
            return Err(general("there is no configuration file to read again".into()));
        };
        let config = Config::load(file, &Environment::of_process())?;
        allow_open_files(Budget::of(&config).files).map_err(|error| general(error.to_string()))?;
        Ok(config)
    }
}

/// Binds every address.
pub(super) fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Exit> {
    let open = |&address| {
        bind(address).map_err(|error| {
            Exit::Failed(format!(
                "cannot listen on {address}: {error}; SILVASONIC_ICECAST_PORT chooses another port"
            ))
        })
    };
    addresses.iter().map(open).collect()
}

/// Where the first of them is reached.
pub(super) fn address(sockets: &[TcpListener]) -> Result<SocketAddr, Exit> {
    let address = sockets.first().and_then(|socket| socket.local_addr().ok());
    address.ok_or_else(|| Exit::Failed("no address to listen on".into()))
}
