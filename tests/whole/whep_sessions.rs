//! Listeners by WebRTC that this program makes itself: many at once are all served, no listener by HTTP misses a page, and
//! none takes more memory than the budget has for it; and one behind a proxy.

use silvacast::webrtc::SESSION_MEMORY;

use crate::client::{Listener, Source};
use crate::daemon::Daemon;
use crate::proxies::Proxy;
use crate::whep::{OFFER, delete, post, reachable_at, server_at, source};
use crate::whep_load::{Clients, LoadClient, join, receive};

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
    let mut all: Vec<_> =
        (0..SESSIONS).map(|_| join(&clients, &server, "/mic.opus/whep").0).collect();
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            all.iter().for_each(LoadClient::check);
            receive(&mut all, 50);
        });
        let mut number = 0;
        // The storm has its own deadline.
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
    let some_more = |number: usize| {
        let mut new: Vec<_> =
            (0..number).map(|_| join(&clients, &server, "/mic.opus/whep").0).collect();
        new.iter().for_each(LoadClient::check);
        receive(&mut new, 5);
        new
    };
    // What the first ones need once is not theirs.
    let mut all = some_more(10);
    let before = server.resident();
    let more = SESSIONS - all.len();
    while all.len() < SESSIONS {
        all.extend(some_more(10));
    }
    let each = server.resident().saturating_sub(before) / more;
    assert!(each <= SESSION_MEMORY, "{each} bytes for each of {more}");
}

#[test]
fn a_listener_behind_a_proxy_gets_its_audio_past_it() {
    let trusted = "trusted_proxies = [\"127.0.0.1\"]";
    let server = server_at("127.0.0.1", trusted, "");
    let _source = source(&server, &[]);
    let caddy = Proxy::caddy(&server, "handle_path /stream/* {\n reverse_proxy UPSTREAM\n }");
    let (client, location) = join(&Clients::new(), &caddy, "/stream/mic.opus/whep");
    client.check();
    receive(&mut [client], 5);
    // The session's URL is relative, so it holds below any prefix.
    let session = format!("/stream/mic.opus/{location}");
    assert_eq!(delete(&caddy, &session).status, 200);
    server.wait_for_line(&["listener-left", "protocol=\"WebRTC\"", "the listener disconnected"]);

    // Without addresses, nothing tells by which one a client behind the proxy could come.
    let server = Daemon::with(trusted, "[webrtc]\nlisten = \"127.0.0.1:0\"");
    let _source = source(&server, &[]);
    let caddy = Proxy::caddy(&server, "reverse_proxy UPSTREAM");
    let answer = post(&caddy, "/mic.opus/whep", "", OFFER);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("[webrtc] addresses"), "{}", answer.text());
}
