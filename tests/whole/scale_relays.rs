//! The relays of `docs/scale.md`: its configurations on real servers, with a real FFmpeg, Icecast
//! and Caddy.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::client::{Answer, Listener, Server, connect, get, login, read_head, request};
use crate::daemon::{ADMIN_PASSWORD, Daemon, PASSWORD};
use crate::documents::Block;
use crate::icecast_server::Icecast;
use crate::other_servers::peers;
use crate::players::{OPUS, ffmpeg_source, finish};
use crate::process::Running;
use crate::proxies::Proxy;
use crate::scale_guide::{
    Guide, MIRROR_PASSWORD, RELAY_PASSWORD, Secrets, TOKEN, directives, requests,
};
use crate::wait::{PATIENCE, until, when};

const MOUNT: &str = "/mic.opus";

fn recorder(server: &impl Server, mount: &str) -> Running {
    let url = format!("icecast://source:{PASSWORD}@127.0.0.1:{}{mount}", server.port());
    ffmpeg_source(&OPUS, &["-content_type", "audio/ogg", "-f", "ogg", &url])
}

fn address(server: &impl Server) -> String {
    format!("127.0.0.1:{}", server.port())
}

/// Waits until a server lists a mount that it does not have yet.
#[track_caller]
fn wait_until_idle(server: &Daemon, mount: &str) {
    until("the mount to be listed", PATIENCE, || {
        let text = get(server, "/api/v1/mounts").text();
        let list: Value = serde_json::from_str(&text).unwrap();
        let mut off = list["off"].as_array().unwrap().iter();
        when(off.any(|it| it["name"] == mount && it["state"] == "idle"), text)
    });
}

fn wait_until_icecast_has(icecast: &Icecast) {
    until("Icecast to have the mount", PATIENCE, || {
        let status = get(icecast, "/status-json.xsl").text();
        when(status.contains(MOUNT), status)
    });
}

/// Asks for a mount.
fn ask(server: &impl Server, target: &str) -> TcpStream {
    let mut socket = connect(server);
    write!(socket, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    socket
}

/// The listeners of the server's mounts, all together.
fn listeners(server: &Daemon) -> u64 {
    let list: Value = serde_json::from_slice(&get(server, "/api/v1/mounts").body).unwrap();
    let mounts = list["mounts"].as_array().unwrap().iter();
    mounts.map(|mount| mount["listeners"].as_u64().unwrap()).sum()
}

/// Listens for a second.
#[track_caller]
fn hear(server: &impl Server, target: &str) -> Listener {
    let mut listener = Listener::join(server, target);
    listener.headers();
    (0..50).for_each(|_| assert!(listener.page().is_some(), "{target}: the stream ended"));
    listener
}

/// Waits until the only mount that is pulled or pushed is in this state.
#[track_caller]
fn wait_for_state(server: &Daemon, state: &str) {
    until("the state of a mount", PATIENCE, || {
        let peers = peers(server);
        when(peers.len() == 1 && peers[0]["state"] == state, peers)
    });
}

#[test]
fn a_mirror_pulls_on_demand_and_its_state_is_shown() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let station = secrets.private_server(&guide.station, &[]);
    let _source = recorder(&station, MOUNT);
    let mirror = secrets.server(&guide.mirror, &[("STATION:8080", &address(&station))]);
    wait_until_idle(&mirror, MOUNT);
    assert_eq!(listeners(&station), 0);
    let _listeners = [hear(&mirror, MOUNT), hear(&mirror, MOUNT)];
    assert_eq!((listeners(&station), listeners(&mirror)), (1, 2));

    let look =
        guide.peers.with(&[("MIRROR:8080", &address(&mirror)), ("PASSWORD", ADMIN_PASSWORD)]);
    let shown = finish(Command::new("bash").args(["-e", "-c", &look])).stdout;
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    let mut peers = shown["peers"].as_array().unwrap().iter();
    let peer = peers.find(|peer| peer["mount"] == MOUNT).unwrap();
    assert_eq!((&peer["kind"], &peer["state"]), (&"relay".into(), &"connected".into()));
    assert_eq!(peer["remote"], MOUNT);
    let metrics = get(&mirror, "/metrics").text();
    assert!(metrics.contains("silvacast_peer_connected{kind=\"relay\""), "{metrics}");
}

#[test]
fn a_station_behind_nat_pushes_while_somebody_listens() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let mirror = secrets.server(&guide.waiting_mirror, &[]);
    let station = secrets.server(&guide.pushing_station, &[("MIRROR:8080", &address(&mirror))]);
    let _source = recorder(&station, MOUNT);
    wait_until_idle(&mirror, MOUNT);
    wait_for_state(&station, "idle");
    assert_eq!(listeners(&station), 0);
    let _listener = hear(&mirror, MOUNT);
    wait_for_state(&station, "connected");
    assert_eq!(listeners(&station), 1);
}

#[test]
fn a_server_in_the_middle_pulls_and_is_pulled_from() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let station = secrets.private_server(&guide.station, &[]);
    let _source = recorder(&station, MOUNT);
    let middle = secrets.private_server(&guide.middle, &[("STATION:8080", &address(&station))]);
    let leaf = secrets.server(&guide.mirror, &[("STATION:8080", &address(&middle))]);
    wait_until_idle(&leaf, MOUNT);
    let _listeners = [hear(&leaf, MOUNT), hear(&leaf, MOUNT)];
    assert_eq!([&station, &middle, &leaf].map(listeners), [1, 1, 2]);
}

#[test]
fn icecast_relays_a_mount_of_a_station_and_is_its_slave() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let station = secrets.private_server(&guide.station, &[]);
    let _source = recorder(&station, MOUNT);
    station.wait_for_line(&["stream-began"]);
    let port = station.port.to_string();
    let words = [("STATION", "127.0.0.1"), ("8080", &port), ("PASSWORD", RELAY_PASSWORD)];
    let relay = guide.icecast_relay.with(&[&words[..], &[("/MOUNT", MOUNT)]].concat());
    let relay = Icecast::with(&relay);
    assert_eq!(listeners(&station), 0);
    // Held: without a listener Icecast would end the relay, and answer 404 until it has.
    let held = until("Icecast to know the mount", PATIENCE, || {
        let mut socket = ask(&relay, MOUNT);
        let status = read_head(&mut socket).status;
        if status == 200 { Ok(socket) } else { Err(status) }
    });
    drop((hear(&relay, MOUNT), held));

    // It logs in for the list of streams only.
    let station = secrets.server(&guide.station, &[]);
    let _source = recorder(&station, MOUNT);
    station.wait_for_line(&["stream-began"]);
    let port = station.port.to_string();
    let words = [("STATION", "127.0.0.1"), ("8080", &port), ("PASSWORD", RELAY_PASSWORD)];
    let slave = Icecast::with(&guide.icecast_slave.with(&words));

    wait_until_icecast_has(&slave);
    drop(hear(&slave, MOUNT));
}

#[test]
fn a_mirror_pulls_from_icecast() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let password = format!(
        "<authentication><relay-password>{RELAY_PASSWORD}</relay-password></authentication>"
    );
    let icecast = Icecast::with(&password);
    let _source = recorder(&icecast, MOUNT);
    wait_until_icecast_has(&icecast);
    let mirror = secrets.server(&guide.from_icecast, &[("ICECAST:8000", &address(&icecast))]);
    wait_until_idle(&mirror, "/icecast/mic.opus");
    drop(hear(&mirror, "/icecast/mic.opus"));
}

/// The station's Caddy, with a certificate authority of its own in place of a public one.
fn caddy_with_tls(server: &Daemon, site: &Block) -> Proxy {
    let site = directives(&site.with(&[("127.0.0.1:8080", "UPSTREAM")]));
    let text = format!(
        "{{\n admin off\n skip_install_trust\n auto_https disable_redirects\n}}\n\
         https://localhost:PORT {{\n bind 127.0.0.1\n tls internal\n{site}}}\n"
    );
    Proxy::caddy_of(server, &text)
}

/// A request to a Caddy that knows itself by its address.
fn pass(caddy: &Proxy, path: &str, fields: &str) -> Answer {
    let host = address(caddy);
    request(caddy, &format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n{fields}\r\n"))
}

/// The Caddy of the page that encrypts, in front of the other one, whose authority it trusts.
fn caddy_that_encrypts(other: &Proxy, site: &Block) -> Proxy {
    let root = other.place("caddy/pki/authorities/local/root.crt");
    let upstream = format!(
        "https://localhost:{} {{\n transport http {{\n tls_trusted_ca_certs {}\n }}",
        other.port(),
        root.display()
    );
    let site = site.with(&[("8090", "PORT"), ("https://station.example.org {", &upstream)]);
    let proxy = Proxy::caddy_of(other, &format!("{{\n admin off\n}}\n{site}"));
    // The other one may still make its certificate.
    until("both Caddys to pass a request on", PATIENCE, || {
        let answer = pass(&proxy, "/healthz", "");
        when(answer.text() == "ok\n", answer)
    });
    proxy
}

#[test]
fn a_caddy_on_each_side_encrypts_what_a_mirror_pulls() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let station = secrets.private_server(&guide.station, &[]);
    let _source = recorder(&station, MOUNT);
    let far = caddy_with_tls(&station, &guide.caddy_of_station);
    let near = caddy_that_encrypts(&far, &guide.caddy_of_mirror);
    let mirror = secrets.server(&guide.encrypted_mirror, &[("127.0.0.1:8090", &address(&near))]);
    wait_until_idle(&mirror, MOUNT);
    let first = hear(&mirror, MOUNT);
    assert_eq!(listeners(&station), 1);
    // An event, which has passed both as soon as it was sent.
    let _other = recorder(&station, "/other.opus");
    wait_until_idle(&mirror, "/other.opus");
    assert_eq!(get(&station, &format!("{MOUNT}?token={TOKEN}x")).status, 401);
    drop(first);
}

#[test]
fn the_question_whether_a_mount_is_wanted_waits_through_both() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let mirror = secrets.server(&guide.waiting_mirror, &[]);
    let far = caddy_with_tls(&mirror, &guide.caddy_of_station);
    let near = caddy_that_encrypts(&far, &guide.caddy_of_mirror);
    let login = login(MIRROR_PASSWORD);
    let is_wanted = |query: &str| {
        let path = format!("/api/v1/mounts{MOUNT}/demand{query}");
        let answer = pass(&near, &path, &login);
        serde_json::from_str::<Value>(&answer.text()).unwrap()["wanted"] == true
    };
    assert!(!is_wanted(""));
    wait_until_idle(&mirror, MOUNT);
    thread::scope(|scope| {
        let mut before = requests(&mirror);
        let wanted = scope.spawn(|| is_wanted("?wanted=false&wait=60s"));
        until("the question to arrive", PATIENCE, || {
            before += 1;
            let now = requests(&mirror);
            when(now > before, now)
        });
        assert!(!wanted.is_finished());
        let _listener = ask(&mirror, MOUNT);
        assert!(wanted.join().unwrap());
    });
}

#[test]
fn a_caddy_on_each_side_encrypts_what_a_station_pushes() {
    let (guide, secrets) = (Guide::open(), Secrets::create());
    let mirror = secrets.server(&guide.waiting_mirror, &[]);
    let far = caddy_with_tls(&mirror, &guide.caddy_of_station);
    let near = caddy_that_encrypts(&far, &guide.caddy_of_mirror);
    let station = secrets.server(&guide.pushing_station, &[("MIRROR:8080", &address(&near))]);
    let _source = recorder(&station, MOUNT);
    wait_until_idle(&mirror, MOUNT);
    wait_for_state(&station, "idle");
    let _listener = hear(&mirror, MOUNT);
    wait_for_state(&station, "connected");
}
