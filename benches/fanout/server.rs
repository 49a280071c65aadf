//! A running server: a child process with a temporary directory. It is killed when it is dropped.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{self, Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::contender::Contender;
use crate::process::Process;
use crate::{Outcome, cores};

/// How long a server may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server.
pub(crate) struct Server {
    /// The address on which it listens.
    pub(crate) address: SocketAddr,
    /// What it is.
    pub(crate) contender: Contender,
    /// Its process.
    pub(crate) process: Process,
    child: Child,
    home: TempDir,
}

impl Server {
    /// Starts a server on the servers' cores and waits until it accepts connections.
    pub(crate) fn start(contender: Contender) -> Outcome<Self> {
        Self::start_on(cores::servers(), contender, &[])
    }

    /// The same on these cores, and with these environment variables.
    pub(crate) fn start_on(
        cores: &[usize],
        contender: Contender,
        variables: &[(&str, &OsStr)],
    ) -> Outcome<Self> {
        let mut server = Self::spawn_on(cores, contender, variables)?;
        server.wait_until_accepting()?;
        Ok(server)
    }

    /// The same without waiting.
    pub(crate) fn spawn_on(
        cores: &[usize],
        contender: Contender,
        variables: &[(&str, &OsStr)],
    ) -> Outcome<Self> {
        let home = TempDir::new()?;
        // Icecast writes its log after it has changed to another user.
        fs::set_permissions(home.path(), Permissions::from_mode(0o777))?;
        let address = free_address()?;
        let log = File::create(home.path().join("output"))?;
        cores::pin_to(cores)?;
        let child = contender
            .command(address.port(), home.path())?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Variables of this process must not change what is measured. The first one would
            // replace the port.
            .env_remove("SILVASONIC_ICECAST_PORT")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .envs(variables.iter().copied())
            .spawn();
        cores::pin_to_load_core()?;
        let child = child?;
        let process = Process::new(child.id())?;
        Ok(Self { address, contender, process, child, home })
    }

    /// How long the server and this process have waited for a core, steal time included.
    pub(crate) fn waited(&self) -> Outcome<Duration> {
        Ok(cores::waited(self.child.id())? + cores::waited(process::id())? + cores::stolen()?)
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
