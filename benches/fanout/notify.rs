//! A service manager's side of `sd_notify(3)`: the socket that `NOTIFY_SOCKET` names.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Outcome;

/// How long a server may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The socket, in a directory of its own.
pub(crate) struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl NotifySocket {
    /// A new socket.
    pub(crate) fn new() -> Outcome<Self> {
        let directory = TempDir::new()?;
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        // A server that root starts may send after it has changed to another user.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777))?;
        fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        Ok(Self { socket, path, _directory: directory })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(crate) fn path(&self) -> &OsStr {
        self.path.as_os_str()
    }

    /// Waits for `READY=1`.
    pub(crate) fn wait_for_ready(&self) -> Outcome<()> {
        let until = Instant::now() + READY_TIMEOUT;
        let mut message = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no READY=1 within {READY_TIMEOUT:?}").into());
            }
            self.socket.set_read_timeout(Some(left))?;
            let n = match self.socket.recv(&mut message) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                received => received?,
            };
            if message[..n].split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }
}
