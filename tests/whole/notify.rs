//! The messages to the service manager, word by word. The test plays the service manager.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::client::{Source, get};
use crate::daemon::{Daemon, PASSWORD};
use crate::on_demand::ask;
use crate::power::begun_by;
use crate::process::Running;
use crate::wait::{PATIENCE, join, until_received};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    _directory: tempfile::TempDir,
}

impl Manager {
    /// Starts a server that sends its messages there, and that has a watchdog.
    fn start(watchdog: Duration) -> (Self, Daemon) {
        let (manager, variables) = Self::open(watchdog);
        let [socket, watchdog] = &variables;
        (manager, Daemon::of(begun_by(&["env", socket, watchdog]), "", ""))
    }

    /// Also returns the environment of a service with a watchdog.
    fn open(watchdog: Duration) -> (Self, [String; 2]) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // The user that the server changes to must reach it.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let variable = format!("NOTIFY_SOCKET={}", path.display());
        let watchdog = format!("WATCHDOG_USEC={}", watchdog.as_micros());
        (Self { socket, _directory: directory }, [variable, watchdog])
    }

    /// The lines of the next message that contains `part`.
    fn wait_for(&self, part: &str) -> Vec<String> {
        let mut bytes = [0; 4096];
        let text = until_received(part, PATIENCE, || {
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|e| panic!("no {part}: {e}"));
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if text.contains(part) { Ok(text) } else { Err(text) }
        });
        text.lines().map(ToOwned::to_owned).collect()
    }
}

#[test]
fn it_is_told_of_the_start_the_heartbeat_reloads_and_the_end() {
    let (manager, mut server) = Manager::start(Duration::from_millis(400));
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
    let status = manager.wait_for("STATUS=configuration not reloaded (line 2: invalid value ");
    assert_eq!(status.len(), 1, "a file cannot add lines to the message: {status:?}");

    server.signal(Signal::SIGTERM);
    assert_eq!(manager.wait_for("STOPPING=1"), ["STOPPING=1"]);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_source_that_sends_without_pause_does_not_look_like_a_stuck_loop() {
    // Long enough that a busy machine does not hold a loop up for as long.
    let (manager, server) = Manager::start(Duration::from_secs(2));
    manager.wait_for("READY=1");
    let mut source = Source::connect(&server, "/m", 1);
    let pings = std::thread::spawn(move || {
        (0..6).for_each(|_| _ = manager.wait_for("WATCHDOG=1"));
    });
    until_received("six pings", PATIENCE, || {
        source.send(50, 1000);
        if pings.is_finished() { Ok(()) } else { Err("fewer") }
    });
    join("the thread that reads them", pings);
    assert_eq!(server.count_lines(&["event=\"loop-stuck\""]), 0);
}

#[test]
fn it_is_told_what_an_encoder_on_demand_does() {
    let server = Daemon::with("", "[[mount]]\nname = \"/m\"\non_demand = true");
    let (manager, variables) = Manager::open(Duration::from_millis(400));
    let mut command = begun_by(&["env", &variables[0], &variables[1]]);
    command.args(["on-demand", "--mount", "/m", "--url", &server.url("")]);
    command.args(["--", "sh", "-c", "exit 3"]);
    let mut running = Running::start_quietly(&mut command);
    assert_eq!(manager.wait_for("READY=1"), ["READY=1", "STATUS=idle: nobody listens"]);
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");
    let _listener = ask(&server, "/m");
    manager.wait_for("STATUS=encoder not running: it ended with exit status: 3");
    running.signal(Signal::SIGTERM);
    assert_eq!(manager.wait_for("STOPPING=1"), ["STOPPING=1"]);
    assert!(running.wait(PATIENCE).success());
}
