//! Pages from a source to listeners: joining, bursts, takeover, falling behind, several mounts and threads.

use std::io::{Read, Write};

use crate::client::{
    Listener, Source, connect, exchange, get, login, read_head, read_to_end, request,
};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;
use crate::wait::{PATIENCE, until_received, when};

#[test]
fn a_listener_gets_the_headers_then_the_burst_then_live_pages() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/mic.opus", 7);
    let mut first = Listener::join(&server, "/mic.opus?burst=0ms");
    assert_eq!(first.headers(), ogg::headers(7));
    source.send(100, 160);
    for number in 0..100 {
        assert_eq!(first.number(), number);
    }
    // 200 ms of 20 ms pages: ten of them.
    let mut late = Listener::join(&server, "/mic.opus");
    assert_eq!(late.headers(), ogg::headers(7));
    for number in 90..100 {
        assert_eq!(late.number(), number);
    }
    source.send(1, 160);
    assert_eq!((first.number(), late.number()), (100, 100));
}

#[test]
fn the_burst_is_what_the_listener_asks_for_or_suits_its_player() {
    let server = Daemon::with(
        "",
        "[mount-defaults]\nburst = \"100ms\"\n[[mount]]\nname = \"/auto-*\"\nburst = \"auto\"",
    );
    let browser = "User-Agent: Mozilla/5.0 Test/1.0\r\n";
    let first = |target: &str, fields: &str| {
        let mut listener = Listener::join_with(&server, target, fields);
        listener.headers();
        listener.number()
    };
    let mut source = Source::connect(&server, "/a.opus", 1);
    let mut auto = Source::connect(&server, "/auto-b.opus", 2);
    let mut there = [
        Listener::join(&server, "/a.opus?burst=0ms"),
        Listener::join(&server, "/auto-b.opus?burst=0ms"),
    ];
    for (source, listener) in [&mut source, &mut auto].into_iter().zip(&mut there) {
        source.send(600, 160);
        listener.headers();
        (0..600).for_each(|n| assert_eq!(listener.number(), n));
    }
    assert_eq!(first("/a.opus", ""), 595, "the mount's rule: 100 ms");
    assert_eq!(first("/a.opus?burst=1s", ""), 550, "what the listener asked for");
    assert_eq!(first("/auto-b.opus", browser), 590, "fetch(): 200 ms");
    let element = first("/auto-b.opus", &format!("{browser}Range: bytes=0-\r\n"));
    let page = ogg::audio(1, 0, 160).len();
    let bytes = (600 - element as usize) * page;
    assert!((32 * 1024..34 * 1024 + page).contains(&bytes), "a media element: {bytes} bytes");
}

#[test]
fn quiet_audio_is_filled_up_to_a_block_for_the_media_element_of_a_browser() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    let mut there = Listener::join(&server, "/m?burst=0ms");
    there.headers();
    source.send(300, 3);
    (0..300).for_each(|n| assert_eq!(there.number(), n));
    for agent in ["Mozilla/5.0 Chrome/156.0", "Mozilla/5.0 Gecko Firefox/153.0"] {
        let fields = format!("User-Agent: {agent}\r\nRange: bytes=0-\r\n");
        let mut element = Listener::join_with(&server, "/m", &fields);
        let (mut scanner, mut audio, mut bytes) = (ogg_splice::Scanner::new(), Vec::new(), 0);
        until_received("a block of 32 KiB", PATIENCE, || {
            let n = element.socket.read(scanner.room()).unwrap();
            scanner.filled(n);
            bytes += n;
            while let Some(page) = scanner.next_page() {
                if page.serial() == 1 && !page.is_first() {
                    audio.push((page.granule().unwrap_or(0), page.body().len()));
                }
            }
            let is_whole = audio.last().is_some_and(|(granule, _)| *granule == 300 * 960);
            when(bytes >= 32 * 1024 && is_whole, bytes)
        });
        assert_eq!(scanner.take_skipped(), 0);
        // After the comments, 4 s of audio as it was sent.
        let granules: Vec<_> = audio.iter().skip(1).map(|(granule, _)| *granule).collect();
        let wanted: Vec<_> = (101..=300).map(|page| page * 960).collect();
        assert_eq!(granules, wanted, "{agent}");
    }
}

#[test]
fn pages_arrive_with_every_framing_of_the_body() {
    let server = Daemon::start();
    let login = login(PASSWORD);
    let mut body = ogg::headers(1);
    (0..50).for_each(|n| body.extend(ogg::audio(1, n, 100)));
    let mut chunked = Vec::new();
    for chunk in body.chunks(777) {
        write!(chunked, "{:x}\r\n", chunk.len()).unwrap();
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    let cases = [
        (
            "chunked",
            "PUT /m-chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            chunked,
            false,
        ),
        (
            "length",
            "PUT /m-length HTTP/1.1\r\nContent-Length: 1000000\r\n".to_owned(),
            body.clone(),
            false,
        ),
        (
            "raw",
            "PUT /m-raw HTTP/1.1\r\nContent-Type: audio/mpeg\r\n".to_owned(),
            body.clone(),
            true,
        ),
        ("source", "SOURCE /m-source HTTP/1.0\nContent-Length: 0\n".to_owned(), body.clone(), true),
        ("ice", "SOURCE /m-ice ICE/1.0\r\n".to_owned(), body, true),
    ];
    for (name, head, wire, answered) in cases {
        let mut socket = connect(&server);
        socket.write_all(format!("{head}{login}\r\n").as_bytes()).unwrap();
        // In small pieces: the first page comes split over several writes.
        for piece in wire.chunks(61) {
            socket.write_all(piece).unwrap();
        }
        if answered {
            assert_eq!(read_head(&mut socket).status, 200, "{name}");
        }
        server.wait_for_line(&["stream-began", &format!("/m-{name}")]);
        let mut listener = Listener::join(&server, &format!("/m-{name}?burst=10s"));
        listener.headers();
        (0..50).for_each(|n| assert_eq!(listener.number(), n, "{name}"));
    }
}

#[test]
fn an_upload_with_an_end_is_answered_at_its_end() {
    let server = Daemon::start();
    let body = ogg::headers(1);
    let head =
        format!("PUT /m HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n", login(PASSWORD), body.len());
    let mut socket = connect(&server);
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&body).unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    server.wait_for_line(&["source-ended", "ended its upload"]);
}

#[test]
fn an_old_encoder_gets_its_second_try_on_the_same_connection() {
    let server = Daemon::start();
    let mut socket = connect(&server);
    let first = "SOURCE /m HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    let refused = exchange(&mut socket, first);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.field("www-authenticate"), Some("Basic realm=\"silvacast source\""));
    write!(socket, "SOURCE /m HTTP/1.0\r\n{}\r\n", login(PASSWORD)).unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    socket.write_all(&ogg::headers(1)).unwrap();
    server.wait_for_line(&["stream-began"]);
}

#[test]
fn listeners_do_not_notice_a_takeover_and_the_old_connection_ends() {
    let server = Daemon::start();
    let mut old = Source::connect(&server, "/m", 1);
    let mut before = Listener::join(&server, "/m");
    before.headers();
    old.send(3, 100);
    (0..3).for_each(|n| assert_eq!(before.number(), n));
    let mut new = Source::connect(&server, "/m", 2);
    server.wait_for_line(&["source-ended", "took the mount over"]);
    // Pages of the old source are discarded, and its connection ends.
    let _ = old.socket.write_all(&ogg::audio(1, 3, 100));
    read_to_end(&mut old.socket);
    new.send(2, 100);
    assert_eq!((before.number(), before.number()), (0, 1));
    let mut after = Listener::join(&server, "/m?burst=1s");
    assert_eq!(after.headers(), ogg::headers(1), "the stream has the first source's headers");
}

#[test]
fn with_gap_end_a_source_that_leaves_ends_its_stream_and_the_mount() {
    let server = Daemon::with("", "[mount-defaults]\ngap = \"end\"");
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    source.send(1, 100);
    assert_eq!(listener.number(), 0);
    source.leave();
    let end = listener.page().unwrap();
    assert!(ogg::next_page(&mut &end[..]).unwrap().is_last());
    assert_eq!(listener.page(), None);
    assert_eq!(get(&server, "/m").status, 404);
}

#[test]
fn a_listener_that_stops_reading_loses_pages_and_nobody_else_does() {
    let server = Daemon::with(
        "",
        "[limits]\nlistener_send_buffer = \"8KiB\"\n[mount-defaults]\nring = \"128KiB\"",
    );
    let mut source = Source::connect(&server, "/m", 1);
    let mut stuck = Listener::join_stuck(&server, "/m");
    let mut reading = Listener::join(&server, "/m");
    stuck.headers();
    reading.headers();
    // Far more than the ring and the kernel's buffers together.
    let total = 2_000;
    for batch in 0..total / 10 {
        source.send(10, 1000);
        (0..10).for_each(|n| assert_eq!(reading.number(), batch * 10 + n));
    }
    // When it reads again it gets whole pages in order, with holes, and at most one torn page per hole.
    let (mut last, mut holes, mut torn) = (None, 0, 0);
    until_received("the last page", PATIENCE, || {
        let bytes = stuck.page().unwrap();
        let Some(page) = ogg::next_page(&mut &bytes[..]) else {
            torn += 1;
            return Err("a torn page".to_owned());
        };
        let number = ogg::number(&page);
        assert!(last.is_none_or(|last| number > last));
        holes += u32::from(last.is_some_and(|last| number > last + 1));
        last = Some(number);
        if number == total - 1 { Ok(()) } else { Err(format!("page {number}")) }
    });
    assert!(holes >= 1, "the ring never overtook the listener");
    assert!(torn <= holes, "{torn} torn pages in {holes} holes");
    drop(stuck);
    source.send(1, 100);
    let line = server.wait_for_line(&["listener-left", "the listener disconnected"]);
    assert!(!line.contains("skips=0"), "{line}");
}

#[test]
fn a_listener_that_leaves_frees_its_seat_without_another_page() {
    let server = Daemon::with("", "[limits]\nlisteners = 1");
    let _source = Source::connect(&server, "/m", 1);
    drop(Listener::join(&server, "/m"));
    server.wait_for_line(&["listener-left", "the listener disconnected"]);
    Listener::join(&server, "/m");
}

#[test]
fn torn_pages_keep_their_length_each_time_the_ring_overtakes_a_listener() {
    let server = Daemon::with(
        "",
        "[limits]\nlistener_send_buffer = \"8KiB\"\n[mount-defaults]\nring = \"128KiB\"",
    );
    let mut source = Source::connect(&server, "/m", 1);
    let mut stuck = Listener::join_stuck(&server, "/m?burst=0ms");
    let mut reading = Listener::join(&server, "/m?burst=0ms");
    stuck.headers();
    reading.headers();
    let mut heard = Vec::new();
    // Long pages; the stuck listener reads a little each time the ring has overtaken it.
    for number in 0..60 {
        source.send(1, 50_000);
        assert_eq!(reading.number(), number);
        if number % 10 == 9 {
            let mut some = vec![0; 3_000];
            stuck.socket.read_exact(&mut some).unwrap();
            heard.extend(some);
        }
    }
    drop(source);
    server.wait_for_line(&["source-ended"]);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    heard.extend(read_to_end(&mut stuck.socket));
    // Every page, whole or torn, has the length that its header states.
    let mut rest = &heard[..];
    while !rest.is_empty() {
        assert!(rest.starts_with(b"OggS"), "a page begins within another");
        let segments = usize::from(rest[26]);
        let body: usize = rest[27..27 + segments].iter().map(|&l| usize::from(l)).sum();
        rest = &rest[27 + segments + body..];
    }
}

#[test]
fn a_listener_that_never_reads_is_dropped_after_its_timeout() {
    let server = Daemon::with(
        "",
        "[limits]\nlistener_send_buffer = \"8KiB\"\n[mount-defaults]\nlistener_timeout = \"1s\"",
    );
    let mut source = Source::connect(&server, "/m", 1);
    let _stuck = Listener::join_stuck(&server, "/m");
    source.send(500, 1000);
    server.wait_for_line(&["listener-left", "acknowledged nothing for too long"]);
}

#[test]
fn coalesced_pages_all_arrive() {
    let server = Daemon::with("", "[mount-defaults]\ncoalesce = \"100ms\"");
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m?burst=0ms");
    listener.headers();
    for batch in 0..10 {
        source.send(5, 100);
        (0..5).for_each(|n| assert_eq!(listener.number(), batch * 5 + n));
    }
}

#[test]
fn listeners_on_all_threads_get_the_same_pages() {
    let server = Daemon::with("workers = 4", "");
    let mut mounts: Vec<_> = (0..4)
        .map(|n| {
            let mount = format!("/mic-{n}.opus");
            let source = Source::connect(&server, &mount, n);
            // Eight listeners: two on each thread.
            let mut listeners: Vec<_> = (0..8).map(|_| Listener::join(&server, &mount)).collect();
            for listener in &mut listeners {
                assert_eq!(listener.headers(), ogg::headers(n));
            }
            (mount, source, listeners)
        })
        .collect();
    for (_, source, listeners) in &mut mounts {
        source.send(50, 100);
        for listener in listeners {
            (0..50).for_each(|n| assert_eq!(listener.number(), n));
        }
    }
    for (mount, source, mut listeners) in mounts {
        // Listeners that join now get their burst on every thread.
        let mut late: Vec<_> = (0..4).map(|_| Listener::join(&server, &mount)).collect();
        for listener in &mut late {
            listener.headers();
            (40..50).for_each(|n| assert_eq!(listener.number(), n));
        }
        // After a takeover all of them, and new ones, get the next source's pages.
        let mut next = Source::connect(&server, &mount, 99);
        next.send(1, 100);
        for listener in listeners.iter_mut().chain(&mut late) {
            assert_eq!(listener.number(), 0);
        }
        for _ in 0..4 {
            let mut listener = Listener::join(&server, &format!("{mount}?burst=0ms"));
            listener.headers();
        }
        drop(source);
    }
}

#[test]
fn a_damaged_page_is_dropped_and_logged() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    source.send(1, 100);
    let mut broken = ogg::audio(1, 1, 100);
    broken[60] ^= 1;
    source.socket.write_all(&broken).unwrap();
    source.socket.write_all(&ogg::audio(1, 2, 100)).unwrap();
    assert_eq!((listener.number(), listener.number()), (0, 2));
    server.wait_for_line(&["source-damage", &format!("bytes={}", broken.len())]);
}

#[test]
fn a_head_request_gets_the_headers_that_a_listener_would_get() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    source.send(1, 100);
    let probe = request(&server, "HEAD /m HTTP/1.1\r\nHost: x\r\n\r\n");
    let listener = Listener::join_with(&server, "/m", "Range: bytes=0-\r\n");
    let undated =
        |head: &str| head.lines().filter(|l| !l.starts_with("Date")).collect::<Vec<_>>().join("\n");
    assert_eq!(undated(&probe.head), undated(&listener.answer.head));
    assert!(probe.body.is_empty());
    assert_eq!(probe.field("content-type"), Some("audio/ogg"));
    assert_eq!(probe.field("access-control-allow-origin"), Some("*"));
    assert_eq!((probe.field("content-length"), probe.field("transfer-encoding")), (None, None));
}
