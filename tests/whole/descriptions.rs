//! What the configuration says of the station and its mounts takes the place of what encoders say, everywhere.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{
    Answer, Listener, Server, Source, admin, connect, get, get_with, login, read_head, request,
};
use crate::daemon::{Daemon, PASSWORD};
use crate::icecast_server::Icecast;
use crate::needs::{Need, needs};
use crate::ogg;
use crate::wait::{PATIENCE, until, when};

/// The mount's description as everything shows it: name, description, genre and URL.
type Shown = [&'static str; 4];

const CONFIGURED: &str = "[server]\nname = \"Wood & pond\"\n[[mount]]\nname = \"/mic.opus\"\n\
    title = \"Wood pond ö\"\ndescription = \"North shore\"\ngenre = \"nature\"\n\
    url = \"https://birds.example\"\n";

/// An encoder that describes itself.
fn source(server: &Daemon, mount: &str) -> TcpStream {
    let socket = describe_and_introduce(server, mount);
    server.wait_for_line(&["stream-began", mount]);
    socket
}

/// Sends what an encoder sends first.
fn describe_and_introduce(server: &impl Server, mount: &str) -> TcpStream {
    let mut socket = connect(server);
    write!(
        socket,
        "SOURCE {mount} HTTP/1.0\r\n{}Content-Type: audio/ogg\r\nIce-Name: Encoder\r\nIce-Description: From the encoder\r\n\
         Ice-Genre: test\r\nIce-Url: http://encoder.example\r\n\r\n",
        login(PASSWORD)
    )
    .unwrap();
    socket.write_all(&ogg::headers(1)).unwrap();
    socket.write_all(&ogg::audio(1, 0, 100)).unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    socket
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// Asserts that all documents and response heads show this of a mount.
fn is_shown(server: &Daemon, mount: &str, shown: Shown) {
    let [name, description, genre, url] = shown;
    let icecast = &parsed(&get(server, "/status-json.xsl"))["icestats"]["source"];
    for (key, value) in [
        ("server_name", name),
        ("server_description", description),
        ("genre", genre),
        ("server_url", url),
    ] {
        assert_eq!(icecast[key], value, "{key}");
    }
    let stats = get_with(server, "/admin/stats", &admin()).text();
    assert!(stats.contains(&format!("<server_name>{name}</server_name>")), "{stats}");
    assert!(stats.contains(&format!("<genre>{genre}</genre>")), "{stats}");
    let api = parsed(&get(server, "/api/v1/mounts"))["mounts"][0].clone();
    for (key, value) in
        [("station_name", name), ("description", description), ("genre", genre), ("url", url)]
    {
        assert_eq!(api[key], value, "{key}");
    }
    let playlist = get(server, &format!("{mount}.m3u")).text();
    assert!(playlist.contains(&format!("#EXTINF:-1,{name}\r\n")), "{playlist}");
    let page = get(server, "/").text();
    assert!(page.contains(&format!(">{name}</a>")), "{page}");
    for method in ["GET", "HEAD"] {
        let head = request_head(server, method, mount);
        for (field, value) in [
            ("icy-name", name),
            ("icy-description", description),
            ("icy-genre", genre),
            ("icy-url", url),
        ] {
            assert_eq!(head.field(field), Some(value), "{method} {field}");
        }
    }
}

fn request_head(server: &Daemon, method: &str, target: &str) -> Answer {
    let mut socket = connect(server);
    write!(socket, "{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut socket)
}

const ENCODER: Shown = ["Encoder", "From the encoder", "test", "http://encoder.example"];
const OWN: Shown = ["Wood pond ö", "North shore", "nature", "https://birds.example"];

#[test]
fn the_configuration_describes_a_mount_and_a_reload_applies_it_at_once() {
    let server = Daemon::start();
    let _source = source(&server, "/mic.opus");
    is_shown(&server, "/mic.opus", ENCODER);
    assert_eq!(parsed(&get(&server, "/api/v1/mounts"))["station"], Value::Null);
    assert!(get(&server, "/").text().contains("<title>Listen · silvacast</title>"));

    let mut events = crate::events::Events::open(&server, "");
    assert_eq!(events.next().0, "mounts");
    server.configure(PASSWORD, "", CONFIGURED);
    server.signal(Signal::SIGHUP);
    server.wait_for_line(&["event=\"reloaded\""]);
    is_shown(&server, "/mic.opus", OWN);
    // The one of the stream's beginning may come first.
    events.find("the new description", |(kind, mount)| {
        kind == "up" && mount["station_name"] == OWN[0]
    });
    assert_eq!(parsed(&get(&server, "/api/v1/mounts"))["station"], "Wood & pond");
    assert!(get(&server, "/").text().contains("<title>Listen · Wood &amp; pond</title>"));
}

#[test]
fn what_the_configuration_does_not_say_is_the_encoder_s() {
    let server = Daemon::with("", "[[mount]]\nname = \"/*\"\ntitle = \"Pond\"\n");
    let _source = source(&server, "/mic.opus");
    is_shown(&server, "/mic.opus", ["Pond", ENCODER[1], ENCODER[2], ENCODER[3]]);
}

#[test]
fn an_icecast_xml_describes_its_mounts() {
    let server = Daemon::of_text(format!(
        "<icecast><authentication><source-password>{PASSWORD}</source-password>\
         <admin-password>{}</admin-password></authentication>\
         <mount type=\"default\"><genre>nature</genre><stream-name>Other</stream-name></mount>\
         <mount><mount-name>/mic.opus</mount-name><stream-name>Wood pond ö</stream-name>\
         <stream-description>North shore</stream-description>\
         <stream-url>https://birds.example</stream-url></mount></icecast>",
        crate::daemon::ADMIN_PASSWORD
    ));
    let _source = source(&server, "/mic.opus");
    is_shown(&server, "/mic.opus", OWN);
}

/// The `<mount>` elements of the comparison. Which of them applies shows in the names.
const ELEMENTS: &str = "\
    <mount type=\"default\"><stream-name>Default</stream-name><genre>of all</genre></mount>\
    <mount><mount-name>/exact.opus</mount-name><stream-name>Exact</stream-name>\
    <stream-description>Described</stream-description><stream-url>http://own.example</stream-url></mount>\
    <mount><mount-name>/e*</mount-name><stream-name>Pattern</stream-name></mount>\
    <mount><mount-name>/*/**/deep*.opus</mount-name><stream-name>Deep</stream-name></mount>";

#[test]
fn the_same_mount_element_applies_as_in_icecast() {
    if !needs(&[Need::Program("icecast2")]) {
        return;
    }
    let icecast = Icecast::with(ELEMENTS);
    let silvacast = Daemon::of_text(format!(
        "<icecast><authentication><source-password>{PASSWORD}</source-password>\
         <admin-password>a</admin-password></authentication>{ELEMENTS}</icecast>"
    ));
    let mounts = ["/exact.opus", "/else.opus", "/e/x.opus", "/a/b/deep.opus", "/other.opus"];
    let servers = [icecast.port(), silvacast.port()];
    let _sources: Vec<_> = mounts
        .iter()
        .flat_map(|mount| servers.map(|port| describe_and_introduce(&port, mount)))
        .collect();
    let shown = |port: &u16| {
        until(&format!("all mounts on {port}"), PATIENCE, || {
            let status = parsed(&get(port, "/status-json.xsl"));
            let sources = status["icestats"]["source"].as_array().cloned().unwrap_or_default();
            let values = |source: Value| {
                let url = source["listenurl"].as_str().unwrap().to_owned();
                let keys = ["server_name", "server_description", "genre", "server_url"];
                let path = format!("/{}", url.splitn(4, '/').nth(3).unwrap());
                (path, keys.map(|key| source[key].clone()))
            };
            let all: BTreeMap<_, _> = sources.into_iter().map(values).collect();
            if all.len() == mounts.len() { Ok(all) } else { Err(format!("{all:?}")) }
        })
    };
    let [theirs, ours] = [&servers[0], &servers[1]].map(shown);
    assert_eq!(theirs, ours);
    assert_eq!(ours["/exact.opus"][0], "Exact");
    assert_eq!(ours["/other.opus"][0], "Default");
}

#[test]
fn one_site_may_read_responses_if_the_configuration_names_it() {
    let origin = |server: &Daemon, target: &str| {
        let field = "access-control-allow-origin";
        request_head(server, "GET", target).field(field).map(ToOwned::to_owned)
    };
    let site = "https://a.example";
    for (server, stream, other) in [
        (Daemon::with("", &format!("[mount-defaults]\nallow_origin = \"{site}\"\n")), site, site),
        (
            Daemon::with("", &format!("[[mount]]\nname = \"/*\"\nallow_origin = \"{site}\"\n")),
            site,
            "*",
        ),
        (
            Daemon::of_text(format!(
                "<icecast><authentication><source-password>{PASSWORD}</source-password>\
                 <admin-password>a</admin-password></authentication><http-headers>\
                 <header name=\"access-control-allow-origin\" value=\"{site}\"/></http-headers></icecast>"
            )),
            site,
            site,
        ),
        (Daemon::start(), "*", "*"),
    ] {
        let _source = Source::connect(&server, "/mic.opus", 1);
        assert_eq!(origin(&server, "/mic.opus").as_deref(), Some(stream));
        for target in ["/status-json.xsl", "/api/v1/mounts", "/api/v1/events", "/mic.opus.m3u"] {
            assert_eq!(origin(&server, target).as_deref(), Some(other), "{target}");
        }
    }
}

#[test]
fn a_description_that_does_not_fit_a_header_field_is_an_error() {
    let server = Daemon::start();
    for (title, reason) in [
        ("\"\"".to_owned(), "; allowed: text in quotes"),
        ("\"a\\r\\nX: y\"".to_owned(), "; allowed: text in quotes"),
        (format!("\"{}\"", "x".repeat(257)), ": it has 257 bytes; allowed"),
    ] {
        server.configure(PASSWORD, "", &format!("[mount-defaults]\ntitle = {title}\n"));
        server.signal(Signal::SIGHUP);
        server.wait_for_line(&["reload-failed", "`title` in [mount-defaults]", reason]);
    }
    assert_eq!(request(&server, "GET /healthz HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn a_stream_without_a_title_has_the_mount_s_title_in_its_tags() {
    let server = Daemon::with("", "[[mount]]\nname = \"/nest\"\ntitle = \"Owl's nest\"");
    let untitled = b"OpusTags\x04\0\0\0test\x01\0\0\0\x0b\0\0\0ENCODER=abc";
    let mut source = connect(&server);
    write!(source, "PUT /nest HTTP/1.1\r\n{}\r\n", login(PASSWORD)).unwrap();
    source.write_all(&ogg::headers_with(1, ogg::HEAD, untitled)).unwrap();
    server.wait_for_line(&["stream-began"]);
    let headers = || {
        let headers = Listener::join(&server, "/nest").headers();
        String::from_utf8_lossy(&headers).into_owned()
    };
    let seen = headers();
    assert!(seen.contains("TITLE=Owl's nest") && seen.contains("ENCODER=abc"), "{seen:?}");
    let status = get(&server, "/api/v1/mounts/nest").text();
    assert!(status.contains("\"title\":null"), "{status}");
    // A title of what is heard comes first.
    let target = "/admin/metadata?mount=/nest&mode=updinfo&song=Tawny+owl";
    assert_eq!(get_with(&server, target, &login(PASSWORD)).status, 200);
    until("the new title", PATIENCE, || {
        let seen = headers();
        when(seen.contains("TITLE=Tawny owl") && !seen.contains("nest"), seen)
    });
}
