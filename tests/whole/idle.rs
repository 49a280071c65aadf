//! A server without sources and clients sleeps: a station may run on a battery.

use std::thread::sleep;
use std::time::Duration;

use crate::client::{Listener, Source};
use crate::daemon::Daemon;
use crate::power::of_threads;
use crate::wait::{PATIENCE, until, when};

/// Longer than the intervals of all timers that may run while there are clients.
const WINDOW: Duration = Duration::from_secs(2);

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
        // How often each thread has gone to sleep.
        let sleeps = || of_threads(server.pid(), &["Name", "voluntary_ctxt_switches"]);
        let before = sleeps();
        sleep(WINDOW);
        let after = sleeps();
        when(before == after, (&before, &after))
    });
}
