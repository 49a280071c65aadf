//! Servers from which mounts are pulled and that answer anything: each is told apart by one plain reason, costs a
//! bounded amount of memory, and holds up nothing else.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::client::{Server, Source, get};
use crate::daemon::Daemon;
use crate::fake_server::{FakeServer, wait_for_hangup};
use crate::gap::CheckedListener;
use crate::ogg;
use crate::other_servers::{
    peer_lists, peers, relay, wait_for_mounts, wait_for_peer, wait_for_reason,
};
use crate::wait::{PATIENCE, until, when};

const OGG: &str = "HTTP/1.0 200 OK\r\nContent-Type: application/ogg\r\n\r\n";
const EVENTS: &str = "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const MIB: usize = 1024 * 1024;

/// A server that redirects each request to the next of so many other paths, where the stream is.
fn redirecting(steps: usize) -> FakeServer {
    FakeServer::start(move |head, socket| {
        let path = head.split(' ').nth(1).unwrap();
        let step = path.strip_prefix("/step").map_or(0, |step| step.parse().unwrap());
        if step < steps {
            let location = format!("/step{}", step + 1);
            let _ = write!(socket, "HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
        } else {
            let _ = socket.write_all(&[OGG.as_bytes(), &ogg::headers(1)].concat());
            wait_for_hangup(socket);
        }
    })
}

/// A server that sends a head, and then the same bytes for ever.
fn endless(head: &'static str, bytes: &'static [u8]) -> FakeServer {
    FakeServer::start(move |_, socket| {
        let _ = socket.write_all(head.as_bytes());
        while socket.write_all(bytes).is_ok() {}
    })
}

/// Asserts that a server works: a mount of its own plays, it is healthy, and its memory has hardly grown.
fn is_well(server: &Daemon, before: usize) {
    let mut source = Source::connect(server, "/local", 1);
    let mut heard = CheckedListener::join_at(server, "/local?burst=0ms");
    source.send(100, 100);
    (0..100).for_each(|number| heard.audio(number));
    assert_eq!(get(server, "/healthz").status, 200);
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes more");
}

#[test]
fn a_mount_that_cannot_be_pulled_has_a_plain_reason() {
    let whole = |text: &str| FakeServer::saying(text);
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let elsewhere = FakeServer::saying([OGG.as_bytes(), &ogg::headers(1)].concat());
    let to_elsewhere =
        format!("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:{}/m\r\n\r\n", elsewhere.port());
    let long = format!("HTTP/1.0 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MIB));
    let bad: Vec<(FakeServer, &str)> = vec![
        (whole(page), "the server sent text/html instead of Ogg"),
        (
            redirecting(4),
            "the server redirects to /step4, which is not followed: up to 3 redirects",
        ),
        (
            whole("HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/m\r\n\r\n"),
            "the server redirects to https://127.0.0.1/m, which is not followed",
        ),
        (whole("HTTP/1.1 302 Found\r\n\r\n"), "the server redirects to nowhere"),
        (whole("HTTP/1.1 401 Unauthorized\r\n\r\n"), "the server answered 401"),
        (whole(""), "the server did not answer in HTTP"),
        (whole("SSH-2.0-OpenSSH_9.2p1\r\n"), "the server did not answer in HTTP"),
        (whole(&long), "the server sent more than 16384 bytes"),
        (FakeServer::start(|_, socket| wait_for_hangup(socket)), "has not answered within 30 s"),
    ];
    let refused = bad.iter().enumerate();
    let sections: String = refused
        .map(|(it, (server, _))| {
            relay(server, &format!("mounts = [\"/m\"]\nprefix = \"/{it}\"\npassword = \"secret\""))
        })
        .collect();
    // A list that is begun and not ended.
    let unfinished = FakeServer::at("/status-json.xsl", |socket| {
        let _ = socket.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{");
        wait_for_hangup(socket);
    });
    let followed = redirecting(1);
    let moved = whole(&to_elsewhere);
    let more = [
        relay(&unfinished, ""),
        relay(&followed, "mounts = [\"/m\"]\nlocal_name = \"/followed\""),
        relay(&moved, "mounts = [\"/m\"]\nlocal_name = \"/moved\"\npassword = \"secret\""),
    ];
    let server = Daemon::with("", &(sections + &more.concat()));
    let before = server.resident();
    wait_for_peer(&server, "/followed", "connected");
    // The login is for the server that the configuration names.
    elsewhere.wait_for_requests(1);
    assert!(moved.heads()[0].contains("Authorization: "));
    assert!(!elsewhere.heads()[0].contains("Authorization"), "{:?}", elsewhere.heads());
    for (it, (_, reason)) in bad.iter().enumerate() {
        wait_for_reason(&server, &format!("/{it}/m"), reason);
    }
    let from = format!("server=\"http://127.0.0.1:{}\"", unfinished.port());
    server.wait_for_line(&["peer-failed", &from, "has not answered within 10 s"]);
    is_well(&server, before);
}

#[test]
fn a_stream_that_is_no_ogg_is_refused_like_that_of_an_encoder() {
    let mp3 = endless(OGG, &[0xff, 0xfb, 0x90, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let broken = FakeServer::start(|_, socket| {
        let _ = socket.write_all(&[OGG.as_bytes(), &ogg::headers(1)].concat());
        while socket.write_all(&[0x55; 4096]).is_ok() {}
    });
    let sections = [
        relay(&mp3, "mounts = [\"/m\"]\nlocal_name = \"/mp3\""),
        relay(&broken, "mounts = [\"/m\"]\nlocal_name = \"/broken\""),
    ];
    let server = Daemon::with("", &sections.concat());
    let before = server.resident();
    let line = server.wait_for_line(&["source-ended", "mount=\"/mp3\""]);
    assert!(line.contains("reason=") && !line.contains("disconnected"), "{line}");
    let line = server.wait_for_line(&["source-ended", "mount=\"/broken\""]);
    assert!(line.contains("reason=") && !line.contains("disconnected"), "{line}");
    wait_for_reason(&server, "/mp3", "send Ogg with Opus, FLAC or Vorbis");
    wait_for_reason(&server, "/broken", "the source sent ");
    is_well(&server, before);
}

#[test]
fn a_list_that_has_no_end_or_no_sense_is_refused() {
    let bad = [
        (endless(EVENTS, b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), "more than 262144 bytes"),
        (
            FakeServer::at("/admin/streamlist.txt", |socket| {
                let head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n";
                let _ = socket.write_all(head);
                while socket.write_all(b"/mount-of-an-endless-list\r\n").is_ok() {}
            }),
            "more than 262144 bytes",
        ),
        (
            FakeServer::saying("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"),
            "the server sent text/html instead of its status",
        ),
        (
            FakeServer::saying("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[1, 2]"),
            "the server sent another document instead of its status",
        ),
    ];
    let sections: String =
        bad.iter().map(|(server, _)| relay(server, "password = \"x\"")).collect();
    let server = Daemon::with("", &sections);
    let before = server.resident();
    for (fake, reason) in &bad {
        let from = format!("server=\"http://127.0.0.1:{}\"", fake.port());
        server.wait_for_line(&["peer-failed", &from, reason]);
    }
    assert_eq!(peers(&server), [] as [serde_json::Value; 0]);
    assert_eq!(peer_lists(&server).len(), bad.len());
    for list in peer_lists(&server) {
        let shown = list["reason"].as_str().unwrap();
        assert!(bad.iter().any(|(_, reason)| shown.contains(reason)), "{list}");
    }
    is_well(&server, before);
}

/// A silvacast that lists these mounts and has none of them.
fn listing(mounts: &[String]) -> FakeServer {
    let mounts: Vec<_> = mounts.iter().map(|name| format!("{{\"name\":{name:?}}}")).collect();
    let list = format!("event: mounts\ndata: {{\"mounts\":[{}]}}\n\n", mounts.join(","));
    FakeServer::at("/api/v1/events", move |socket| {
        let _ = socket.write_all(format!("{EVENTS}{list}").as_bytes());
        wait_for_hangup(socket);
    })
}

#[test]
fn names_that_another_server_lists_are_valid_bounded_in_number_and_owned_by_one_relay() {
    let climbing = ["/../../etc/passwd", "/a/../b", "b", "/admin/x", "/api/v1/mounts", "/%2e%2e/x"];
    let climbing = listing(&climbing.map(ToOwned::to_owned));
    let many: Vec<_> = (0..10_000).map(|number| format!("/{number}")).collect();
    let many = listing(&many);
    let both = ["/same".to_owned(), "/other".to_owned()];
    let twins = [listing(&both), listing(&both[..1])];
    let server = Daemon::with(
        "",
        &format!(
            "[limits]\nsources = 20\n{}{}{}{}",
            relay(&twins[0], ""),
            relay(&twins[1], ""),
            relay(&climbing, ""),
            relay(&many, "prefix = \"/many\"")
        ),
    );
    let before = server.resident();
    server.wait_for_line(&["peer-failed", "has more mounts than limits.sources"]);
    server.wait_for_line(&["peer-failed", "mount=\"/same\"", "another [[relay]] has a mount"]);
    wait_for_reason(&server, "/same", "the server answered 404");
    wait_for_reason(&server, "/other", "the server answered 404");
    let all = until("the first of many", PATIENCE, || {
        let all = peers(&server);
        let names: Vec<_> = all.iter().map(|it| it["mount"].as_str().unwrap().to_owned()).collect();
        when(names.len() == 23, &names).map(|()| names)
    });
    assert_eq!(all.iter().filter(|name| name.starts_with("/many/")).count(), 20);
    let others = all.iter().filter(|name| !name.starts_with("/many/"));
    // What looks encoded is a name like any other.
    assert_eq!(
        others.collect::<BTreeSet<_>>(),
        ["/%2e%2e/x", "/other", "/same"].map(ToOwned::to_owned).iter().collect()
    );
    is_well(&server, before);
    wait_for_mounts(&server, &["/local"]);
}

#[test]
fn a_server_that_reports_new_mounts_without_end_is_left() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let fake = FakeServer::at("/api/v1/events", move |socket| {
        let _ = socket.write_all(EVENTS.as_bytes());
        let up = |number| format!("event: up\ndata: {{\"name\":\"/{number:0200}\"}}\n\n");
        while socket.write_all(up(counter.fetch_add(1, SeqCst)).as_bytes()).is_ok() {}
    });
    let server = Daemon::with("", &relay(&fake, ""));
    let before = server.resident();
    let from = format!("server=\"http://127.0.0.1:{}\"", fake.port());
    server.wait_for_line(&["peer-failed", &from, "the server reported more than 1024 mounts"]);
    is_well(&server, before);
    assert!(sent.load(SeqCst) > 100);
}
