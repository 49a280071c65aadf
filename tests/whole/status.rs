//! `status-json.xsl` in Icecast's format, and the other answers of the control plane.

use std::io::Write;
use std::net::Shutdown;

use serde_json::Value;

use crate::client::{Listener, Source, connect, get, login, read_head, read_to_end, request};
use crate::daemon::{Daemon, PASSWORD};
use crate::documents::Document;
use crate::ogg;

fn status(server: &Daemon) -> Value {
    let answer = get(server, "/status-json.xsl");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-type"), Some("application/json; charset=UTF-8"));
    assert_eq!(answer.field("connection"), Some("close"));
    serde_json::from_slice::<Value>(&answer.body).unwrap()["icestats"].clone()
}

#[test]
fn no_source_is_no_key_one_is_an_object_and_more_are_an_array() {
    let server = Daemon::with(
        "",
        "[server]\nhostname = \"station.example\"\nlocation = \"Wood\"\nadmin = \"me\"",
    );
    let empty = status(&server);
    assert!(empty.get("source").is_none());
    assert_eq!(empty["dummy"], Value::Null);
    assert_eq!(
        (&empty["host"], &empty["location"], &empty["admin"]),
        (&"station.example".into(), &"Wood".into(), &"me".into())
    );
    let _b = Source::connect(&server, "/b%20c.opus", 1);
    let one = status(&server);
    assert_eq!(
        one["source"]["listenurl"],
        format!("http://station.example:{}/b%20c.opus", server.port)
    );
    let _a = Source::connect(&server, "/a.opus", 1);
    let _listener = Listener::join(&server, "/a.opus");
    let two = status(&server);
    let sources = two["source"].as_array().unwrap();
    let urls: Vec<_> = sources.iter().map(|s| s["listenurl"].as_str().unwrap()).collect();
    assert!(urls[0].ends_with("/a.opus") && urls[1].ends_with("/b%20c.opus"), "sorted by mount");
    assert_eq!((&sources[0]["listeners"], &sources[0]["listener_peak"]), (&1.into(), &1.into()));
    assert_eq!(sources[0]["title"], "Dusk");
}

#[test]
fn texts_are_strings_and_numbers_are_numbers() {
    let server = Daemon::start();
    let login = login(PASSWORD);
    let mut socket = connect(&server);
    let emoji = "🦉".repeat(500);
    write!(
        socket,
        "SOURCE /m HTTP/1.0\r\n{login}Ice-Name: 123\r\nIce-Genre: -\r\nIce-Description: \"><script>&\r\n\
         Ice-Url: {emoji}\r\nIce-Bitrate: 64\r\nIce-Audio-Info: bitrate=64\r\n\r\n"
    )
    .unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    socket.write_all(&ogg::headers(1)).unwrap();
    server.wait_for_line(&["stream-began"]);
    let source = &status(&server)["source"];
    assert_eq!(source["server_name"], "123");
    assert_eq!(source["genre"], "-");
    assert_eq!(source["server_description"], "\"><script>&");
    assert_eq!(source["bitrate"], 64);
    assert_eq!(source["channels"], 1);
    assert_eq!(source["subtype"], "Opus");
    assert_eq!(source["audio_info"], "bitrate=64");
    assert_eq!(source["server_url"].as_str().unwrap().chars().count(), 64, "256 bytes of it");
    assert!(source["stream_start_iso8601"].as_str().unwrap().ends_with("+0000"));
    assert!(source["stream_start"].as_str().unwrap().ends_with("+0000"));
}

#[test]
fn the_control_plane_closes_and_the_door_sees_every_head() {
    let server = Daemon::start();
    assert_eq!(get(&server, "/healthz").text(), "ok\n");
    assert_eq!(get(&server, "/nothing").status, 404);
    assert_eq!(get(&server, "/").field("content-type"), Some("text/html; charset=utf-8"));
    let post = request(&server, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    let people = get(&server, "/status.xsl");
    assert_eq!((people.status, people.field("location")), (302, Some("./")));
    let head = request(&server, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((head.status, head.field("connection")), (200, Some("close")));
}

#[test]
fn what_browsers_and_crawlers_look_for_is_there_and_nothing_is_refused() {
    let server = Daemon::with("path_prefix = \"/stream\"", "");
    for path in ["/favicon.ico", "/stream/favicon.ico"] {
        let icon = get(&server, path);
        assert_eq!((icon.status, icon.field("content-type")), (200, Some("image/svg+xml")));
        assert!(icon.text().starts_with("<svg "), "{}", icon.text());
    }
    let robots = get(&server, "/robots.txt");
    assert_eq!(
        (robots.status, robots.field("content-type")),
        (200, Some("text/plain; charset=utf-8"))
    );
    let rules = robots.text();
    assert!(rules.contains("User-agent: *\n") && rules.contains("\nDisallow: /\n"), "{rules}");
    let metrics = get(&server, "/metrics").text();
    let refused = metrics.lines().filter(|line| line.contains("refused_requests_total{"));
    assert!(refused.clone().count() > 5 && refused.clone().all(|line| line.ends_with(" 0")));
    // Their paths belong to the server.
    let push = request(&server, &format!("PUT /robots.txt HTTP/1.1\r\n{}\r\n", login(PASSWORD)));
    assert_eq!(push.status, 403);
}

#[test]
fn a_client_that_shuts_down_its_side_after_the_request_is_answered() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    for path in
        ["/healthz", "/metrics", "/status-json.xsl", "/", "/web/scripts.js", "/nothing", "/x%00"]
    {
        for _ in 0..10 {
            let mut socket = connect(&server);
            write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            socket.shutdown(Shutdown::Write).unwrap();
            let answer = String::from_utf8_lossy(&read_to_end(&mut socket)).into_owned();
            assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer:?}");
        }
    }
}

/// The tests of the page (tests/page/embed.test.mjs) try the same in a browser.
#[test]
fn the_addresses_for_pages_of_other_sites_are_as_documented() {
    let server = Daemon::start();
    let mut document = Document::open("docs/embedding.md");
    let frame = document.take("html", "<iframe").text;
    let element = document.take("html", "<silvacast-player").text;
    for (block, content_type) in [(frame, "text/html"), (element, "text/javascript")] {
        let (_, rest) = block.split_once("src=\"http://station:8080").unwrap();
        let response = get(&server, rest.split('"').next().unwrap());
        assert_eq!(response.status, 200, "{block}");
        assert!(response.field("content-type").unwrap().starts_with(content_type), "{block}");
    }
}
