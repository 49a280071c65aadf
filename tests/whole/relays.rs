//! Mounts that are pulled from another silvacast: what is pulled, under which name, and what listeners hear.

use std::io::Write;

use nix::sys::signal::Signal;

use crate::client::{Listener, Source, connect, get, get_with, login, login_as, read_head};
use crate::daemon::{Daemon, PASSWORD};
use crate::gap::{CheckedListener, api_mount};
use crate::ogg;
use crate::other_servers::{
    listed, metric, peers, relay, wait_for_mounts, wait_for_peer, wait_for_reason,
};
use crate::port::Port;
use crate::wait::{PATIENCE, until, when};

/// Gaps are noticed soon, and streams outlast them.
const GAPS: &str = "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"5m\"";

#[test]
fn a_pulled_stream_goes_on_over_restarts_of_its_source_and_of_its_server() {
    let port = Port::reserve();
    let station = Daemon::on(&port, PASSWORD, "", "");
    let mut source = Source::connect(&station, "/m", 1);
    let hub =
        Daemon::with("", &format!("{}{GAPS}", relay(&station, "mounts = [\"/m\", \"/other-*\"]")));
    wait_for_mounts(&hub, &["/m"]);
    hub.wait_for_line(&["event=\"peer-connected\"", "mount=\"/m\"", "server=\"http://127.0.0.1:"]);
    let mut heard = CheckedListener::join_at(&hub, "/m?burst=0ms");
    source.send(3, 100);
    (0..3).for_each(|number| heard.audio(number));
    let url = format!("http://127.0.0.1:{}/m", port.number());
    assert_eq!(api_mount(&hub, "/m")["relayed_from"], url);

    source.leave();
    let mut source = Source::connect(&station, "/m", 2);
    source.send(2, 100);
    heard.audio(1);

    drop((source, station));
    heard.silence(5);
    wait_for_reason(&hub, "/m", "onnection refused");
    let status = api_mount(&hub, "/m");
    assert_eq!((&status["state"], &status["relayed_from"]), (&"gap".into(), &url.as_str().into()));
    // For the mount, and for the list of mounts.
    let metrics = get(&hub, "/metrics").text();
    let peers = |name: &str| {
        let of_name = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        of_name.map(|line| line.rsplit_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(peers("silvacast_peer_connected"), ["0"]);
    assert_eq!(peers("silvacast_peer_failed"), ["1", "1"]);

    let station = Daemon::on(&port, PASSWORD, "", "");
    let mut source = Source::connect(&station, "/m", 3);
    let peer = wait_for_peer(&hub, "/m", "connected");
    assert_eq!((&peer["connections"], &peer["reason"]), (&2.into(), &serde_json::Value::Null));
    source.send(2, 100);
    heard.audio(1);
    let status = api_mount(&hub, "/m");
    assert_eq!((&status["state"], &status["splices"]), (&"live".into(), &1.into()), "{status}");
    // While the server was away, one line said so.
    assert_eq!(hub.count_lines(&["peer-failed", "mount=\"/m\"", "onnection refused"]), 1);
}

#[test]
fn a_pulled_mount_is_described_as_it_is_at_its_origin() {
    let station = Daemon::start();
    let mut socket = connect(&station);
    let fields = "Ice-Name: The pond\r\nIce-Description: By the reeds\r\nIce-Genre: Nature\r\n\
                  Ice-Url: http://pond.example/\r\nIce-Public: 1\r\n";
    write!(socket, "SOURCE /m HTTP/1.0\r\n{}{fields}\r\n", login(PASSWORD)).unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    socket.write_all(&ogg::headers(1)).unwrap();
    let middle = Daemon::with("", &relay(&station, "prefix = \"/wood\""));
    let hub = Daemon::with("", &relay(&middle, ""));
    wait_for_mounts(&hub, &["/wood/m"]);
    let status = api_mount(&hub, "/wood/m");
    for (field, wanted) in [
        ("station_name", "The pond"),
        ("description", "By the reeds"),
        ("genre", "Nature"),
        ("url", "http://pond.example/"),
        ("title", "Dusk"),
        ("relayed_from", &middle.url("/wood/m")),
    ] {
        assert_eq!(status[field], wanted, "{field} in {status}");
    }
}

#[test]
fn patterns_prefixes_and_local_names_decide_what_is_pulled() {
    let station = Daemon::with(
        "",
        "[[mount]]\nname = \"/hidden*\"\nhidden = true\n[[mount]]\nname = \"/closed\"\naccess = \"closed\"",
    );
    let mounts = ["/mic-a", "/mic-b", "/deep/c", "/far/back/x", "/hidden", "/hidden-b", "/closed"];
    let mut sources = mounts.map(|mount| Source::connect(&station, mount, 1));
    let sections = [
        "mounts = [\"/mic-*\", \"/hidden*\"]\nprefix = \"/far\"",
        "mounts = [\"/deep/c\"]\nlocal_name = \"/c\"",
        "mounts = [\"/hidden\", \"/closed\"]",
        // All but those that have the prefix already.
        "prefix = \"/far/back\"",
        "mounts = [\"/mic-a\"]\nlocal_name = \"/c\"",
    ];
    let sections: String = sections.iter().map(|more| relay(&station, more)).collect();
    let hub = Daemon::with("", &sections);
    let pulled = [
        "/c",
        "/far/back/deep/c",
        "/far/back/mic-a",
        "/far/back/mic-b",
        "/far/mic-a",
        "/far/mic-b",
        "/hidden",
    ];
    wait_for_mounts(&hub, &pulled);
    wait_for_reason(&hub, "/closed", "the server answered 403: This microphone is closed");
    hub.wait_for_line(&["peer-failed", "mount=\"/c\"", "another [[relay]] has a mount of"]);
    // What begins later is pulled too, and what has ended is forgotten.
    let late = Source::connect(&station, "/mic-late", 1);
    wait_for_peer(&hub, "/far/mic-late", "connected");
    late.leave();
    let mut heard = CheckedListener::join_at(&hub, "/c?burst=0ms");
    sources[2].send(1, 100);
    heard.audio(0);
}

#[test]
fn a_mount_that_has_ended_at_its_origin_is_not_pulled_any_more() {
    let station = Daemon::with("", "[mount-defaults]\ngap = \"end\"");
    let hub = Daemon::with("", &format!("{}[mount-defaults]\ngap = \"end\"", relay(&station, "")));
    let source = Source::connect(&station, "/m", 1);
    wait_for_mounts(&hub, &["/m"]);
    source.leave();
    until("the peer to be gone", PATIENCE, || {
        let seen = (listed(&hub), peers(&hub));
        when(seen.0.0.is_empty() && seen.1.is_empty(), seen)
    });
}

#[test]
fn a_server_that_pulls_logs_in_where_that_is_required() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "hub:a-token-of-16-chars\n").unwrap();
    let users = directory.path().join("users");
    // "x"; nobody logs in with it here.
    std::fs::write(&users, "anna:$2y$04$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
        .unwrap();
    let station = Daemon::with(
        "",
        &format!(
            "relay_password = \"for relays\"\n\
             [[mount]]\nname = \"/password\"\naccess = \"password\"\nlisteners_file = {users:?}\n\
             [[mount]]\nname = \"/token\"\naccess = \"token\"\ntokens_file = {tokens:?}\n\
             [[mount]]\nname = \"/closed\"\naccess = \"closed\"\n\
             [[mount]]\nname = \"/hidden\"\nhidden = true"
        ),
    );
    let mounts = ["/closed", "/hidden", "/open", "/password", "/token"];
    let _sources = mounts.map(|mount| Source::connect(&station, mount, 1));
    let list = |login: &str| get_with(&station, "/admin/streamlist.txt", login);
    let right = list(&login_as("relay", "for relays"));
    assert_eq!(
        (right.status, &*right.text()),
        (200, "/hidden\r\n/open\r\n/password\r\n/token\r\n")
    );
    assert_eq!(list("").status, 401);
    assert_eq!(list(&login(PASSWORD)).status, 401);

    let sections = [
        "prefix = \"/all\"\npassword = \"for relays\"",
        "prefix = \"/none\"\nmounts = [\"/token\", \"/password\"]",
        "prefix = \"/tok\"\nmounts = [\"/token\"]\ntoken = \"a-token-of-16-chars\"",
        "prefix = \"/bad\"\nmounts = [\"/token\"]\nuser = \"hub\"\npassword = \"a guess\"",
        "prefix = \"/wrong\"\nmounts = [\"/password\"]\npassword = \"a guess\"",
    ];
    let sections: String = sections.iter().map(|more| relay(&station, more)).collect();
    let hub = Daemon::with("", &sections);
    wait_for_mounts(&hub, &["/all/open", "/all/password", "/all/token", "/tok/token"]);
    for (mount, reason) in [
        ("/none/token", "the server answered 401: This microphone requires a token."),
        ("/none/password", "the server answered 401: This microphone requires a user name and"),
        ("/bad/token", "the server answered 401: "),
        ("/wrong/password", "the server answered 401: "),
    ] {
        wait_for_reason(&hub, mount, reason);
    }
    assert!(hub.lines().iter().all(|line| !line.contains("a guess") && !line.contains("for rel")));
}

#[test]
fn an_encoder_takes_a_pulled_mount_over_and_keeps_it_until_it_has_gone() {
    let station = Daemon::start();
    let mut far = Source::connect(&station, "/m", 1);
    let hub = Daemon::with("", &format!("{}{GAPS}", relay(&station, "")));
    wait_for_mounts(&hub, &["/m"]);
    let mut heard = CheckedListener::join_at(&hub, "/m?burst=0ms");
    far.send(1, 100);
    heard.audio(0);
    let mut near = Source::introduce(&hub, "/m", 9);
    near.send(7, 100);
    heard.audio(6);
    // Also while it pauses.
    heard.silence(3);
    wait_for_reason(&hub, "/m", "another source sends to this mount");
    let listeners = api_mount(&station, "/m")["listeners"].clone();
    assert_eq!(listeners, 0, "nothing is pulled that nobody hears");
    near.leave();
    wait_for_peer(&hub, "/m", "connected");
    far.send(2, 100);
    heard.audio(2);
}

#[test]
fn a_reload_adds_changes_and_removes_relays() {
    let station = Daemon::start();
    let mut sources = ["/a", "/b", "/c"].map(|mount| Source::connect(&station, mount, 1));
    let of = |name: &str, more: &str| relay(&station, &format!("mounts = [\"{name}\"]\n{more}"));
    let hub = Daemon::with("", &format!("{}{}", of("/a", ""), of("/b", "")));
    wait_for_mounts(&hub, &["/a", "/b"]);
    let mut local = Source::connect(&hub, "/local", 1);
    let mut heard =
        ["/local", "/a"].map(|mount| CheckedListener::join_at(&hub, &format!("{mount}?burst=0ms")));
    for source in [&mut local, &mut sources[0]] {
        source.send(1, 100);
    }
    for heard in &mut heard {
        heard.audio(0);
    }

    // /b gets another name, /c is new.
    let text = [of("/a", ""), of("/b", "prefix = \"/far\""), of("/c", "")].concat();
    hub.configure(PASSWORD, "", &text);
    hub.signal(Signal::SIGHUP);
    for mount in ["/a", "/c", "/far/b"] {
        wait_for_peer(&hub, mount, "connected");
    }
    for source in [&mut local, &mut sources[0]] {
        source.send(1, 100);
    }
    for heard in &mut heard {
        heard.audio(1);
    }
    hub.configure(PASSWORD, "", "");
    hub.signal(Signal::SIGHUP);
    until("no peers", PATIENCE, || {
        let seen = peers(&hub);
        when(seen.is_empty(), seen)
    });
    local.send(1, 100);
    heard[0].audio(2);
    until("no listeners at the station", PATIENCE, || {
        let seen = ["/a", "/b", "/c"].map(|mount| api_mount(&station, mount)["listeners"].clone());
        when(seen.iter().all(|listeners| *listeners == 0), seen)
    });
}

#[test]
fn a_reload_does_not_touch_what_it_does_not_change() {
    let station = Daemon::start();
    let mut source = Source::connect(&station, "/a", 1);
    let hub = Daemon::with("", &relay(&station, "mounts = [\"/a\"]"));
    wait_for_mounts(&hub, &["/a"]);
    let mut heard = CheckedListener::join_at(&hub, "/a?burst=0ms");
    let other = Daemon::start();
    let _other = Source::connect(&other, "/b", 1);
    hub.configure(PASSWORD, "", &(relay(&station, "mounts = [\"/a\"]") + &relay(&other, "")));
    hub.signal(Signal::SIGHUP);
    wait_for_peer(&hub, "/b", "connected");
    source.send(2, 1);
    heard.audio(1);
    let splices = api_mount(&hub, "/a")["splices"].clone();
    assert_eq!((splices, metric(&station, "silvacast_listener_connections_total")), (0.into(), 1));
}

#[test]
fn relays_leave_a_place_for_those_who_send_here() {
    let station = Daemon::start();
    let _sources = [Source::connect(&station, "/a", 1), Source::connect(&station, "/b", 1)];
    let hub = Daemon::with("", &format!("[limits]\nsources = 2\n{}{GAPS}", relay(&station, "")));
    wait_for_mounts(&hub, &["/a", "/b"]);
    let mut heard = Listener::join(&hub, "/b?burst=0ms");
    heard.headers();
    // The one without listeners makes room, and does not come back.
    let mut source = Source::connect(&hub, "/mine", 1);
    source.send(1, 100);
    wait_for_mounts(&hub, &["/b", "/mine"]);
    wait_for_reason(&hub, "/a", "all mounts are in use");
    // Nor does it when the source pauses.
    source.leave();
    hub.wait_for_line(&["event=\"gap-began\"", "mount=\"/mine\""]);
    let attempts = || wait_for_reason(&hub, "/a", "all mounts are in use")["since"].to_string();
    let before = attempts();
    until("another attempt", PATIENCE, || when(attempts() != before, ()));
    assert_eq!(listed(&hub).0, ["/b", "/mine"]);
}
