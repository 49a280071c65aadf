//! Mounts that are there without a source: listed as idle, until a listener who waits makes somebody send.

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{
    Listener, Source, connect, get, get_with, login, login_as, read_head, request,
};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::events::Events;
use crate::gap::{CheckedListener, api_mount};
use crate::other_servers::{listed, relay, state_of, wait_for_peer, wait_for_state};
use crate::players::{OPUS, assert_unbroken_tone, decode, ffmpeg_source};
use crate::process::Run;
use crate::wait::{PATIENCE, until, when};

const RULE: &str = "[[mount]]\nname = \"/m\"\non_demand = true\n";

fn demand(server: &Daemon, query: &str) -> Value {
    let answer = get(server, &format!("/api/v1/mounts/m/demand{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

pub(crate) fn wait_for_demand(server: &Daemon, listeners: usize) {
    until(&format!("{listeners} listeners"), PATIENCE, || {
        let seen = demand(server, "");
        when(seen["listeners"] == listeners, seen)
    });
}

/// A listener who waits, or one that is refused: its answer is read later.
pub(crate) fn ask(server: &Daemon, target: &str) -> TcpStream {
    let mut socket = connect(server);
    write!(socket, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    socket
}

#[test]
fn a_listener_of_an_idle_mount_waits_and_hears_its_source() {
    let server = Daemon::with("", &format!("{RULE}gap_after = \"500ms\"\nhold = \"1s\""));
    let mut events = Events::open(&server, "");
    assert_eq!(events.next().1["off"][0]["state"], "idle");
    assert_eq!(
        (listed(&server).1, state_of(&server, "/m")),
        (vec!["/m".to_owned()], "idle".into())
    );
    assert_eq!(demand(&server, "")["wanted"], false);
    thread::scope(|scope| {
        let heard = scope.spawn(|| decode(&server, "/m"));
        // What an encoder's script does: it asks until the mount is wanted, and then starts FFmpeg.
        let wanted = until("the mount to be wanted", PATIENCE, || {
            let seen = demand(&server, "?wanted=false&wait=30s");
            if seen["wanted"] == true { Ok(seen) } else { Err(seen.to_string()) }
        });
        assert_eq!((&wanted["name"], &wanted["listeners"]), (&"/m".into(), &1.into()));
        let _encoder = ffmpeg_source(
            &OPUS,
            &["-content_type", "audio/ogg", "-f", "ogg", &server.push_url("/m")],
        );
        assert_unbroken_tone("on demand", &heard.join().unwrap());
    });
    assert_eq!(events.find("up", |(kind, _)| kind == "up").1["name"], "/m");
    assert_eq!(events.find("down", |(kind, _)| kind == "down").1["state"], "idle");
}

#[test]
fn a_listener_waits_for_a_limited_time_and_is_not_counted_when_it_has_left() {
    let server = Daemon::with("", &format!("{RULE}demand_timeout = \"300ms\"\nlinger = \"0s\""));
    let refused = get(&server, "/m");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("10")));
    assert!(refused.text().contains("No source has begun to send within 0.3 s"), "{refused:?}");
    wait_for_demand(&server, 0);
    server.configure(PASSWORD, "", &format!("{RULE}demand_timeout = \"5m\""));
    server.signal(Signal::SIGHUP);
    server.wait_for_line(&["event=\"reloaded\""]);
    let waiting = [ask(&server, "/m"), ask(&server, "/m")];
    wait_for_demand(&server, 2);
    // A reload leaves those who wait.
    server.configure(PASSWORD, "", &format!("{RULE}demand_timeout = \"4m\""));
    server.signal(Signal::SIGHUP);
    server.wait_for_lines(&["event=\"reloaded\""], 2);
    assert_eq!(demand(&server, "")["listeners"], 2);
    drop(waiting);
    wait_for_demand(&server, 0);
}

#[test]
fn an_hls_playlist_wakes_and_nothing_else_does() {
    let rule = "[[mount]]\nname = \"/m\"\non_demand = true\ndemand_timeout = \"5m\"";
    let server = Daemon::with("", rule);
    let head = |target: &str| {
        request(&server, &format!("HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
            .status
    };
    assert_eq!((head("/m"), head("/m/index.m3u8")), (404, 404));
    for target in
        ["/status-json.xsl", "/m.m3u", "/m.xspf", "/api/v1/mounts", "/api/v1/mounts/m", "/metrics"]
    {
        get(&server, target);
    }
    assert_eq!(demand(&server, "")["listeners"], 0);
    let mut player = ask(&server, "/m/index.m3u8");
    wait_for_demand(&server, 1);
    let mut source = Source::connect(&server, "/m", 1);
    source.send(400, 100);
    let answer = read_head(&mut player);
    let kind = answer.field("content-type").unwrap_or_default();
    assert!(answer.status == 200 && kind.contains("mpegurl"), "{answer:?}");
}

#[test]
fn those_who_wait_are_bounded_and_take_no_place_from_others() {
    let rules = |more: &str| format!("{RULE}demand_timeout = \"5m\"\n{more}");
    let server = Daemon::with("", &rules("max_listeners = 2"));
    let _waiting = [ask(&server, "/m"), ask(&server, "/m")];
    wait_for_demand(&server, 2);
    let refused = get(&server, "/m");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("10")));
    assert!(refused.text().contains("This microphone has reached its listener limit of 2."));

    let server = Daemon::with("", &format!("[limits]\nlisteners = 1\n{}", rules("")));
    let _waiting = ask(&server, "/m");
    wait_for_demand(&server, 1);
    let _other = Source::connect(&server, "/other", 1);
    for target in ["/m", "/other"] {
        let refused = get(&server, target);
        assert!(refused.text().contains("This server has reached its listener limit of 1."));
    }

    let limits = "[limits]\nlisteners = 400\nconnections_per_ip = 0\n";
    let server = Daemon::with("", &format!("{limits}{}", rules("")));
    let mut waiting: Vec<_> = (0..300).map(|_| ask(&server, "/m")).collect();
    wait_for_demand(&server, 300);
    // Connections that come later are served, and evict nobody.
    let idle: Vec<_> = (0..100).map(|_| connect(&server)).collect();
    assert_eq!(get(&server, "/healthz").status, 200);
    drop(idle);
    assert_eq!(demand(&server, "")["listeners"], 300);
    let mut source = Source::connect(&server, "/m", 1);
    source.send(3, 100);
    for socket in &mut waiting {
        assert_eq!(read_head(socket).status, 200);
    }
    let status = api_mount(&server, "/m");
    assert_eq!(status["listeners"], 300);
}

#[test]
fn the_demand_is_reported_when_it_changes_and_absurd_questions_are_refused() {
    let server = Daemon::with("", &format!("{RULE}linger = \"300ms\"\ndemand_timeout = \"5m\""));
    // At its end, a wait is answered with what is.
    assert_eq!(demand(&server, "?wanted=false&wait=100ms")["wanted"], false);
    let wanted = || {
        let text = get(&server, "/metrics").text();
        let line = text.lines().find(|line| line.starts_with("silvacast_wanted{")).unwrap();
        line.to_owned()
    };
    assert_eq!(wanted(), "silvacast_wanted{mount=\"/m\"} 0");
    assert_eq!(demand(&server, "?wanted=true&wait=60s")["wanted"], false, "it differs at once");
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m?burst=0ms");
    source.send(1, 100);
    listener.headers();
    assert_eq!(demand(&server, "?wanted=false&wait=60s")["wanted"], true);
    assert_eq!(wanted(), "silvacast_wanted{mount=\"/m\"} 1");
    thread::scope(|scope| {
        let end = scope.spawn(|| demand(&server, "?wanted=true&wait=60s"));
        drop(listener);
        let seen = end.join().unwrap();
        assert_eq!((&seen["wanted"], &seen["listeners"]), (&false.into(), &0.into()));
    });
    for query in
        ["?wanted=maybe", "?wanted=", "?wait=61s", "?wait=x", "?wait=-1s", "?wait=99999999999h"]
    {
        let answer = get(&server, &format!("/api/v1/mounts/m/demand{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.text().contains("parameter"), "{}", answer.text());
    }
    let wrong = get_with(&server, "/api/v1/mounts/m/demand", &login_as("source", "a guess"));
    assert_eq!(wrong.status, 401);
    assert_eq!(get_with(&server, "/api/v1/mounts/m/demand", &login(PASSWORD)).status, 200);
}

#[test]
fn an_idle_mount_that_is_expected_is_not_missing() {
    let server = Daemon::with("", &format!("{RULE}expected = true"));
    let health = || {
        let url = server.url("/healthz");
        let output = silvacast().args(["health", "--strict", "--url", &url]).run();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(health(), (Some(0), String::new()));
}

#[test]
fn a_relay_on_demand_pulls_while_somebody_listens_and_a_while_longer() {
    let station = Daemon::start();
    let mut source = Source::connect(&station, "/m", 1);
    let rules = "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"100ms\"";
    let more = "on_demand = true\nlinger = \"300ms\"\nprefix = \"/far\"";
    let hub = Daemon::with("", &format!("{}{rules}", relay(&station, more)));
    wait_for_state(&hub, "/far/m", "idle");
    wait_for_peer(&hub, "/far/m", "idle");
    let upstream = || api_mount(&station, "/m")["listener_peak"].clone();
    assert_eq!(upstream(), 0);
    for round in 0..2 {
        let mut heard = CheckedListener::join_at(&hub, "/far/m?burst=0ms");
        source.send(2, 100);
        heard.audio(2 * round + 1);
        wait_for_peer(&hub, "/far/m", "connected");
        drop(heard);
        wait_for_peer(&hub, "/far/m", "idle");
        until("the connection to end", PATIENCE, || {
            let listeners = api_mount(&station, "/m")["listeners"].clone();
            when(listeners == 0, listeners)
        });
        wait_for_state(&hub, "/far/m", "idle");
    }
    assert_eq!(upstream(), 1);
    // A hub that relays from a hub on demand wakes both.
    let last = Daemon::with("", &relay(&hub, "on_demand = true"));
    wait_for_state(&last, "/far/m", "idle");
    let mut heard = CheckedListener::join_at(&last, "/far/m?burst=0ms");
    source.send(2, 100);
    heard.audio(5);
}

#[test]
fn events_tell_when_a_mount_is_wanted_and_when_not() {
    let rule = "[[mount]]\nname = \"/m\"\non_demand = true\nlinger = \"300ms\"";
    let server = Daemon::with("", rule);
    let mut events = Events::open(&server, "");
    assert_eq!(events.next().1["wanted"].as_array().unwrap().len(), 0);
    let mut wait = |kind: &str| {
        let found = events.find(kind, |(name, _)| name.ends_with("wanted"));
        assert_eq!((&*found.0, &found.1["name"]), (kind, &Value::from("/m")));
    };
    for _ in 0..2 {
        // Nobody sends: the listener waits, and leaves.
        let waiting = ask(&server, "/m");
        wait("wanted");
        drop(waiting);
        wait("unwanted");
    }
    let mut source = Source::connect(&server, "/m", 7);
    source.send(20, 60);
    let listener = Listener::join(&server, "/m");
    wait("wanted");
    // Who has lost the connection learns it from the list.
    let (_, all) = Events::open(&server, "").next();
    assert_eq!(all["wanted"], serde_json::json!(["/m"]));
    drop(listener);
    // It lingers, and nothing else happens that would wake anybody.
    wait("unwanted");
}
