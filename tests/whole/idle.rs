//! A server without sources and clients sleeps: a station may run on a battery.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::client::{Listener, Source};
use crate::daemon::Daemon;
use crate::wait::{PATIENCE, until, when};

/// Longer than the intervals of all timers that may run while there are clients.
const WINDOW: Duration = Duration::from_secs(2);

/// How often each thread has gone to sleep.
fn sleeps(server: &Daemon) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    tasks
        .map(|task| {
            let directory = task.unwrap().path();
            let status = fs::read_to_string(directory.join("status")).unwrap();
            let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let count = field("voluntary_ctxt_switches:").trim().parse().unwrap();
            (field("Name:").trim().to_owned(), count)
        })
        .collect()
}

#[test]
fn after_the_last_client_has_left_no_thread_wakes_up() {
    let server = Daemon::with("", "[mount-defaults]\ngap = \"end\"");
    let mut source = Source::connect(&server, "/mic.opus", 1);
    let mut listener = Listener::join(&server, "/mic.opus");
    listener.headers();
    source.send(1, 100);
    assert_eq!(listener.number(), 0);
    source.leave();
    drop(listener);
    server.wait_for_line(&["event=\"listener-left\""]);
    until("two seconds in which nothing wakes up", PATIENCE, || {
        let before = sleeps(&server);
        sleep(WINDOW);
        let after = sleeps(&server);
        when(before == after, (&before, &after))
    });
}
