//! Plain JSON, events, metrics and playlists.

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{
    Chunked, Listener, Source, admin, connect, get, get_with, login, read_head, read_to_end,
    request,
};
use crate::daemon::{Daemon, PASSWORD, PATIENCE};
use crate::ogg;

fn json(server: &Daemon, path: &str) -> Value {
    let answer = get(server, path);
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (200, Some("application/json")),
        "{path}"
    );
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_mount_says_how_it_is() {
    let server = Daemon::start();
    assert_eq!(json(&server, "/api/v1/mounts"), serde_json::json!({"mounts": []}));
    let mut source = Source::connect(&server, "/mic%20%C3%B6.opus", 1);
    let mut listener = Listener::join(&server, "/mic%20%C3%B6.opus");
    listener.headers();
    source.send(50, 160);
    (0..50).for_each(|number| assert_eq!(listener.number(), number));
    let mount = json(&server, "/api/v1/mounts/mic%20%C3%B6.opus");
    for (field, wanted) in [
        ("name", Value::from("/mic ö.opus")),
        ("state", "live".into()),
        ("codec", "Opus".into()),
        ("channels", 1.into()),
        ("sample_rate", 48_000.into()),
        ("page_ms", 20.0.into()),
        ("listeners", 1.into()),
        ("listener_peak", 1.into()),
        ("pages_in", 50.into()),
        ("title", "Dusk".into()),
        ("access", "public".into()),
        ("gaps", 0.into()),
        ("splices", 0.into()),
        ("max_listeners", Value::Null),
    ] {
        assert_eq!(mount[field], wanted, "{field} in {mount}");
    }
    assert!(
        mount["bitrate"].as_u64().unwrap() > 0
            && mount["seconds_since_page"].as_f64().unwrap() < 60.0
    );
    assert_eq!(mount["clock"]["granule"].as_u64().unwrap() % 960, 0);
    assert!(mount["clock"]["unix_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(json(&server, "/api/v1/mounts")["mounts"][0]["name"], "/mic ö.opus");

    let missing = get(&server, "/api/v1/mounts/nothing");
    assert_eq!((missing.status, missing.field("content-type")), (404, Some("application/json")));
    assert!(serde_json::from_slice::<Value>(&missing.body).unwrap()["error"].is_string());
    let delete = request(&server, "DELETE /api/v1/mounts HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((delete.status, delete.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn listeners_are_told_to_the_administrator_only() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let _listener = Listener::join_with(&server, "/m", "User-Agent: ear\r\n");
    assert_eq!(get(&server, "/api/v1/listeners").status, 401);
    let answer = get_with(&server, "/api/v1/listeners", &admin());
    let all: Value = serde_json::from_slice(&answer.body).unwrap();
    let one = &all["listeners"][0];
    assert_eq!(
        (&one["mount"], &one["agent"], &one["address"]),
        (&"/m".into(), &"ear".into(), &"127.0.0.1".into())
    );
}

/// A reader of events.
struct Events {
    socket: TcpStream,
    reader: BufReader<Chunked<BufReader<Box<dyn Read>>>>,
    /// The newest event's identity.
    last: String,
}

impl Events {
    fn open(server: &Daemon, fields: &str) -> Self {
        let mut socket = connect(server);
        write!(socket, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n{fields}\r\n").unwrap();
        let answer = read_head(&mut socket);
        assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/event-stream")));
        Self::of(Vec::new(), socket)
    }

    /// One that has read so much already.
    fn of(read: Vec<u8>, socket: TcpStream) -> Self {
        let all = Cursor::new(read).chain(socket.try_clone().unwrap());
        let all: Box<dyn Read> = Box::new(all);
        let reader = BufReader::new(Chunked::new(BufReader::new(all)));
        Self { socket, reader, last: String::new() }
    }

    /// The next event that is no clock.
    fn next(&mut self) -> (String, Value) {
        // Clocks come for ever.
        let end = Instant::now() + PATIENCE;
        loop {
            let event = self.any();
            if event.0 != "clock" {
                return event;
            }
            assert!(Instant::now() < end, "nothing but clocks");
        }
    }

    fn any(&mut self) -> (String, Value) {
        let mut kind = String::new();
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the events ended");
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut self.last),
                Some(("event", event)) => event.clone_into(&mut kind),
                Some(("data", data)) => return (kind, serde_json::from_str(data).unwrap()),
                _ => {}
            }
        }
    }
}

#[test]
fn events_tell_what_happens_and_where_to_go_on() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"1s\"");
    let mut events = Events::open(&server, "");
    assert_eq!(events.next(), ("mounts".into(), serde_json::json!({"mounts": []})));
    let mut source = Source::connect(&server, "/m", 1);
    // It goes on in real time until it is told to leave: without it there would be a gap, and then the end.
    let (leave, told) = std::sync::mpsc::sync_channel::<()>(0);
    let source = std::thread::spawn(move || {
        while told
            .recv_timeout(Duration::from_millis(20))
            .is_err_and(|e| e == RecvTimeoutError::Timeout)
        {
            source.send(1, 100);
        }
        source.leave();
    });
    let (kind, up) = events.next();
    assert_eq!((&*kind, &up["name"], &up["title"]), ("up", &"/m".into(), &"Dusk".into()));
    let listener = Listener::join(&server, "/m");
    let mut seen = Vec::new();
    let mut until = |events: &mut Events, wanted: &str| loop {
        let (kind, data) = events.next();
        seen.push(kind.clone());
        if kind == wanted {
            return data;
        }
    };
    assert_eq!(until(&mut events, "listeners"), serde_json::json!({"name": "/m", "listeners": 1}));
    let here = events.last.clone();
    // Another reader sees all there is at its beginning, and the time now and then.
    let mut late = Events::open(&server, "");
    let (kind, all) = late.next();
    assert_eq!((&*kind, &all["mounts"][0]["name"]), ("mounts", &"/m".into()));
    loop {
        let (kind, data) = late.any();
        if kind == "clock" {
            assert!(data["name"] == "/m" && data["granule"].is_u64() && data["unix_ms"].is_u64());
            break;
        }
    }
    get_with(&server, "/admin/metadata?mount=/m&mode=updinfo&song=Wren", &login(PASSWORD));
    assert_eq!(until(&mut events, "title")["title"], "Wren");
    drop(leave);
    source.join().unwrap();
    until(&mut events, "gap");
    drop(listener);
    until(&mut events, "listeners");
    assert_eq!(until(&mut events, "down"), serde_json::json!({"name": "/m"}));
    // Who was away hears what it has missed, in the same order, and nothing twice.
    let mut back = Events::open(&server, &format!("Last-Event-ID: {here}\r\n"));
    let missed: Vec<_> =
        std::iter::from_fn(|| Some(back.next().0)).take_while(|kind| kind != "down").collect();
    assert!(!missed.contains(&"mounts".to_owned()), "{missed:?}");
    assert!(
        missed.contains(&"gap".to_owned()) && missed.contains(&"title".to_owned()),
        "{missed:?}"
    );
    let mut stranger = Events::open(&server, "Last-Event-ID: 1-1\r\n");
    assert_eq!(stranger.next().0, "mounts", "of another process");
}

#[test]
fn places_for_readers_are_limited_and_whoever_has_most_of_them_loses_one() {
    let server = Daemon::with("trusted_proxies = [\"127.0.0.1\"]", "");
    let from = |host: usize| format!("X-Forwarded-For: 192.0.2.{host}\r\n");
    let mut greedy: Vec<_> = (0..63).map(|_| Events::open(&server, &from(1))).collect();
    let mut modest = Events::open(&server, &from(2));
    for reader in greedy.iter_mut().chain([&mut modest]) {
        reader.next();
    }
    let mut newcomer = Events::open(&server, &from(3));
    assert_eq!(newcomer.next().0, "mounts");
    let mut oldest = greedy.remove(0);
    assert!(read_to_end(&mut oldest.socket).len() < 4096, "it is hung up on");
    // And nobody else is.
    let _source = Source::connect(&server, "/m", 1);
    for reader in greedy.iter_mut().chain([&mut modest, &mut newcomer]) {
        assert_eq!(reader.next().0, "up");
    }
}

/// A reader of events that has little room for what it does not read, and does not read.
fn stuck_reader(server: &Daemon) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.port));
    socket.connect(&address.into()).unwrap();
    let mut stuck = TcpStream::from(socket);
    stuck.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stuck, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut stuck).status, 200);
    stuck
}

/// Gives the mount a title of this number and as long as may be.
fn retitle(server: &Daemon, number: usize) -> String {
    let title = format!("{number}-{}", "x".repeat(240));
    let target = format!("/admin/metadata?mount=/m&mode=updinfo&song={title}");
    assert_eq!(get_with(server, &target, &login(PASSWORD)).status, 200);
    title
}

#[test]
fn a_reader_that_does_not_read_is_dropped_and_delays_nobody() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let stuck = stuck_reader(&server);
    let mut reading = Events::open(&server, "");
    reading.next();
    let end = Instant::now() + PATIENCE;
    // More than any buffer holds, until the kernel says that the server has reset the connection.
    for number in 0.. {
        let title = retitle(&server, number);
        while reading.next().1["title"] != *title {}
        if stuck.take_error().unwrap().is_some() {
            break;
        }
        assert!(Instant::now() < end, "it is still connected");
    }
}

#[test]
fn a_reader_that_falls_behind_is_told_how_things_are_and_goes_on() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let mut slow = stuck_reader(&server);
    let mut reading = Events::open(&server, "");
    reading.next();
    // More than is kept, and more than any buffer holds; it takes a fifth of it.
    let mut taken = Vec::new();
    for number in 0..300 {
        let title = retitle(&server, number);
        while reading.next().1["title"] != *title {}
        let mut some = [0; 64];
        let n = slow.read(&mut some).unwrap();
        taken.extend_from_slice(&some[..n]);
    }
    let mut slow = Events::of(taken, slow);
    let last = retitle(&server, 300);
    let (mut snapshots, mut end) = (0, Instant::now() + PATIENCE);
    loop {
        let (kind, data) = slow.next();
        snapshots += usize::from(kind == "mounts");
        let mount = if kind == "mounts" { &data["mounts"][0] } else { &data };
        if mount["title"] == *last {
            break;
        }
        assert!(Instant::now() < end, "it was never told of the last title");
    }
    assert!(snapshots >= 2, "at the beginning, and when it had fallen behind");
    // And it is as good a reader as any.
    end = Instant::now() + PATIENCE;
    let title = retitle(&server, 301);
    while slow.next().1["title"] != *title {
        assert!(Instant::now() < end, "nothing comes any more");
    }
}

#[test]
fn metrics_are_what_a_prometheus_reads() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m%22", 1);
    let mut listener = Listener::join(&server, "/m%22");
    listener.headers();
    source.send(3, 100);
    assert_eq!(listener.number(), 0);
    assert_eq!(get(&server, "/nothing").status, 404);
    let answer = get(&server, "/metrics");
    let kind = answer.field("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = answer.text();
    for line in [
        r#"silvacast_source_pages_total{mount="/m\""} 3"#,
        r#"silvacast_listeners{mount="/m\""} 1.0"#,
        r#"silvacast_live{mount="/m\""} 1.0"#,
        "silvacast_listener_connections_total 1",
        "silvacast_join_seconds_count 1",
        r#"silvacast_refused_requests_total{status="404"} 1"#,
        "silvacast_journal_dropped_lines_total 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && text.contains("silvacast_memory_ceiling_bytes "));
}

#[test]
fn a_playlist_has_the_url_by_which_it_was_asked_for() {
    let server = Daemon::with("path_prefix = \"/stream\"\ntrusted_proxies = [\"127.0.0.1\"]", "");
    let login = login(PASSWORD);
    let mut socket = connect(&server);
    write!(socket, "SOURCE /mic%20a.opus HTTP/1.0\r\n{login}Ice-Name: The pond\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    socket.write_all(&ogg::headers(1)).unwrap();
    server.wait_for_line(&["stream-began"]);
    let forwarded = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: birds.example\r\n";
    let answer = get_with(&server, "/stream/mic%20a.opus.m3u", forwarded);
    assert_eq!(answer.field("content-type"), Some("audio/x-mpegurl; charset=utf-8"));
    let text = "#EXTM3U\r\n#EXTINF:-1,The pond\r\nhttps://birds.example/stream/mic%20a.opus\r\n";
    assert_eq!(answer.text(), text);
    assert_eq!(get(&server, "/nothing.m3u").status, 404);
}

#[test]
fn a_combined_log_is_written_where_it_is_asked_for() {
    let mut command = crate::daemon::silvacast();
    let output = tempfile::NamedTempFile::new().unwrap();
    command.stdout(output.reopen().unwrap());
    let server = Daemon::of_with_output(command, "", "[log]\ncombined = true");
    let _source = Source::connect(&server, "/m", 1);
    drop(Listener::join_with(&server, "/m", "User-Agent: an \"ear\"\r\n"));
    server.wait_for_line(&["listener-left"]);
    let line = loop {
        let text = std::fs::read_to_string(output.path()).unwrap();
        if text.ends_with('\n') {
            break text;
        }
        std::thread::yield_now();
    };
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.contains(" +0000] \"GET /m HTTP/1.0\" 200 "),
        "{line}"
    );
    assert!(line.trim_end().ends_with("\"-\" \"an \\\"ear\\\"\" 0"), "{line}");
}

#[test]
fn whatever_a_source_calls_itself_harms_nothing() {
    let server = Daemon::start();
    for (number, name) in
        ["\"><script>alert(1)</script>", "123", "-", "&amp;]]>", &"🦉".repeat(400)]
            .iter()
            .enumerate()
    {
        let mut socket = connect(&server);
        write!(
            socket,
            "SOURCE /{number} HTTP/1.0\r\n{}Ice-Name: {name}\r\nIce-Description: {name}\r\nIce-Genre: {name}\r\nUser-Agent: {name}\r\n\r\n",
            login(PASSWORD)
        )
        .unwrap();
        assert_eq!(read_head(&mut socket).status, 200);
        socket.write_all(&ogg::headers(1)).unwrap();
        server.wait_for_lines(&["stream-began"], number + 1);
        std::mem::forget(socket);
    }
    let status: Value = serde_json::from_slice(&get(&server, "/status-json.xsl").body).unwrap();
    assert_eq!(status["icestats"]["source"][1]["server_name"], "123");
    assert_eq!(json(&server, "/api/v1/mounts")["mounts"][2]["station_name"], "-");
    let stats = get_with(&server, "/admin/stats", &admin()).text();
    assert!(stats.contains("&quot;&gt;&lt;script&gt;") && !stats.contains("<script"), "{stats}");
    let playlist = get(&server, "/0.m3u").text();
    assert_eq!(playlist.lines().count(), 3, "{playlist}");
    for head in [get(&server, "/api/v1/mounts"), get(&server, "/metrics")] {
        assert_eq!(head.status, 200);
    }
    let mut listener = Listener::join(&server, "/4");
    listener.headers();
}
