//! The server behind a proxy: behind Caddy as on a station, which forwards requests below `/stream` with that prefix, and
//! behind nginx and Caddy with and without it.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use serde_json::Value;

use crate::client::{
    Answer, Listener, Server, Source, admin, connect, connect_from, exchange, get_with, login,
    login_as, read_head,
};
use crate::daemon::{ADMIN_PASSWORD, Daemon, PASSWORD};
use crate::ogg;
use crate::players::{OPUS, ffmpeg_source, finish};
use crate::proxies::Proxy;
use crate::wait::{PATIENCE, until_received, when};

/// Clients' addresses; none of them is the proxy's.
const ANNA: [u8; 4] = [127, 0, 0, 2];
const BERT: [u8; 4] = [127, 0, 0, 3];

/// The proxy, and a server that trusts it.
fn station(sections: &str) -> (Daemon, Proxy) {
    let server = Daemon::with(&format!("{KEPT}{TRUSTED}"), sections);
    let caddy = Proxy::caddy(&server, CADDY);
    (server, caddy)
}

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\"]";
const KEPT: &str = "path_prefix = \"/stream\"\n";
const CADDY: &str = "handle /stream/* {\n reverse_proxy UPSTREAM\n }";
const CADDY_STRIPPING: &str = "handle_path /stream/* {\n reverse_proxy UPSTREAM {\n \
                               header_up X-Forwarded-Prefix /stream\n }\n }";
const NGINX: &str = "location /stream/ {\n proxy_pass http://UPSTREAM;\n \
                     proxy_set_header Host $http_host;\n \
                     proxy_set_header X-Forwarded-For $remote_addr;\n }";
const NGINX_STRIPPING: &str = "location /stream/ {\n proxy_pass http://UPSTREAM/;\n \
     proxy_set_header Forwarded \"for=$remote_addr;host=\\\"$http_host\\\";proto=https\";\n \
     proxy_set_header X-Forwarded-Prefix /stream;\n }";

/// Each way to forward `/stream`: its name, the scheme that the proxy states, a server and a proxy.
fn every_proxy(sections: &str) -> Vec<(&'static str, &'static str, Daemon, Proxy)> {
    let start = |name, scheme, top: &str, proxy: fn(&Daemon, &str) -> Proxy, directives| {
        let server = Daemon::with(&format!("{top}{TRUSTED}"), sections);
        let proxy = proxy(&server, directives);
        (name, scheme, server, proxy)
    };
    vec![
        start("Caddy", "http", KEPT, Proxy::caddy, CADDY),
        start("Caddy, stripping", "http", "", Proxy::caddy, CADDY_STRIPPING),
        start("nginx", "http", KEPT, Proxy::nginx, NGINX),
        start("nginx, stripping", "https", "", Proxy::nginx, NGINX_STRIPPING),
    ]
}

/// One request from an address, with the host name by which clients know the station.
fn ask(from: [u8; 4], server: &impl Server, target: &str, fields: &str) -> Answer {
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: birds.example\r\n{fields}Connection: close\r\n\r\n"
    );
    exchange(&mut connect_from(from, server), &head)
}

/// A listener from an address. HTTP/1.0 avoids chunks between the pages.
fn listen(from: [u8; 4], server: &impl Server, target: &str, fields: &str) -> Listener {
    let mut socket = connect_from(from, server);
    write!(socket, "GET {target} HTTP/1.0\r\nHost: birds.example\r\n{fields}\r\n").unwrap();
    let answer = read_head(&mut socket);
    assert_eq!(answer.status, 200, "{target}");
    Listener { socket, answer }
}

#[test]
fn documents_have_the_urls_that_clients_outside_use() {
    let (server, caddy) = station("");
    let _source = Source::connect(&server, "/mic%20a.opus", 1);
    let url = "http://birds.example/stream/mic%20a.opus";
    let status = ask(ANNA, &caddy, "/stream/status-json.xsl", "");
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!(status["icestats"]["source"]["listenurl"], url);
    let stats = ask(ANNA, &caddy, "/stream/admin/stats", &admin());
    assert!(stats.text().contains(&format!("<listenurl>{url}</listenurl>")), "{}", stats.text());
    assert_eq!(ask(ANNA, &caddy, "/stream/admin/stats", "").status, 401);
    let mounts = ask(ANNA, &caddy, "/stream/api/v1/mounts/mic%20a.opus", "");
    assert_eq!(mounts.status, 200);
    assert!(ask(ANNA, &caddy, "/status-json.xsl", "").body.is_empty(), "Caddy must not forward it");
    // A page of the station may send commands; a page of another site may not.
    let kill = |origin: &str| {
        let fields = format!("{}Origin: {origin}\r\n", admin());
        ask(ANNA, &caddy, "/stream/admin/killsource?mount=/mic%20a.opus", &fields).status
    };
    assert_eq!((kill("http://evil.example"), kill("http://birds.example")), (403, 200));
}

#[test]
fn every_url_leads_back_through_the_proxy_with_what_the_client_presented() {
    const TOKEN: &str = "0123456789abcdef+token";
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, format!("web:{TOKEN}\n")).unwrap();
    let sections =
        format!("[[mount]]\nname = \"/mic *\"\naccess = \"token\"\ntokens_file = {tokens:?}");
    for (name, scheme, server, proxy) in every_proxy(&sections) {
        let _source = Source::connect(&server, "/mic%20a.opus", 1);
        let base = format!("{scheme}://birds.example");
        let path = "/stream/mic%20a.opus";
        let text = |target: &str| ask(ANNA, &proxy, target, &admin()).text();
        let status: Value = serde_json::from_str(&text("/stream/status-json.xsl")).unwrap();
        assert_eq!(status["icestats"]["source"]["listenurl"], format!("{base}{path}"), "{name}");
        let stats = text("/stream/admin/stats");
        assert!(stats.contains(&format!("<listenurl>{base}{path}</listenurl>")), "{name}: {stats}");
        let query = format!("?burst=0ms&token={TOKEN}");
        let m3u = text(&format!("{path}.m3u{query}"));
        let url = m3u.lines().last().unwrap();
        assert_eq!(url, format!("{base}{path}{query}"), "{name}");
        let target = url.strip_prefix(&base).unwrap();
        assert_eq!(listen(ANNA, &proxy, target, "").answer.status, 200, "{name}");
        let xspf = text(&format!("{path}.xspf{query}"));
        let location = format!("<location>{}</location>", url.replace('&', "&amp;"));
        assert!(xspf.contains(&location), "{name}: {xspf}");
    }
}

#[test]
fn what_one_client_sends_does_not_reach_another() {
    let (server, caddy) = station("");
    let _source = Source::connect(&server, "/m", 1);
    let forged = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Prefix: /evil\r\nForwarded: host=evil.example;proto=https\r\n";
    for target in ["/stream/m.m3u", "/stream/m.xspf", "/stream/status-json.xsl"] {
        let answer = |from, fields: &str| {
            let direct = ask(from, &server, target, fields);
            // A cache that obeys either field gives this answer to no other client.
            assert_eq!(direct.field("cache-control"), Some("no-cache, no-store"), "{target}");
            let vary = direct.field("vary").unwrap();
            for field in ["Host", "Forwarded", "-Host", "-Proto", "-Prefix"] {
                assert!(vary.contains(field), "{target}: {vary}");
            }
            direct.text()
        };
        let own = answer(BERT, "");
        assert!(own.contains("http://birds.example/stream/m"), "{target}: {own}");
        assert_eq!(answer(BERT, forged), own, "of an untrusted peer");
        ask(ANNA, &caddy, target, forged);
        assert_eq!(ask(BERT, &caddy, target, "").text(), own);
    }
    // Nor where a path without its slash is redirected.
    let moved = ask(BERT, &server, "/stream?mount=/m", forged);
    assert_eq!((moved.status, moved.field("location")), (308, Some("/stream/?mount=/m")));
}

#[test]
fn audio_flows_page_by_page() {
    for (name, _, server, proxy) in every_proxy("") {
        let mut source = Source::connect(&server, "/m", 1);
        source.send(1, 100);
        // Each page arrives before the next one is sent.
        let mut listener = listen(ANNA, &proxy, "/stream/m", "");
        listener.headers();
        assert_eq!(listener.number(), 0, "{name}");
        // nginx buffers a response for a slow client on its disk unless it has this field.
        let direct = listen(BERT, &server, "/m", "");
        assert_eq!(direct.answer.field("x-accel-buffering"), Some("no"));
        for number in 1..50 {
            source.send(1, 100);
            assert_eq!(listener.number(), number, "{name}");
        }
        source.leave();
    }
}

#[test]
fn a_player_hears_an_encoder_through_it() {
    let (server, caddy) = station("");
    let _source = ffmpeg_source(
        &OPUS,
        &["-content_type", "audio/ogg", "-f", "ogg", &server.push_url("/stream/m")],
    );
    server.wait_for_line(&["stream-began"]);
    let mut player = Command::new("ffmpeg");
    player.args(["-nostdin", "-loglevel", "warning", "-i"]);
    player.arg(format!("http://127.0.0.1:{}/stream/m", caddy.port()));
    let played = finish(player.args(["-t", "1", "-f", "null", "-"]));
    assert_eq!(String::from_utf8_lossy(&played.stderr), "");
}

#[test]
fn events_arrive_when_they_happen() {
    for (_, _, server, proxy) in every_proxy("") {
        expect_events(&server, &proxy);
    }
}

fn expect_events(server: &Daemon, proxy: &Proxy) {
    let mut socket = connect(proxy);
    write!(socket, "GET /stream/api/v1/events HTTP/1.1\r\nHost: birds.example\r\n\r\n").unwrap();
    let answer = read_head(&mut socket);
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/event-stream")));
    let mut lines = BufReader::new(socket).lines().map(Result::unwrap);
    let mut next = |kind: &str| {
        let wanted = format!("event: {kind}");
        until_received(&wanted, PATIENCE, || {
            let line = lines.next().expect("the events ended");
            when(line == wanted, line)
        });
        lines.next().unwrap()
    };
    // Each event arrives before the next thing happens.
    assert_eq!(next("mounts"), "data: {\"mounts\":[],\"off\":[],\"wanted\":[]}");
    let _source = Source::connect(server, "/m", 1);
    assert!(next("up").contains("\"name\":\"/m\""));
    let listener = listen(ANNA, proxy, "/stream/m", "");
    assert!(next("listeners").contains("\"listeners\":1"));
    drop(listener);
    assert!(next("listeners").contains("\"listeners\":0"));
}

#[test]
fn an_upload_in_chunks_passes_as_it_comes() {
    let (server, caddy) = station("");
    let mut encoder = connect_from(ANNA, &caddy);
    let login = login(PASSWORD);
    write!(
        encoder,
        "PUT /stream/m HTTP/1.1\r\nHost: birds.example\r\n{login}Transfer-Encoding: chunked\r\n\r\n"
    )
    .unwrap();
    let mut send = |bytes: &[u8]| {
        write!(encoder, "{:x}\r\n", bytes.len()).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.write_all(b"\r\n").unwrap();
    };
    send(&ogg::headers(1));
    server.wait_for_line(&["source-connected", "mount=\"/m\"", "client=127.0.0.2"]);
    server.wait_for_line(&["stream-began"]);
    let stats = get_with(&server, "/admin/stats", &admin()).text();
    assert!(stats.contains("<source_ip>127.0.0.2</source_ip>"), "{stats}");
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    for number in 0..50 {
        send(&ogg::audio(1, number, 100));
        assert_eq!(listener.number(), number);
    }
}

#[test]
fn clients_are_known_by_their_own_addresses() {
    let (server, caddy) = station("[limits]\nconnections_per_ip = 2");
    let _source = Source::connect(&server, "/m", 1);
    let forged = "X-Forwarded-For: 192.0.2.66\r\nForwarded: for=192.0.2.66\r\n";
    let _anna = listen(ANNA, &caddy, "/stream/m", "User-Agent: Anna\r\n");
    let _anna_too = listen(ANNA, &caddy, "/stream/m", forged);
    let _bert = listen(BERT, &server, "/m", forged);
    let clients = ask(BERT, &caddy, "/stream/admin/listclients?mount=/m", &admin()).text();
    let counts = ["127.0.0.2", "127.0.0.3", "127.0.0.1", "192.0.2.66"]
        .map(|address| clients.matches(&format!("<IP>{address}</IP>")).count());
    assert_eq!(counts, [2, 1, 0, 0], "{clients}");
    // The first client has used up its connections, the second has not.
    assert_eq!(ask(ANNA, &caddy, "/stream/healthz", forged).status, 429);
    assert_eq!(ask(BERT, &caddy, "/stream/healthz", "").status, 200);
    let refused = server.wait_for_line(&["event=\"refused\""]);
    assert!(refused.contains("127.0.0.2"), "{refused}");
}

#[test]
fn a_guesser_behind_the_proxy_locks_out_nobody_else() {
    let (server, caddy) = station("");
    let stats = |from, password: &str, fields: &str| {
        let fields = format!("{}{fields}", login_as("admin", password));
        ask(from, &caddy, "/stream/admin/stats", &fields).status
    };
    for guess in 0..5 {
        // Whatever address the client claims to have.
        let forged = format!("X-Forwarded-For: 192.0.2.{guess}\r\n");
        assert_eq!(stats(ANNA, "guessed", &forged), 401);
    }
    assert_eq!(stats(ANNA, ADMIN_PASSWORD, ""), 429);
    assert_eq!(stats(BERT, ADMIN_PASSWORD, ""), 200);
    let direct = |from| ask(from, &server, "/admin/stats", &admin()).status;
    assert_eq!((direct(ANNA), direct(BERT)), (429, 200));
    assert!(server.wait_for_line(&["event=\"lockout\""]).contains("127.0.0.2"));
}
