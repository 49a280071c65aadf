//! Who may listen by HLS, and how such listeners are counted, listed and disconnected.

use std::process::Command;

use serde_json::Value;

use crate::access::{TOKEN, from, server, status};
use crate::client::{Answer, Listener, Source, admin, get, get_with, login, login_as, request};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::hls_rules::MediaPlaylist;
use crate::process::Run;
use crate::share;
use crate::wait::{PATIENCE, until, when};

/// Mounts with sources that have sent ten seconds.
fn sources<const N: usize>(server: &Daemon, mounts: [&str; N]) -> [Source; N] {
    mounts.map(|mount| {
        let mut source = Source::connect(server, mount, 1);
        source.send(500, 100);
        source
    })
}

fn agent(name: &str) -> String {
    format!("User-Agent: {name}\r\n")
}

/// The names of all files in a playlist, as a player requests them.
fn files(playlist: &MediaPlaylist) -> Vec<&str> {
    let last = playlist.segments.iter().rev().find(|one| one.file.is_some()).unwrap();
    let parts = last.parts.iter().map(|part| &*part.uri).take(2);
    let file = &*last.file.as_ref().unwrap().1;
    [&*last.map, file].into_iter().chain(parts).collect()
}

/// Waits until a playlist has five segments, and returns it.
fn playlist(server: &Daemon, target: &str, fields: &str) -> (Answer, MediaPlaylist) {
    until("five segments", PATIENCE, || {
        let answer = get_with(server, target, fields);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let read = MediaPlaylist::read(&answer.text()).unwrap();
        if read.segments.len() >= 5 { Ok((answer, read)) } else { Err(read.text) }
    })
}

/// The API's description of a mount.
fn mount(server: &Daemon, name: &str) -> Value {
    let answer = get(server, "/api/v1/mounts");
    let mounts = serde_json::from_slice::<Value>(&answer.body).unwrap()["mounts"].take();
    let found = mounts.as_array().unwrap().iter().find(|listed| listed["name"] == name);
    found.cloned().unwrap_or_default()
}

#[test]
fn each_file_of_a_mount_is_for_those_who_may_hear_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let all = ["/open", "/password", "/token", "/closed", "/near", "/hidden"];
    let _sources = sources(&server, all);
    let anna = login_as("anna", "vögel");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let query = format!("?token={TOKEN}");
    let near = from("100.64.0.8");
    for (mount, query, right, wrong, refused) in [
        ("/open", "", "", "", 200),
        ("/hidden", "", "", "", 200),
        ("/password", "", &*anna, "", 401),
        ("/token", &*query, "", "", 401),
        ("/token", "", &*bearer, "", 401),
        ("/near", "", &*near, &*from("100.64.0.9"), 403),
    ] {
        for name in ["index.m3u8", "low-latency.m3u8"] {
            let target = format!("{mount}/{name}{query}");
            let (answer, playlist) = playlist(&server, &target, right);
            let is_public = matches!(mount, "/open" | "/hidden");
            let who = if is_public { "public" } else { "private" };
            for file in files(&playlist) {
                assert_eq!(
                    file.ends_with(query),
                    !query.is_empty() || !file.contains('?'),
                    "{file}"
                );
                let path = format!("{mount}/{file}");
                let kept = get_with(&server, &path, right);
                assert_eq!(kept.status, 200, "{path}: {}", kept.text());
                let cache = kept.field("cache-control").unwrap();
                assert_eq!(cache, format!("{who}, max-age=3600, immutable"), "{path}");
                let bare = path.split('?').next().unwrap();
                assert_eq!(status(&server, bare, wrong), refused, "{bare}");
            }
            if name == "index.m3u8" {
                let cache = answer.field("cache-control").unwrap();
                assert!(cache.starts_with(&format!("{who}, max-age=1")), "{target}: {cache}");
            }
            let bare = target.split('?').next().unwrap();
            assert_eq!(status(&server, bare, wrong), refused, "{bare}");
        }
    }
    for (target, fields, refused) in [
        ("/closed/index.m3u8", login(PASSWORD), 403),
        ("/token/index.m3u8?token=0123456789abcdef-other", from("192.0.2.1"), 401),
        ("/password/index.m3u8", login_as("anna", "vogel"), 401),
        ("/near.m3u8", String::new(), 403),
    ] {
        assert_eq!(status(&server, target, &fields), refused, "{target}");
    }
    assert!(server.lines().iter().all(|line| !line.contains(TOKEN) && !line.contains("vögel")));
}

#[test]
fn a_link_opens_all_files_and_is_in_their_uris() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let _sources = sources(&server, ["/open", "/token"]);
    let link = link_for(&server, "2h");
    let query = link.strip_prefix("/token").unwrap();
    let (_, playlist) = playlist(&server, &format!("/token/low-latency.m3u8{query}"), "");
    for file in files(&playlist).into_iter().chain(playlist.hint.as_deref()) {
        assert!(file.ends_with(query), "{file}, not {query}");
    }
    for (number, file) in files(&playlist).into_iter().enumerate() {
        assert_eq!(status(&server, &format!("/token/{file}"), ""), 200, "{file}");
        let other = file.replace("signature=", "signature=0");
        let guesser = from(&format!("192.0.2.{number}"));
        assert_eq!(status(&server, &format!("/token/{other}"), &guesser), 403, "{other}");
    }
    // Those who came by the same link are one listener, wherever they are.
    let target = format!("/token/index.m3u8{query}");
    for name in ["one", "two"] {
        assert_eq!(get_with(&server, &target, &agent(name)).status, 200);
    }
    assert_eq!(mount(&server, "/token")["listeners"], 1);
    let short = link_for(&server, "1s");
    let expired = short.replace("/token?", "/token/index.m3u8?");
    assert_eq!(get(&server, &expired).status, 200);
    until("the end of a link", PATIENCE, || {
        let status = get(&server, &expired).status;
        when(status == 403, status)
    });
}

/// A link to a mount, without the server's address.
fn link_for(server: &Daemon, time: &str) -> String {
    let mut command: Command = silvacast();
    command.arg("share").arg("--config").arg(server.file());
    command.args(["--mount", "/token", "--for", time, "--url", "http://x"]);
    let output = command.run();
    let said = String::from_utf8(output.stdout).unwrap();
    share::path(&said, "stream", "http://x").to_owned()
}

#[test]
fn a_client_that_requests_is_a_listener_until_it_stops() {
    let server = Daemon::with(
        "",
        "[mount-defaults]\nhls_segment = \"1s\"\n[[mount]]\nname = \"/m\"\nmax_listeners = 2",
    );
    let _sources = sources(&server, ["/m"]);
    let (low, read) = playlist(&server, "/m/low-latency.m3u8", &agent("phone"));
    let listeners = || mount(&server, "/m")["listeners"].as_u64();
    assert_eq!(listeners(), Some(1), "{}", low.text());
    for file in files(&read) {
        assert_eq!(get_with(&server, &format!("/m/{file}"), &agent("phone")).status, 200);
    }
    assert_eq!(listeners(), Some(1), "the same client");
    let head = "HEAD /m/index.m3u8 HTTP/1.1\r\nHost: x\r\nUser-Agent: monitor\r\n\r\n";
    assert_eq!(request(&server, head).status, 200);
    assert_eq!(listeners(), Some(1), "HEAD is no listener");
    let ogg = Listener::join_with(&server, "/m", &agent("radio"));
    assert_eq!(listeners(), Some(2), "one limit for both");
    let full = get_with(&server, "/m/index.m3u8", &agent("tablet"));
    assert_eq!((full.status, full.field("retry-after")), (503, Some("10")), "{full:?}");
    assert!(full.text().contains("has reached its listener limit of 2"), "{}", full.text());
    let listed = get_with(&server, "/admin/listclients?mount=/m", &admin()).text();
    assert!(listed.contains("phone") && listed.contains("radio"), "{listed}");
    assert!(!listed.contains("tablet") && !listed.contains("monitor"), "{listed}");
    drop(ogg);
    let left = server.wait_for_line(&["listener-left", "agent=\"phone\""]);
    for part in ["protocol=\"HLS\"", "requested nothing for 2 s", "mount=\"/m\""] {
        assert!(left.contains(part), "{part}: {left}");
    }
    let bytes = left.split("bytes=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(bytes.parse::<u64>().unwrap() > 1_000, "{left}");
    until("no listener", PATIENCE, || when(listeners() == Some(0), listeners()));
    assert_eq!(get_with(&server, "/m/index.m3u8", &agent("tablet")).status, 200);
}

#[test]
fn an_administrator_disconnects_a_client_that_listens_by_hls() {
    let server = Daemon::start();
    let _sources = sources(&server, ["/m"]);
    let ask = |name: &str| get_with(&server, "/m/index.m3u8", &agent(name)).status;
    assert_eq!((ask("phone"), ask("tablet")), (200, 200));
    let answer = get_with(&server, "/api/v1/listeners", &admin());
    let listeners = serde_json::from_slice::<Value>(&answer.body).unwrap()["listeners"].take();
    let listeners = listeners.as_array().unwrap();
    assert_eq!(listeners.len(), 2, "{listeners:?}");
    let id = &listeners.iter().find(|one| one["agent"] == "phone").unwrap()["id"];
    let kill = format!("/admin/killclient?mount=/m&id={id}");
    assert_eq!(get_with(&server, &kill, &admin()).status, 200);
    let left = server.wait_for_line(&["listener-left", "agent=\"phone\""]);
    for part in ["protocol=\"HLS\"", "disconnected by an administrator", "by_user=\"admin\""] {
        assert!(left.contains(part), "{part}: {left}");
    }
    let refused = get_with(&server, "/m/index.m3u8", &agent("phone"));
    let ogg = get_with(&server, "/m", &agent("phone"));
    assert_eq!((refused.status, refused.text()), (ogg.status, ogg.text()));
    assert_ne!(refused.status, 200);
}

#[test]
fn a_listener_of_a_mount_that_ended_and_came_back_is_counted_there() {
    let server = Daemon::with("", "[mount-defaults]\ngap = \"end\"\nhls_segment = \"5s\"");
    let [first] = sources(&server, ["/m"]);
    let ask = || get_with(&server, "/m/index.m3u8", &agent("phone")).status;
    assert_eq!(ask(), 200);
    assert_eq!(mount(&server, "/m")["listeners"], 1);
    first.leave();
    server.wait_for_line(&["source-ended"]);
    until("the end of the stream", PATIENCE, || when(ask() == 404, ask()));
    let _second = sources(&server, ["/m"]);
    until("the playlist of the next stream", PATIENCE, || when(ask() == 200, "no playlist"));
    assert_eq!(mount(&server, "/m")["listeners"], 1);
}

#[test]
fn nothing_but_what_opened_the_mount_is_in_the_uris() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let _sources = sources(&server, ["/token"]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let junk = "x".repeat(4000);
    let target = format!("/token/low-latency.m3u8?token={junk}");
    let (_, playlist) = playlist(&server, &target, &bearer);
    assert!(!playlist.text.contains("xxx"), "{}", playlist.text);
}

#[test]
fn an_address_has_as_many_places_by_hls_as_connections() {
    let server = Daemon::with("", "[limits]\nconnections_per_ip = 5\n");
    let _sources = sources(&server, ["/m"]);
    let ask = |name: &str, more: &str| {
        get_with(&server, "/m/index.m3u8", &format!("{}{more}", agent(name)))
    };
    for name in ["a", "b", "c", "d", "e"] {
        playlist(&server, "/m/index.m3u8", &agent(name));
    }
    let refused = ask("f", "");
    assert_eq!((refused.status, refused.field("retry-after")), (429, Some("10")));
    assert!(refused.text().contains("This address has reached its connection limit of 5."));
    assert_eq!(ask("a", "").status, 200);
    assert_eq!(mount(&server, "/m")["listeners"], 5);
    // The permits of the connections are others. Those of the last requests may be freed only now.
    Listener::join(&server, "/m?burst=0ms").headers();
}

#[test]
fn no_source_may_send_to_the_name_of_a_file() {
    let server = Daemon::start();
    for name in ["/m.m3u8", "/m/index.m3u8", "/m/0000000a-1-init.mp4", "/m/0000000a-1-7.2.m4s"] {
        let head = format!(
            "PUT {name} HTTP/1.1\r\nHost: x\r\n{}Content-Type: audio/ogg\r\n\r\n",
            login(PASSWORD)
        );
        let refused = request(&server, &head);
        assert_eq!(refused.status, 403, "{name}");
        assert!(refused.text().contains("the files of HLS have such names"), "{}", refused.text());
    }
}
