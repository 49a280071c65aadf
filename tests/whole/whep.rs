//! WebRTC listeners (WHEP): real browsers and other clients hear a mount, and everything that is refused is refused
//! with its reason.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::client::{Answer, Server, admin, connect, get, get_with, login, read_head, request};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::players::{OPUS, ffmpeg_source};
use crate::process::{Run, Running};
use crate::share;
use crate::wait::{PATIENCE, until, when};

/// What Chromium offers, without what is of no interest.
pub(crate) const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:9uB6\r\n\
    a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1o\r\na=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:\
    11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\r\na=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n";

/// A server with WebRTC, for whoever can reach this address.
pub(crate) fn server_at(address: &str, top: &str, sections: &str) -> Daemon {
    Daemon::with(top, &reachable_at(address, sections))
}

/// The sections of a configuration with WebRTC.
pub(crate) fn reachable_at(address: &str, sections: &str) -> String {
    format!("[webrtc]\nlisten = \"{address}:0\"\naddresses = [\"{address}\"]\n{sections}")
}

pub(crate) fn source(server: &Daemon, arguments: &[&str]) -> Running {
    let url = server.push_url("/mic.opus");
    let output = ["-content_type", "audio/ogg", "-f", "ogg", &url];
    let source = ffmpeg_source(&OPUS, &[arguments, &output].concat());
    until("the mount to be live", PATIENCE, || {
        let state = mount(server, "/mic.opus")["state"].clone();
        when(state == "live", state)
    });
    source
}

/// Sends an offer.
pub(crate) fn post(server: &impl Server, path: &str, fields: &str, offer: &str) -> Answer {
    request(
        server,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n{fields}\r\n{offer}",
            offer.len()
        ),
    )
}

pub(crate) fn delete(server: &impl Server, path: &str) -> Answer {
    request(server, &format!("DELETE {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn head(server: &impl Server, name: &str) -> Answer {
    request(server, &format!("HEAD {name} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

/// The reason in the details of a problem.
fn detail(answer: &Answer) -> String {
    assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status, "{problem}");
    assert_eq!(problem["type"], "about:blank");
    problem["detail"].as_str().unwrap().to_owned()
}

pub(crate) fn mount(server: &Daemon, name: &str) -> Value {
    let list: Value = serde_json::from_slice(&get(server, "/api/v1/mounts").body).unwrap();
    let mounts = list["mounts"].as_array().unwrap();
    mounts.iter().find(|mount| mount["name"] == name).cloned().unwrap_or_default()
}

pub(crate) fn wait_for_listeners(server: &Daemon, number: u64) {
    until("the listeners by WebRTC", PATIENCE, || {
        let listeners = mount(server, "/mic.opus")["webrtc_listeners"].clone();
        when(listeners == number, listeners)
    });
}

#[test]
fn a_session_is_described_and_ended_as_whep_has_it() {
    let server = server_at("127.0.0.1", "", "");
    let _source = source(&server, &[]);
    let answer = post(&server, "/mic.opus/whep", "", OFFER);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/sdp"));
    assert!(answer.field("etag").unwrap().starts_with('"'));
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    let exposed = answer.field("access-control-expose-headers").unwrap();
    assert!(exposed.contains("Location") && exposed.contains("ETag"), "{exposed}");
    let sdp = answer.text();
    for line in ["a=ice-lite", "a=setup:passive", "a=sendonly", "a=mid:0", "a=rtcp-mux"] {
        assert!(sdp.lines().any(|it| it == line), "{line} in\n{sdp}");
    }
    assert!(sdp.contains(" 127.0.0.1 ") && !sdp.contains("stereo"), "{sdp}");
    wait_for_listeners(&server, 1);

    let session = format!("/mic.opus/{}", answer.field("location").unwrap());
    for (line, allow) in [
        (format!("PATCH {session}"), "DELETE, OPTIONS"),
        (format!("GET {session}"), "DELETE, OPTIONS"),
        ("GET /mic.opus/whep".to_owned(), "OPTIONS, POST"),
        ("DELETE /mic.opus/whep".to_owned(), "OPTIONS, POST"),
    ] {
        let answer =
            request(&server, &format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert_eq!((answer.status, answer.field("allow")), (405, Some(allow)), "{line}");
        assert!(!detail(&answer).is_empty());
    }
    let preflight = request(
        &server,
        &format!("OPTIONS {session} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    );
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.field("access-control-allow-methods"), Some("DELETE, OPTIONS"));
    let options = "OPTIONS /mic.opus/whep HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(request(&server, options).field("accept-post"), Some("application/sdp"));

    assert_eq!(delete(&server, &session).status, 200);
    wait_for_listeners(&server, 0);
    let again = delete(&server, &session);
    assert_eq!(again.status, 404);
    assert!(detail(&again).contains("no such session"), "{again:?}");
}

#[test]
fn it_is_announced_where_there_is_one() {
    let server = server_at("127.0.0.1", "", "[[mount]]\nname = \"/off\"\nwebrtc = false");
    let _source = source(&server, &[]);
    assert_eq!(mount(&server, "/mic.opus")["webrtc"], "/mic.opus/whep");
    let link = "<mic.opus/whep>; rel=\"alternate\"; type=\"application/sdp\"";
    assert_eq!(head(&server, "/mic.opus").field("link"), Some(link));
    let _off = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/off")]);
    let _flac = ffmpeg_source(&["-c:a", "flac"], &["-f", "ogg", &server.push_url("/flac")]);
    for name in ["/off", "/flac"] {
        until("the mount", PATIENCE, || when(mount(&server, name)["name"] == name, name));
        assert!(mount(&server, name)["webrtc"].is_null());
        assert_eq!(head(&server, name).field("link"), None);
    }
    let off = post(&server, "/off/whep", "", OFFER);
    assert_eq!(
        (off.status, &*detail(&off)),
        (404, "WebRTC is switched off for this microphone; it is heard without.")
    );
    let flac = post(&server, "/flac/whep", "", OFFER);
    assert_eq!(flac.status, 406);
    assert!(detail(&flac).contains("Opus"), "{flac:?}");

    let without = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &without.push_url("/m")]);
    without.wait_for_line(&["stream-began"]);
    assert_eq!(post(&without, "/m/whep", "", OFFER).status, 404);
    assert!(mount(&without, "/m")["webrtc"].is_null());
}

#[test]
fn offers_that_cannot_be_answered_are_refused_with_a_reason() {
    let server = server_at("127.0.0.1", "", "");
    let _source = source(&server, &[]);
    let candidates = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n".repeat(10_000);
    let h264 = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\na=recvonly\r\n";
    for (offer, status, reason) in [
        (String::new(), 400, "not an SDP offer"),
        ("{\"sdp\":\"v=0\"}".into(), 400, "not an SDP offer"),
        (h264.into(), 406, "no audio"),
        (OFFER.replace("opus/48000/2", "PCMU/8000"), 406, "no Opus"),
        (OFFER.replace("a=ice-ufrag:9uB6\r\n", ""), 406, "ice-ufrag"),
        (OFFER.replace("actpass", "passive"), 406, "setup:passive"),
        (OFFER.replace("sha-256", "sha-1"), 406, "sha-256"),
        (OFFER.replace("recvonly", "inactive"), 406, "no audio"),
        (OFFER.replace("a=rtcp-mux\r\n", ""), 406, "rtcp-mux"),
        (format!("{OFFER}{candidates}"), 413, "16 KiB"),
        ("m=audio 9 x 0\r\n".repeat(1000), 400, "not an SDP offer"),
    ] {
        let answer = post(&server, "/mic.opus/whep", "", &offer);
        assert_eq!(answer.status, status, "{reason}");
        assert!(detail(&answer).contains(reason), "{reason}: {}", detail(&answer));
    }
    let empty = |fields: &str| {
        let text = format!("POST /mic.opus/whep HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        request(&server, &text)
    };
    let json = empty("Content-Type: application/json\r\nContent-Length: 2\r\n");
    assert_eq!((json.status, json.field("accept-post")), (415, Some("application/sdp")));
    assert!(detail(&json).contains("application/sdp"));
    assert_eq!(post(&server, "/other/whep", "", OFFER).status, 404);
    wait_for_listeners(&server, 0);

    // In chunks the length is not known beforehand.
    let mut chunked = connect(&server);
    let head = "POST /mic.opus/whep HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nTransfer-Encoding: chunked\r\n\r\n";
    write!(chunked, "{head}{:x}\r\n{OFFER}\r\n0\r\n\r\n", OFFER.len()).unwrap();
    let answer = read_head(&mut chunked);
    assert_eq!(answer.status, 201);
}

#[test]
fn nobody_pushes_where_listeners_begin() {
    let server = server_at("127.0.0.1", "", "");
    let text = format!("PUT /mic.opus/whep HTTP/1.1\r\nHost: x\r\n{}\r\n", login(PASSWORD));
    let answer = request(&server, &text);
    assert_eq!((answer.status, answer.field("allow")), (405, Some("OPTIONS, POST")));
}

#[test]
fn limits_access_and_kills_hold_as_for_any_listener() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "anna:0123456789abcdef\n").unwrap();
    let rules = format!(
        "sessions = 2\n[[mount]]\nname = \"/closed\"\naccess = \"token\"\ntokens_file = {tokens:?}\n\
         [[mount]]\nname = \"/small\"\nmax_listeners = 1"
    );
    let server = server_at("127.0.0.1", "", &rules);
    let _sources = ["/closed", "/small"].map(|name| {
        let source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url(name)]);
        server.wait_for_line(&["stream-began", name]);
        source
    });
    assert_eq!(post(&server, "/closed/whep", "", OFFER).status, 401);
    assert_eq!(post(&server, "/closed/whep?token=0123456789abcdef", "", OFFER).status, 201);
    assert_eq!(post(&server, "/small/whep", "", OFFER).status, 201);
    let full = post(&server, "/small/whep", "", OFFER);
    assert_eq!(full.status, 503);
    assert!(detail(&full).contains("listener limit of 1"), "{full:?}");
    let full = post(&server, "/closed/whep?token=0123456789abcdef", "", OFFER);
    assert_eq!(full.status, 503);
    assert!(detail(&full).contains("limit of 2 WebRTC sessions"), "{full:?}");
    assert!(full.field("retry-after").is_some());

    let clients = get_with(&server, "/admin/listclients?mount=/small", &admin()).text();
    let id = clients.split("<ID>").nth(1).unwrap().split('<').next().unwrap();
    let killed = get_with(&server, &format!("/admin/killclient?mount=/small&id={id}"), &admin());
    assert!(killed.text().contains("removed"), "{}", killed.text());
    server.wait_for_line(&[
        "listener-left",
        "protocol=\"WebRTC\"",
        "an administrator disconnected",
    ]);
}

#[test]
fn a_listener_that_came_by_a_link_leaves_when_it_expires() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "of the station ".repeat(4)).unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "anna:0123456789abcdef\n").unwrap();
    let rules =
        format!("[[mount]]\nname = \"/mic.opus\"\naccess = \"token\"\ntokens_file = {tokens:?}");
    let sections = reachable_at("127.0.0.1", &rules);
    let server = Daemon::with("", &format!("share_key_file = {key:?}\n{sections}"));
    let _source = source(&server, &[]);
    let share = ["share", "--mount", "/mic.opus", "--for", "3s", "--url", "http://x", "--config"];
    let output = silvacast().args(share).arg(server.file()).run();
    let printed = String::from_utf8(output.stdout).unwrap();
    let link = share::path(&printed, "stream", "http://x");
    let offered = link.replace("/mic.opus?", "/mic.opus/whep?");
    // Without a connection, it has ten seconds.
    assert_eq!(post(&server, &offered, "", OFFER).status, 201, "{offered}");
    server.wait_for_line(&[
        "listener-left",
        "protocol=\"WebRTC\"",
        "the listener's link has expired",
    ]);
    assert_eq!(post(&server, &offered, "", OFFER).status, 403);
}

#[test]
fn an_offer_that_nobody_follows_up_keeps_nobody_away() {
    let server = server_at("127.0.0.1", "", "sessions = 1");
    let _source = source(&server, &[]);
    assert_eq!(post(&server, "/mic.opus/whep", "", OFFER).status, 201);
    assert_eq!(post(&server, "/mic.opus/whep", "", OFFER).status, 503);
    until("the place of the first one", PATIENCE, || {
        let status = post(&server, "/mic.opus/whep", "", OFFER).status;
        when(status == 201, status)
    });
    server.wait_for_line(&["listener-left", "its place was needed for another one"]);
}

#[test]
fn a_client_that_never_comes_is_told_of_in_the_log() {
    let server = server_at("127.0.0.1", "", "");
    let _source = source(&server, &[]);
    assert_eq!(post(&server, "/mic.opus/whep", "", OFFER).status, 201);
    let line = server.wait_for_line(&["listener-left", "no check came within 10 s"]);
    assert!(line.contains("is UDP port") && line.contains("addresses"), "{line}");
}

#[test]
fn an_offer_wakes_a_source_that_sends_on_demand() {
    let server = server_at("127.0.0.1", "", "[[mount]]\nname = \"/mic.opus\"\non_demand = true");
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| post(&server, "/mic.opus/whep", "", OFFER));
        until("the mount to be wanted", PATIENCE, || {
            let demand = get(&server, "/api/v1/mounts/mic.opus/demand").text();
            when(demand.contains("true"), demand)
        });
        let source = source(&server, &[]);
        (waiting.join().unwrap(), source)
    });
    assert_eq!(waiting.0.status, 201, "{:?}", waiting.0);
}

#[test]
fn sessions_end_with_their_stream_and_with_the_server() {
    let mut server = server_at("127.0.0.1", "", "[mount-defaults]\ngap = \"end\"\n");
    let first = source(&server, &[]);
    assert_eq!(post(&server, "/mic.opus/whep", "", OFFER).status, 201);
    drop(first);
    server.wait_for_line(&["listener-left", "protocol=\"WebRTC\"", "the stream ended"]);
    let _second = source(&server, &[]);
    assert_eq!(post(&server, "/mic.opus/whep", "", OFFER).status, 201);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0));
    server.wait_for_line(&["listener-left", "the server stops"]);
}
