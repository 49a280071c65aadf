//! What the service manager is told, word by word: here the test is the service manager.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::client::{Source, get};
use crate::daemon::{Daemon, PASSWORD, PATIENCE};
use crate::power::begun_by;

/// Where a service manager listens.
struct Manager {
    socket: UnixDatagram,
    _directory: tempfile::TempDir,
}

impl Manager {
    /// Starts a server that tells it, and that has a watchdog.
    fn start() -> (Self, Daemon) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Whoever the server becomes must reach it.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let variable = format!("NOTIFY_SOCKET={}", path.display());
        let command = begun_by(&["env", &variable, "WATCHDOG_USEC=400000"]);
        (Self { socket, _directory: directory }, Daemon::of(command, 0, "", ""))
    }

    /// The next message that holds this, its lines.
    fn wait_for(&self, part: &str) -> Vec<String> {
        let mut bytes = [0; 4096];
        // Pings come for ever.
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "nothing with {part}");
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|e| panic!("no {part}: {e}"));
            let text = std::str::from_utf8(&bytes[..length]).unwrap();
            if text.contains(part) {
                return text.lines().map(ToOwned::to_owned).collect();
            }
        }
    }
}

#[test]
fn it_is_told_of_the_beginning_of_life_of_reloads_and_of_the_end() {
    let (manager, mut server) = Manager::start();
    let ready = manager.wait_for("READY=1");
    assert_eq!(get(&server, "/healthz").status, 200);
    assert!(ready.iter().any(|line| line.starts_with("STATUS=0 microphones, ")), "{ready:?}");
    (0..3).for_each(|_| assert_eq!(manager.wait_for("WATCHDOG=1"), ["WATCHDOG=1"]));
    let _source = Source::connect(&server, "/m", 1);
    manager.wait_for("STATUS=1 microphone, ");

    server.configure(PASSWORD, "workers = '''\nREADY=1\n'''", "");
    server.signal(Signal::SIGHUP);
    let reloading = manager.wait_for("RELOADING=1");
    let since = reloading.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.expect("MONOTONIC_USEC").parse::<u64>().unwrap() > 0, "{reloading:?}");
    assert_eq!(manager.wait_for("READY=1"), ["READY=1"]);
    let status = manager.wait_for("STATUS=configuration not reloaded (line 2: workers = ");
    assert_eq!(status.len(), 1, "one line whatever the file says: {status:?}");

    server.signal(Signal::SIGTERM);
    assert_eq!(manager.wait_for("STOPPING=1"), ["STOPPING=1"]);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_source_that_never_lets_it_rest_is_no_loop_that_stands_still() {
    let (manager, server) = Manager::start();
    manager.wait_for("READY=1");
    let mut source = Source::connect(&server, "/m", 1);
    let pings = std::thread::spawn(move || {
        (0..20).for_each(|_| _ = manager.wait_for("WATCHDOG=1"));
    });
    while !pings.is_finished() {
        source.send(50, 1000);
    }
    pings.join().unwrap();
    assert_eq!(server.count_lines(&["event=\"loop-stuck\""]), 0);
}
