//! The servers that are compared. Each one is a child process with a temporary directory, and is
//! killed when it is dropped.
//!
//! All servers have the same password, limits and kernel memory per listener, so that differences
//! in the figures come from the servers.

use std::env;
use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

use crate::{Outcome, cores};

/// The first argument that makes this program the floor. The second argument is the port.
pub(crate) const FLOOR: &str = "--as-floor";
/// Debian's name for Icecast.
pub(crate) const ICECAST: &str = "icecast2";
/// Kernel memory per listener, in bytes: silvacast's default, for all servers.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;
/// `source:measure`, encoded for Basic authentication.
pub(crate) const SOURCE_CREDENTIALS: &str = "c291cmNlOm1lYXN1cmU=";

/// Limits above what any scenario needs.
const MAX_LISTENERS: usize = 4000;
const MAX_SOURCES: usize = 20;

/// How long a server may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The minimal relay.
    Floor,
    /// silvacast with its defaults.
    Silvacast,
    /// silvacast with `coalesce = "200ms"`.
    Coalescing,
    /// Debian's Icecast.
    Icecast,
}

impl Contender {
    /// The name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Silvacast => "silvacast",
            Self::Coalescing => "silvacast, coalesce 200ms",
            Self::Icecast => "icecast",
        }
    }

    /// The contenders without Icecast, if Icecast is not installed.
    pub(crate) fn installed(contenders: &[Self]) -> Vec<Self> {
        let has_icecast = Command::new(ICECAST).arg("-v").output().is_ok();
        let is_installed = |contender: &Self| *contender != Self::Icecast || has_icecast;
        contenders.iter().copied().filter(is_installed).collect()
    }

    fn command(self, port: u16, home: &Path) -> Outcome<Command> {
        let mut command = match self {
            Self::Floor => Command::new(env::current_exe()?),
            Self::Silvacast | Self::Coalescing => Command::new(env!("CARGO_BIN_EXE_silvacast")),
            Self::Icecast => Command::new(ICECAST),
        };
        let file = home.join("config");
        match self {
            Self::Floor => command.arg(FLOOR).arg(port.to_string()),
            Self::Silvacast | Self::Coalescing => {
                let coalesce = if self == Self::Coalescing { "200ms" } else { "0ms" };
                fs::write(&file, silvacast_toml(port, coalesce))?;
                command.arg("--config").arg(file)
            }
            Self::Icecast => {
                fs::write(&file, icecast_xml(port, home))?;
                command.arg("-c").arg(file)
            }
        };
        Ok(command)
    }
}

/// A running server.
pub(crate) struct Server {
    /// The address on which it listens.
    pub(crate) address: SocketAddr,
    child: Child,
    cpu: ClockId,
    home: TempDir,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    pub(crate) fn start(contender: Contender) -> Outcome<Self> {
        let home = TempDir::new()?;
        // Icecast writes its log after it has changed to another user.
        fs::set_permissions(home.path(), Permissions::from_mode(0o777))?;
        let address = free_address()?;
        let log = File::create(home.path().join("output"))?;
        cores::pin_to_server_cores()?;
        let child = contender
            .command(address.port(), home.path())?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The variable would replace the port.
            .env_remove("SILVASONIC_ICECAST_PORT")
            .spawn();
        cores::pin_to_load_core()?;
        let child = child?;
        let cpu = clock_getcpuclockid(Pid::from_raw(child.id().cast_signed()))?;
        let mut server = Self { address, child, cpu, home };
        server.wait_until_accepting()?;
        Ok(server)
    }

    /// CPU time of all threads of the server so far.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        Ok(clock_gettime(self.cpu)?.into())
    }

    /// How long the server and this process have waited for a core, steal time included.
    pub(crate) fn waited(&self) -> Outcome<Duration> {
        Ok(cores::waited(self.child.id())? + cores::waited(process::id())? + cores::stolen()?)
    }

    /// Resident memory of the server, in bytes.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        // `smaps_rollup` is exact. `status` can be off by some hundred KiB, because the kernel
        // counts per core (proc(5)).
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib: u64 = line.and_then(|l| l.split_whitespace().next()).ok_or("no Rss")?.parse()?;
        Ok(kib * 1024)
    }

    fn wait_until_accepting(&mut self) -> Outcome<()> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if self.child.try_wait()?.is_some() || began.elapsed() > START_TIMEOUT {
                let output = fs::read_to_string(self.home.path().join("output"))?;
                return Err(format!(
                    "the server does not accept connections; its output: {output}"
                )
                .into());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is not in use at this moment.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn silvacast_toml(port: u16, coalesce: &str) -> String {
    format!(
        "listen = [\"127.0.0.1:{port}\"]\n\
         [auth]\n\
         source_password = \"measure\"\n\
         admin_password = \"admin\"\n\
         [limits]\n\
         sources = {MAX_SOURCES}\n\
         listeners = {MAX_LISTENERS}\n\
         listener_send_buffer = \"{}KiB\"\n\
         [mount-defaults]\n\
         coalesce = \"{coalesce}\"\n",
        SEND_BUFFER / 1024
    )
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
