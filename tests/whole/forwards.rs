//! Mounts that are pushed to another server: a real Icecast, a silvacast that wants them, and servers that are slow,
//! old, away or that refuse.

use std::io::{Read, Write};
use std::sync::mpsc::sync_channel;

use nix::sys::signal::Signal;

use crate::client::{Listener, Source, get, login_as};
use crate::daemon::{Daemon, PASSWORD};
use crate::fake_server::{FakeServer, wait_for_hangup};
use crate::gap::{CheckedListener, api_mount};
use crate::icecast_server::Icecast;
use crate::ogg;
use crate::other_servers::{
    forward, listed, metric, peers, wait_for_mounts, wait_for_peer, wait_for_reason, wait_for_state,
};
use crate::players::{OPUS, assert_unbroken_tone, decode, ffmpeg_source};
use crate::wait::{PATIENCE, until, when};

#[test]
fn icecast_is_sent_a_mount_and_again_when_it_has_been_away() {
    let mut icecast = Icecast::start();
    let station = Daemon::with("", &forward(&icecast, "prefix = \"/wood\""));
    let options = ["-content_type", "audio/ogg", "-ice_name", "The pond", "-f", "ogg"];
    let url = station.push_url("/m.opus");
    let _encoder = ffmpeg_source(&OPUS, &[&options[..], &[&url]].concat());
    wait_for_peer(&station, "/m.opus", "connected");
    let heard_at = |icecast: &Icecast| {
        until("Icecast to list the mount", PATIENCE, || {
            let status = get(icecast, "/status-json.xsl").text();
            when(status.contains("/wood/m.opus") && status.contains("The pond"), status)
        });
        assert_unbroken_tone("from Icecast", &decode(icecast, "/wood/m.opus"));
    };
    heard_at(&icecast);
    icecast.restart();
    heard_at(&icecast);
    let peer = wait_for_peer(&station, "/m.opus", "connected");
    assert_eq!((&peer["kind"], &peer["remote"]), (&"forward".into(), &"/wood/m.opus".into()));
    assert_eq!(peer["connections"], 2);
    assert_eq!(api_mount(&station, "/m.opus")["splices"], 0);
}

#[test]
fn a_server_that_knows_only_the_method_source_is_sent_a_mount() {
    let (sender, received) = sync_channel(1);
    let old = FakeServer::start(move |head, socket| {
        if head.starts_with("PUT") {
            let _ = socket.write_all(b"HTTP/1.0 501 Not Implemented\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        let _ = socket.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        let mut bytes = vec![0; 3 * 4096];
        if socket.read_exact(&mut bytes).is_ok() {
            let _ = sender.send(bytes);
        }
        wait_for_hangup(socket);
    });
    let station = Daemon::with("", &forward(&old, "user = \"pond\""));
    let mut source = Source::connect(&station, "/m", 7);
    wait_for_peer(&station, "/m", "connected");
    source.send(100, 160);
    let bytes = received.recv_timeout(PATIENCE).unwrap();
    let mut rest = &bytes[..];
    let mut page = || ogg::next_page(&mut rest).unwrap();
    assert!(page().is_first());
    page();
    let numbers: Vec<_> = (0..50).map(|_| ogg::number(&page())).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let heads = old.heads();
    assert!(heads[0].starts_with("PUT /m HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[1].contains("\r\nTransfer-Encoding: chunked\r\n"), "{heads:?}");
    assert!(heads[2].starts_with("SOURCE /m HTTP/1.0\r\n"), "{heads:?}");
    let login = login_as("pond", PASSWORD);
    for field in ["Content-Type: application/ogg\r\n", &login, "User-Agent: silvacast/"] {
        assert!(heads.iter().all(|head| head.contains(field)), "{field}: {heads:?}");
    }
}

#[test]
fn a_mount_is_pushed_only_while_the_other_server_wants_it() {
    let rule = "[[mount]]\nname = \"/mic-*\"\non_demand = true\nlinger = \"200ms\"\ngap_after = \"100ms\"\nhold = \"100ms\"";
    let hub = Daemon::with("", rule);
    let station = Daemon::with("", &forward(&hub, "when = \"wanted\"\nmounts = [\"/mic-*\"]"));
    let mut source = Source::connect(&station, "/mic-a", 1);
    // Sends pages, and returns how many bytes the station has sent when it has read them.
    let sent = |source: &mut Source, pages: u32, all: u32| {
        source.send(pages, 100);
        until("the pages to be read", PATIENCE, || {
            let status = api_mount(&station, "/mic-a");
            when(status["pages_in"] == all, &status).map(|()| status["bytes_out"].clone())
        })
    };
    // The station asks with its login: from then on the hub lists the mount.
    wait_for_state(&hub, "/mic-a", "idle");
    let sources = || metric(&hub, "silvacast_source_connections_total");
    assert_eq!(sent(&mut source, 50, 50), 0);
    assert_eq!((sources(), peers(&station)[0]["state"].clone()), (0, "idle".into()));

    let mut heard = Listener::join(&hub, "/mic-a?burst=0ms");
    heard.headers();
    source.send(2, 100);
    assert_eq!((heard.number(), heard.number()), (50, 51));
    wait_for_peer(&station, "/mic-a", "connected");
    assert_eq!(sources(), 1);
    drop(heard);
    wait_for_peer(&station, "/mic-a", "idle");
    wait_for_state(&hub, "/mic-a", "idle");
    // Nothing is sent from now on.
    let before = api_mount(&station, "/mic-a")["bytes_out"].clone();
    assert!(before.as_u64() > Some(0));
    assert_eq!((sent(&mut source, 50, 102), sources()), (before, 1));
    // The next listener makes it send again.
    let mut heard = Listener::join(&hub, "/mic-a?burst=0ms");
    heard.headers();
    source.send(2, 100);
    assert_eq!(heard.number(), 102);
}

#[test]
fn a_server_that_cannot_say_what_it_wants_is_told_apart() {
    let icecast = Icecast::start();
    let station = Daemon::with("", &forward(&icecast, "when = \"wanted\""));
    let _source = Source::connect(&station, "/m", 1);
    wait_for_reason(&station, "/m", "the server does not tell whether a mount is wanted");
}

#[test]
fn a_slow_server_disturbs_no_listener_and_loses_pages_itself() {
    let (go_on, may_read) = sync_channel::<()>(1);
    let may_read = std::sync::Mutex::new(may_read);
    let slow = FakeServer::start(move |_, socket| {
        let _ = socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        // It reads nothing until the test has seen what it wants.
        let _ = may_read.lock().unwrap().recv_timeout(PATIENCE);
        wait_for_hangup(socket);
    });
    let station = Daemon::with(
        "",
        &format!(
            "{}[limits]\nlistener_send_buffer = \"8KiB\"\n[mount-defaults]\nring = \"128KiB\"",
            forward(&slow, "")
        ),
    );
    let mut source = Source::connect(&station, "/m", 1);
    wait_for_peer(&station, "/m", "connected");
    let mut here = CheckedListener::join_at(&station, "/m?burst=0ms");
    // As much as the sockets and the ring can never hold.
    for batch in 0..800 {
        source.send(10, 1000);
        (0..10).for_each(|number| here.audio(batch * 10 + number));
    }
    go_on.send(()).unwrap();
    until("skipped pages", PATIENCE, || {
        source.send(1, 100);
        let status = api_mount(&station, "/m");
        when(status["skips"].as_u64() > Some(0), status)
    });
}

#[test]
fn a_refusal_is_shown_and_logged_once() {
    let hub = Daemon::start();
    let station = Daemon::with("", &forward(&hub, "password = \"a guess\""));
    let _source = Source::connect(&station, "/m", 1);
    hub.wait_for_lines(&["refused", "status=401"], 3);
    let peer = wait_for_reason(&station, "/m", "the server answered 401: ");
    assert_eq!((&peer["state"], &peer["connections"]), (&"failed".into(), &0.into()));
    assert_eq!(station.count_lines(&["event=\"peer-failed\""]), 1);
    assert!(station.lines().iter().all(|line| !line.contains("a guess")));
}

#[test]
fn a_reload_adds_and_removes_forwards() {
    let hubs = [Daemon::start(), Daemon::start()];
    let station = Daemon::with("", &forward(&hubs[0], ""));
    let mut source = Source::connect(&station, "/m", 1);
    let mut here = CheckedListener::join_at(&station, "/m?burst=0ms");
    wait_for_mounts(&hubs[0], &["/m"]);
    station.configure(PASSWORD, "", &forward(&hubs[1], "prefix = \"/wood\""));
    station.signal(Signal::SIGHUP);
    wait_for_mounts(&hubs[1], &["/wood/m"]);
    hubs[0].wait_for_line(&["source-ended"]);
    source.send(2, 100);
    here.audio(1);
    station.configure(PASSWORD, "", "");
    station.signal(Signal::SIGHUP);
    hubs[1].wait_for_line(&["source-ended"]);
    until("no peers", PATIENCE, || {
        let seen = peers(&station);
        when(seen.is_empty(), seen)
    });
    source.send(1, 100);
    here.audio(2);
    assert_eq!(listed(&station).0, ["/m"]);
}
