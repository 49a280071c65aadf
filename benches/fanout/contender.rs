//! The servers that are compared: how each is called, configured and started.
//!
//! All servers have the same password, limits and kernel memory per listener, so that differences
//! in the figures come from the servers.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::unistd::Uid;

use crate::Outcome;

/// The first argument that makes this program the floor. The second argument is the port.
pub(crate) const FLOOR: &str = "--as-floor";
/// The first argument that makes this program the floor of WebRTC. The second argument are ports.
pub(crate) const WEBRTC_FLOOR: &str = "--as-webrtc-floor";
/// Debian's name for Icecast.
pub(crate) const ICECAST: &str = "icecast2";
/// Kernel memory per listener, in bytes: silvacast's default, for all servers.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;

/// Limits above what any scenario needs. A client may have three quarters of silvacast's listeners.
const MAX_LISTENERS: usize = 16_000;
const MAX_SOURCES: usize = 20;

/// The binary of the option `--binary`.
static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// A server that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The minimal relay.
    Floor,
    /// silvacast with its defaults.
    Silvacast,
    /// silvacast with `coalesce = "200ms"`.
    Coalescing,
    /// silvacast with `workers = 2`.
    TwoWorkers,
    /// silvacast that pulls all mounts of the silvacast at this port.
    Relay(u16),
    /// silvacast with WebRTC.
    WebRtc,
    /// Debian's Icecast.
    Icecast,
}

/// Replaces the binary of silvacast that Cargo has built.
pub(crate) fn set_binary(path: &str) -> Outcome<()> {
    let path = fs::canonicalize(path)
        .map_err(|error| format!("--binary {path} cannot be used: {error}"))?;
    BINARY.set(path).map_err(|_| "the option --binary may be given once".into())
}

/// The binary of silvacast that is measured.
pub(crate) fn binary() -> &'static Path {
    BINARY.get().map_or(Path::new(env!("CARGO_BIN_EXE_silvacast")), PathBuf::as_path)
}

impl Contender {
    /// The name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Silvacast => "silvacast",
            Self::Coalescing => "silvacast, coalesce 200ms",
            Self::TwoWorkers => "silvacast, workers 2",
            Self::Relay(_) => "silvacast, relay",
            Self::WebRtc => "silvacast, webrtc",
            Self::Icecast => "icecast",
        }
    }

    /// The contenders without Icecast, if Icecast is not installed.
    pub(crate) fn installed(contenders: &[Self]) -> Vec<Self> {
        let has_icecast = Command::new(ICECAST).arg("-v").output().is_ok();
        let is_installed = |contender: &Self| *contender != Self::Icecast || has_icecast;
        contenders.iter().copied().filter(is_installed).collect()
    }

    /// The command that starts the server, with its configuration in the directory `home`.
    pub(crate) fn command(self, port: u16, home: &Path) -> Outcome<Command> {
        let file = home.join("config");
        let mut command = match self {
            Self::Floor => {
                let mut command = Command::new(env::current_exe()?);
                command.arg(FLOOR).arg(port.to_string());
                return Ok(command);
            }
            Self::Silvacast
            | Self::Coalescing
            | Self::TwoWorkers
            | Self::Relay(_)
            | Self::WebRtc => {
                fs::write(&file, self.silvacast_toml(port))?;
                let mut command = Command::new(binary());
                command.arg("--config");
                command
            }
            Self::Icecast => {
                fs::write(&file, icecast_xml(port, home))?;
                let mut command = Command::new(ICECAST);
                command.arg("-c");
                command
            }
        };
        command.arg(file);
        Ok(command)
    }

    fn silvacast_toml(self, port: u16) -> String {
        let coalesce = if self == Self::Coalescing { "200ms" } else { "0ms" };
        let workers = if self == Self::TwoWorkers { 2 } else { 1 };
        let more = match self {
            Self::Relay(from) => format!("[[relay]]\nfrom = \"http://127.0.0.1:{from}\"\n"),
            Self::WebRtc => "[webrtc]\nlisten = \"127.0.0.1:0\"\nsessions = 1000\n".to_owned(),
            _ => String::new(),
        };
        format!(
            "listen = [\"127.0.0.1:{port}\"]\n\
             workers = {workers}\n\
             [auth]\n\
             source_password = \"measure\"\n\
             admin_password = \"admin\"\n\
             [limits]\n\
             sources = {MAX_SOURCES}\n\
             listeners = {MAX_LISTENERS}\n\
             listener_send_buffer = \"{}KiB\"\n\
             [mount-defaults]\n\
             coalesce = \"{coalesce}\"\n\
             {more}",
            SEND_BUFFER / 1024
        )
    }
}

fn icecast_xml(port: u16, home: &Path) -> String {
    let home = home.display();
    // The kernel doubles the value.
    let send_buffer = SEND_BUFFER / 2;
    let owner = if Uid::effective().is_root() {
        "<changeowner><user>nobody</user><group>nogroup</group></changeowner>"
    } else {
        ""
    };
    format!(
        "<icecast>
          <limits><clients>{MAX_LISTENERS}</clients><sources>{MAX_SOURCES}</sources></limits>
          <authentication>
            <source-password>measure</source-password>
            <admin-user>admin</admin-user><admin-password>admin</admin-password>
          </authentication>
          <hostname>localhost</hostname>
          <listen-socket>
            <port>{port}</port><bind-address>127.0.0.1</bind-address><so-sndbuf>{send_buffer}</so-sndbuf>
          </listen-socket>
          <paths>
            <basedir>{home}</basedir><logdir>{home}</logdir><webroot>{home}</webroot><adminroot>{home}</adminroot>
          </paths>
          <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog><loglevel>2</loglevel></logging>
          <security><chroot>0</chroot>{owner}</security>
        </icecast>"
    )
}
