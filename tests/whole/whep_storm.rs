//! Many listeners by WebRTC at once: all are served, no listener by HTTP misses a page, and none takes more memory than
//! the budget has for it.

use silvacast::webrtc::SESSION_MEMORY;

use crate::client::{Listener, Source};
use crate::daemon::Daemon;
use crate::whep::{reachable_at, source};
use crate::whep_load::{Clients, LoadClient, receive};

/// Not more, because a build without optimization takes long for a handshake, and has 10 s for all.
const SESSIONS: usize = 100;

/// A server for so many sessions from one address.
fn roomy() -> Daemon {
    let limits = format!(
        "sessions = {SESSIONS}\n[limits]\nlisteners = {}\nconnections_per_ip = 0",
        SESSIONS + 10
    );
    Daemon::with("", &reachable_at("127.0.0.1", &limits))
}

#[test]
fn sessions_that_begin_at_once_are_served_and_disturb_nobody() {
    let server = roomy();
    let _source = source(&server, &[]);
    let mut pages = Source::connect(&server, "/pages", 1);
    let mut listener = Listener::join(&server, "/pages?burst=0ms");
    listener.headers();
    let clients = Clients::new();
    let mut all: Vec<_> = (0..SESSIONS).map(|_| clients.offer(&server, "/mic.opus/whep")).collect();
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            all.iter().for_each(LoadClient::check);
            receive(&mut all, 50);
        });
        let mut number = 0;
        while !storm.is_finished() {
            pages.send(1, 100);
            assert_eq!(listener.number(), number);
            number += 1;
        }
        storm.join().unwrap();
        assert!(number > 100, "only {number} pages meanwhile");
    });
    assert!(all.iter().all(|client| client.connected));
}

#[test]
fn a_session_takes_no_more_memory_than_the_budget_has_for_it() {
    let server = roomy();
    let _source = source(&server, &[]);
    let clients = Clients::new();
    let join = |number: usize| {
        let mut new: Vec<_> =
            (0..number).map(|_| clients.offer(&server, "/mic.opus/whep")).collect();
        new.iter().for_each(LoadClient::check);
        receive(&mut new, 5);
        new
    };
    // What the first ones need once is not theirs.
    let mut all = join(10);
    let before = server.resident();
    let more = SESSIONS - all.len();
    while all.len() < SESSIONS {
        all.extend(join(10));
    }
    let each = server.resident().saturating_sub(before) / more;
    assert!(each <= SESSION_MEMORY, "{each} bytes for each of {more}");
}
