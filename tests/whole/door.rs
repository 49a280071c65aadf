//! Requests that are refused: the answer and the log line.

use std::io::Write;

use crate::client::{
    Listener, Source, connect, exchange, get, login, read_head, read_to_end, request,
};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;

/// Asserts that a request is refused with this status, and that the answer and the log have this text.
fn refused(server: &Daemon, sent: &str, status: u16, says: &str) {
    let answer = request(server, sent);
    assert_eq!(answer.status, status, "{sent:?}: {}", answer.text());
    assert!(answer.text().contains(says), "{sent:?}: {}", answer.text());
    let line = server.wait_for_line(&["event=\"refused\"", &format!("status={status}"), says]);
    assert!(line.contains("peer=127.0.0.1:"), "{line}");
    assert!(!answer.text().contains(PASSWORD) && !line.contains(PASSWORD));
}

#[test]
fn every_refusal_has_a_status_a_sentence_and_a_log_line() {
    let server = Daemon::start();
    let login = login(PASSWORD);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    for (sent, status, says) in [
        ("PUT /m HTTP/1.1\r\n\r\n", 401, "need to authenticate"),
        ("PUT /m HTTP/1.1\r\nAuthorization: Basic\r\n\r\n", 401, "Wrong user or password"),
        ("PUT /admin/x HTTP/1.1\r\n\r\n", 403, "belongs to the server"),
        ("PUT /status.xsl HTTP/1.1\r\n\r\n", 403, "belongs to the server"),
        ("GET /a/%2e%2e/b HTTP/1.1\r\n\r\n", 400, "must not have empty, '.' or '..' segments"),
        ("GET /a%0ab HTTP/1.1\r\n\r\n", 400, "must not have control characters"),
        ("DELETE /m HTTP/1.1\r\n\r\n", 405, "This method is not allowed for mounts"),
        ("hello\r\n\r\n", 400, "not an HTTP request"),
        ("\x16\x03\x01\r\n\r\n", 400, "not an HTTP request"),
        (&long, 431, "at most 8192 bytes"),
        (&many, 431, "at most 64 header fields"),
        (
            &format!(
                "PUT /m HTTP/1.1\r\n{login}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            400,
            "must not have both Content-Length and Transfer-Encoding",
        ),
        (
            &format!("PUT /m HTTP/1.1\r\n{login}Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
            400,
            "fields of this request disagree",
        ),
        (&format!("PUT /m HTTP/1.1\r\n{login}Transfer-Encoding: gzip\r\n\r\n"), 400, "chunked"),
        (&format!("PUT /m HTTP/1.1\r\n{login}Content-Length: 0\r\n\r\n"), 400, "empty body"),
    ] {
        refused(&server, sent, status, says);
    }
}

#[test]
fn a_body_that_is_not_ogg_is_named_in_the_answer() {
    let server = Daemon::start();
    let mut two = ogg::headers(1)[..47].to_vec();
    two.extend(ogg::headers(2));
    let mut speex = Vec::new();
    let stamp = ogg_splice::PageHeader { first: true, ..Default::default() };
    ogg_splice::write_page(&mut speex, stamp, &[b"Speex   "]);
    let stamp = ogg_splice::PageHeader { sequence: 1, ..Default::default() };
    ogg_splice::write_page(&mut speex, stamp, &[b"comments"]);
    for (body, says) in [
        (b"RIFF\0\0\0\0WAVEfmt ".to_vec(), "a WAV file"),
        (b"\xff\xfb\x90\x64\0\0\0\0".to_vec(), "MP3"),
        (two, "several logical streams of audio at once"),
        (speex, "a codec other than Opus, FLAC or Vorbis"),
    ] {
        let mut socket = connect(&server);
        let login = login(PASSWORD);
        write!(socket, "PUT /m HTTP/1.1\r\n{login}Content-Length: 9999\r\n\r\n").unwrap();
        socket.write_all(&body).unwrap();
        let answer = read_head(&mut socket);
        assert_eq!(answer.status, 415, "{says}");
        let text = String::from_utf8(read_to_end(&mut socket)).unwrap();
        assert!(text.contains(says), "{text}");
        server.wait_for_line(&["source-ended", says]);
    }
}

#[test]
fn a_source_that_sends_only_noise_is_disconnected() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    // The server may close the connection before all of it is sent.
    let _ = source.socket.write_all(&vec![b'x'; 400 * 1024]);
    server.wait_for_line(&["source-ended", "too much data without a usable Ogg page"]);
}

#[test]
fn bytes_that_only_look_like_pages_are_refused_before_they_cost_much() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    // Each of these claims to be a page of some 56,000 bytes, and every one has to be checked.
    let fake = [b"OggS\0".as_slice(), &[0xff; 22]].concat().repeat(9_000);
    let _ = source.socket.write_all(&fake);
    server.wait_for_line(&["source-ended", "too much data without a usable Ogg page"]);
}

#[test]
fn a_push_that_is_not_a_stream_does_not_disturb_the_source() {
    let server = Daemon::start();
    let mut good = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    let mut bad = connect(&server);
    let login = login(PASSWORD);
    write!(bad, "PUT /m HTTP/1.1\r\n{login}Expect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut bad).status, 100);
    bad.write_all(b"ID3\x04\0\0\0\0").unwrap();
    assert_eq!(read_head(&mut bad).status, 415);
    good.send(2, 100);
    assert_eq!((listener.number(), listener.number()), (0, 1));
}

#[test]
fn a_source_without_a_stream_gives_way_to_the_next() {
    let server = Daemon::start();
    let mut silent = connect(&server);
    let login = login(PASSWORD);
    write!(silent, "PUT /m HTTP/1.1\r\n{login}Expect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut silent).status, 100);
    let _source = Source::connect(&server, "/m", 1);
    server.wait_for_line(&["source-ended", "took the mount over"]);
    assert_eq!(read_to_end(&mut silent), b"");
}

#[test]
fn bodies_are_never_taken_for_requests() {
    let server = Daemon::start();
    for field in
        ["Content-Length: 0\r\nContent-Length: 49", "Content-Length: +5", "Transfer-Encoding: x"]
    {
        let head = format!("PUT /m HTTP/1.1\r\n{field}\r\n\r\nOPTIONS * HTTP/1.1\r\n\r\n");
        let mut socket = connect(&server);
        socket.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_head(&mut socket).field("connection"), Some("close"), "{field}");
        let rest = String::from_utf8(read_to_end(&mut socket)).unwrap();
        assert!(!rest.contains("HTTP/1."), "{field}: {rest}");
    }
}

#[test]
fn an_encoder_that_sends_nothing_before_its_response_is_answered() {
    let server = Daemon::start();
    let login = login(PASSWORD);
    for (number, (method, fields)) in [
        ("SOURCE", ""),
        ("SOURCE", "Transfer-Encoding: chunked\r\n"),
        ("PUT", ""),
        ("PUT", "Expect: 100-continue\r\n"),
        ("PUT", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut socket = connect(&server);
        write!(socket, "{method} /m{number} HTTP/1.1\r\n{login}{fields}\r\n").unwrap();
        if fields.contains("Expect") {
            assert_eq!(read_head(&mut socket).status, 100, "{fields}");
        }
        let answer = read_head(&mut socket);
        assert_eq!((answer.status, answer.field("content-length")), (200, None), "{fields}");
        let headers = ogg::headers(1);
        let size = format!("{:x}\r\n", headers.len());
        let (before, after) = if fields.contains("chunked") { (&*size, "\r\n") } else { ("", "") };
        let body = [before.as_bytes(), &headers, after.as_bytes()].concat();
        socket.write_all(&body).unwrap();
        server.wait_for_line(&["stream-began", &format!("mount=\"/m{number}\"")]);
    }
}

#[test]
fn a_refused_push_is_closed_and_its_audio_is_not_taken_for_a_request() {
    let server = Daemon::start();
    let right = login(PASSWORD);
    for (method, login, status, says) in [
        ("PUT", "", 401, "authenticate"),
        ("SOURCE", "", 401, "authenticate"),
        ("POST", &*right, 405, "sent with PUT, not POST"),
    ] {
        let before = server.count_lines(&["event=\"refused\""]);
        let mut socket = connect(&server);
        write!(socket, "{method} /m HTTP/1.1\r\n{login}\r\n").unwrap();
        let audio = [ogg::headers(1), ogg::audio(1, 0, 4_000)].concat();
        socket.write_all(&audio).unwrap();
        let answer = read_head(&mut socket);
        assert_eq!(
            (answer.status, answer.field("connection")),
            (status, Some("close")),
            "{method}"
        );
        let text = String::from_utf8(read_to_end(&mut socket)).unwrap();
        assert!(text.contains(says) && text.lines().count() == 1, "{text}");
        let lines = server.wait_for_lines(&["event=\"refused\""], before + 1);
        assert_eq!(lines.len(), before + 1, "{lines:#?}");
    }
}

#[test]
fn a_skeleton_beside_the_audio_is_dropped() {
    let server = Daemon::start();
    let page = |sequence, packet: &[u8]| {
        let mut bytes = Vec::new();
        let first = sequence == 0;
        let header = ogg_splice::PageHeader { first, serial: 7, sequence, ..Default::default() };
        ogg_splice::write_page(&mut bytes, header, &[packet]);
        bytes
    };
    let headers = ogg::headers(1);
    let (head, tags) = headers.split_at(47);
    let (fishead, fisbone) = (page(0, b"fishead\0\x04\0\0\0"), page(1, b"fisbone\0"));
    let stream = [&fishead[..], head, &fisbone, tags].concat();
    let mut socket = connect(&server);
    write!(socket, "PUT /m HTTP/1.1\r\n{}\r\n", login(PASSWORD)).unwrap();
    socket.write_all(&stream).unwrap();
    server.wait_for_line(&["stream-began"]);
    let mut listener = Listener::join(&server, "/m");
    assert_eq!(listener.headers(), headers);
    socket.write_all(&[page(2, b""), ogg::audio(1, 0, 100)].concat()).unwrap();
    assert_eq!(listener.number(), 0);
}

#[test]
fn a_recorder_with_a_wrong_password_does_not_lock_out_the_others_at_its_address() {
    let server = Daemon::start();
    let push = |mount: &str, password: &str| {
        let login = login(password);
        request(&server, &format!("SOURCE {mount} HTTP/1.0\r\n{login}\r\n")).status
    };
    for _ in 0..5 {
        assert_eq!(push("/broken", "wrong"), 401);
    }
    assert_eq!(push("/broken", "wrong"), 429);
    let line = server.wait_for_line(&["event=\"lockout\"", "mount=\"/broken\""]);
    assert!(line.contains("kind=\"source\"") && line.contains("user=\"source\""), "{line}");
    let _healthy = Source::connect(&server, "/healthy", 1);
}

#[test]
fn a_source_says_what_it_is_in_latin_1_and_in_the_words_of_shoutcast() {
    let server = Daemon::start();
    for (mount, fields, name) in [
        ("/a", &b"ice-name: Caf\xe9\r\n"[..], "Café"),
        ("/b", "icy-name: Café ☕\r\n".as_bytes(), "Café ☕"),
        ("/c", b"x-audiocast-name: Old\r\n", "Old"),
    ] {
        let mut socket = connect(&server);
        let login = login(PASSWORD);
        let head =
            [format!("PUT {mount} HTTP/1.1\r\n{login}").as_bytes(), fields, b"\r\n"].concat();
        socket.write_all(&[&head[..], &ogg::headers(1)].concat()).unwrap();
        server.wait_for_line(&["stream-began", &format!("mount=\"{mount}\"")]);
        let status = get(&server, &format!("/api/v1/mounts{mount}")).text();
        assert!(status.contains(&format!("\"station_name\":\"{name}\"")), "{status}");
    }
}

#[test]
fn a_flood_of_refusals_is_not_a_flood_of_lines() {
    let server = Daemon::start();
    let mut socket = connect(&server);
    for _ in 0..1_000 {
        assert_eq!(
            exchange(&mut socket, "DELETE /m HTTP/1.1\r\nContent-Length: 0\r\n\r\n").status,
            405
        );
    }
    let lines = server.count_lines(&["event=\"refused\""]);
    assert!((1..900).contains(&lines), "{lines}");
}

#[test]
fn a_source_that_sends_nothing_is_disconnected() {
    let server = Daemon::with("", "[mount-defaults]\nsource_timeout = \"1s\"");
    let _source = Source::connect(&server, "/m", 1);
    server.wait_for_line(&["source-ended", "sent nothing for 1 s"]);
}

#[test]
fn limits_hold_and_a_takeover_needs_no_second_place() {
    let server = Daemon::with(
        "",
        "[limits]\nsources = 1\nlisteners = 2\n[[mount]]\nname = \"/one\"\nmax_listeners = 1",
    );
    let _source = Source::connect(&server, "/one", 1);
    let put = format!("PUT /two HTTP/1.1\r\n{}\r\n", login(PASSWORD));
    refused(&server, &put, 403, "all 1 mounts are in use");
    let _source = Source::connect(&server, "/one", 2);
    let first = Listener::join(&server, "/one");
    let full = get(&server, "/one");
    assert_eq!((full.status, full.field("retry-after")), (503, Some("10")));
    drop(first);
    // Its seat is free once the server has noticed, at the next page at the latest.
    let mut source = Source::connect(&server, "/one", 3);
    source.send(1, 100);
    server.wait_for_line(&["listener-left"]);
    Listener::join(&server, "/one");
}

#[test]
fn a_mount_without_a_source_gives_way_to_one_that_is_alive() {
    for workers in [1, 2] {
        let top = format!("workers = {workers}");
        let sections =
            "[limits]\nsources = 2\n[mount-defaults]\ngap_after = \"100ms\"\nhold = \"5m\"";
        let server = Daemon::with(&top, sections);
        let (mut first, mut second) =
            (Source::connect(&server, "/a", 1), Source::connect(&server, "/b", 1));
        first.send(1, 100);
        let mut listeners = [(); 2].map(|()| Listener::join(&server, "/a"));
        for listener in &mut listeners {
            listener.headers();
        }
        first.leave();
        server.wait_for_line(&["gap-began", "mount=\"/a\""]);
        second.send(1, 100);
        second.leave();
        server.wait_for_line(&["gap-began", "mount=\"/b\""]);
        let mut third = Source::connect(&server, "/c", 1);
        server.wait_for_line(&["stream-ended", "mount=\"/a\"", "needs the place"]);
        for listener in &mut listeners {
            let last = listener.last_page().unwrap();
            assert!(ogg::next_page(&mut &last[..]).unwrap().is_last());
        }
        assert_eq!(get(&server, "/a").status, 404);
        Listener::join(&server, "/b").headers();
        third.send(1, 100);
        let _fourth = Source::connect(&server, "/d", 1);
        let put = format!("PUT /e HTTP/1.1\r\n{}\r\n", login(PASSWORD));
        refused(&server, &put, 403, "all 2 mounts are in use");
    }
}

#[test]
fn encoders_that_take_a_mount_from_each_other_are_stopped() {
    let server = Daemon::start();
    let sources = [1, 2, 3, 4].map(|serial| Source::connect(&server, "/m", serial));
    server.wait_for_line(&["source-conflict", "mount=\"/m\""]);
    let put = format!("PUT /m HTTP/1.1\r\n{}\r\n", login(PASSWORD));
    refused(&server, &put, 409, "only one encoder may send to a mount");
    let [_, _, _, live] = sources;
    live.leave();
    server.wait_for_line(&["source-ended", "the source disconnected"]);
    let _other = Source::connect(&server, "/m", 5);
}

#[test]
fn all_seats_of_the_server_are_counted_together() {
    let server = Daemon::with("", "[limits]\nlisteners = 2");
    let _sources = (Source::connect(&server, "/a", 1), Source::connect(&server, "/b", 1));
    let _listeners = (Listener::join(&server, "/a"), Listener::join(&server, "/b"));
    refused(&server, "GET /a HTTP/1.1\r\n\r\n", 503, "listener limit of 2");
}

#[test]
fn five_wrong_passwords_lock_a_client_out_and_no_other() {
    let server = Daemon::with("trusted_proxies = [\"127.0.0.1\"]", "");
    let put = |client: &str, password: &str| {
        let login = login(password);
        request(
            &server,
            &format!(
                "PUT /m HTTP/1.1\r\nX-Forwarded-For: {client}\r\n{login}Connection: close\r\n\r\n"
            ),
        )
    };
    for _ in 0..5 {
        assert_eq!(put("192.0.2.1", "wrong").status, 401);
    }
    server.wait_for_line(&["event=\"lockout\"", "peer=192.0.2.1"]);
    let locked = put("192.0.2.1", PASSWORD);
    assert_eq!(locked.status, 429);
    assert!(locked.field("retry-after").is_some());
    assert_eq!(put("192.0.2.2", "wrong").status, 401, "another client");
    for _ in 0..10 {
        assert_eq!(put("unknown", "wrong").status, 401, "the proxy itself is never locked out");
    }
}

#[test]
fn connections_of_one_client_are_limited() {
    let server = Daemon::with("", "[limits]\nconnections_per_ip = 2");
    let _source = Source::connect(&server, "/m", 1);
    let listener = Listener::join(&server, "/m");
    refused(&server, "GET /m HTTP/1.1\r\n\r\n", 429, "connection limit of 2");
    drop(listener);
}

#[test]
fn clients_behind_one_proxy_connection_have_their_own_seats() {
    let server =
        Daemon::with("trusted_proxies = [\"127.0.0.1\"]", "[limits]\nconnections_per_ip = 1");
    let _source = Source::connect(&server, "/m", 1);
    let mut pooled = connect(&server);
    exchange(&mut pooled, "OPTIONS * HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    write!(pooled, "GET /m HTTP/1.1\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut pooled).status, 200);
    let join = |client: &str| {
        request(&server, &format!("HEAD /m HTTP/1.1\r\nX-Forwarded-For: {client}\r\n\r\n")).status
    };
    assert_eq!((join("192.0.2.1"), join("192.0.2.2")), (200, 429));
}

#[test]
fn an_incomplete_head_is_answered_and_the_connection_closed() {
    let server = Daemon::with("", "[limits]\nhead_timeout = \"300ms\"");
    let mut socket = connect(&server);
    socket.write_all(b"GET /m HTTP/1.1\r\nHost: ").unwrap();
    assert_eq!(read_head(&mut socket).status, 408);
    read_to_end(&mut socket);
}

#[test]
fn options_are_answered_and_the_connection_stays_open() {
    let server = Daemon::start();
    let mut socket = connect(&server);
    let mount = "GET, HEAD, OPTIONS, PUT, SOURCE";
    for (target, allow) in [("*", mount), ("/m", mount), ("/status-json.xsl", "GET, HEAD, OPTIONS")]
    {
        let answer = exchange(&mut socket, &format!("OPTIONS {target} HTTP/1.1\r\nHost:\r\n\r\n"));
        assert_eq!(answer.status, 204);
        assert_eq!(answer.field("allow"), Some(allow));
        assert!(answer.field("access-control-allow-headers").unwrap().contains("Authorization"));
    }
}

#[test]
fn clients_cannot_forge_log_lines() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    let agent = "x\" event=\"ready\\n\u{9b}31m";
    Listener::join_with(&server, "/m", &format!("User-Agent: {agent}\r\n"));
    source.send(1, 100);
    let line = server.wait_for_line(&["listener-left"]);
    assert!(line.contains("agent=\"x\\\" event=\\\"ready"), "{line}");
    assert!(!line.contains('\u{9b}'), "{line}");
    let _ = request(&server, "GET /%0aINFO HTTP/1.1\r\n\r\n");
    let line = server.wait_for_line(&["refused", "INFO", "status=400"]);
    assert!(line.contains("path=\"/INFO\""), "{line}");
}

#[test]
fn a_prefix_is_accepted_and_not_required() {
    let server = Daemon::with("path_prefix = \"/stream\"", "");
    let mut source = Source::connect(&server, "/mic.opus", 1);
    source.send(1, 100);
    for target in ["/mic.opus", "/stream/mic.opus"] {
        let mut listener = Listener::join(&server, target);
        listener.headers();
        assert_eq!(listener.number(), 0);
    }
    assert_eq!(get(&server, "/stream/healthz").status, 200);
    assert_eq!(get(&server, "/healthz").status, 200);
}
