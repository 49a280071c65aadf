//! Plain JSON, events, metrics and playlists.

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde_json::Value;

use crate::client::{
    Chunked, Listener, Source, admin, connect, connect_with_little_room, get, get_with, login,
    read_head, read_to_end, request,
};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;
use crate::wait::{PATIENCE, join, until, until_received, when};

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
fn a_mount_has_every_documented_field() {
    let server = Daemon::start();
    assert_eq!(json(&server, "/api/v1/mounts"), serde_json::json!({"station": null, "mounts": []}));
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
fn only_the_administrator_can_list_listeners() {
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

/// A client that reads events.
pub(crate) struct Events {
    socket: TcpStream,
    reader: BufReader<Chunked<BufReader<Box<dyn Read>>>>,
    /// The ID of the newest event.
    last: String,
}

impl Events {
    pub(crate) fn open(server: &Daemon, fields: &str) -> Self {
        let mut socket = connect(server);
        write!(socket, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n{fields}\r\n").unwrap();
        let answer = read_head(&mut socket);
        assert_eq!((answer.status, answer.field("content-type")), (200, Some("text/event-stream")));
        Self::of(Vec::new(), socket)
    }

    /// A client that has read these bytes already.
    fn of(read: Vec<u8>, socket: TcpStream) -> Self {
        let all = Cursor::new(read).chain(socket.try_clone().unwrap());
        let all: Box<dyn Read> = Box::new(all);
        let reader = BufReader::new(Chunked::new(BufReader::new(all)));
        Self { socket, reader, last: String::new() }
    }

    /// The next event that is not a clock.
    pub(crate) fn next(&mut self) -> (String, Value) {
        self.find("an event", |(kind, _)| kind != "clock")
    }

    /// Reads until an event is wanted, and returns it.
    pub(crate) fn find(
        &mut self,
        what: &str,
        wanted: impl Fn(&(String, Value)) -> bool,
    ) -> (String, Value) {
        until_received(what, PATIENCE, || {
            let event = self.any();
            if wanted(&event) { Ok(event) } else { Err(event.0) }
        })
    }

    /// Reads until the mount has this title.
    fn find_title(&mut self, title: &str) {
        self.find(title, |(_, data)| data["title"] == title);
    }

    fn any(&mut self) -> (String, Value) {
        let mut kind = String::new();
        until_received("an event's data", PATIENCE, || {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the events ended");
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut self.last),
                Some(("event", event)) => event.clone_into(&mut kind),
                Some(("data", data)) => {
                    return Ok((kind.clone(), serde_json::from_str(data).unwrap()));
                }
                _ => {}
            }
            Err(line)
        })
    }
}

#[test]
fn events_report_what_happens_and_resume_after_the_last_one_read() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"1s\"");
    let mut events = Events::open(&server, "");
    assert_eq!(events.next(), ("mounts".into(), serde_json::json!({"mounts": []})));
    let mut source = Source::connect(&server, "/m", 1);
    // It sends in real time until it is told to leave; without audio there would be a gap, and then the end.
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
    let find =
        |events: &mut Events, wanted: &str| events.find(wanted, |(kind, _)| kind == wanted).1;
    assert_eq!(find(&mut events, "listeners"), serde_json::json!({"name": "/m", "listeners": 1}));
    let here = events.last.clone();
    // Another client gets all mounts first, and a clock now and then.
    let mut late = Events::open(&server, "");
    let (kind, all) = late.next();
    assert_eq!((&*kind, &all["mounts"][0]["name"]), ("mounts", &"/m".into()));
    let clock = find(&mut late, "clock");
    assert!(clock["name"] == "/m" && clock["granule"].is_u64() && clock["unix_ms"].is_u64());
    get_with(&server, "/admin/metadata?mount=/m&mode=updinfo&song=Wren", &login(PASSWORD));
    assert_eq!(find(&mut events, "title")["title"], "Wren");
    drop(leave);
    join("the source to leave", source);
    find(&mut events, "gap");
    drop(listener);
    find(&mut events, "listeners");
    assert_eq!(find(&mut events, "down"), serde_json::json!({"name": "/m"}));
    // A client that was away gets the events that it missed, and not the list of all mounts.
    let mut back = Events::open(&server, &format!("Last-Event-ID: {here}\r\n"));
    let mut missed = Vec::new();
    until_received("the event `down`", PATIENCE, || {
        let kind = back.next().0;
        if kind == "down" {
            return Ok(());
        }
        missed.push(kind.clone());
        Err(kind)
    });
    assert!(!missed.contains(&"mounts".to_owned()), "{missed:?}");
    assert!(
        missed.contains(&"gap".to_owned()) && missed.contains(&"title".to_owned()),
        "{missed:?}"
    );
    let mut stranger = Events::open(&server, "Last-Event-ID: 1-1\r\n");
    assert_eq!(stranger.next().0, "mounts", "the ID is from another process");
}

#[test]
fn places_for_readers_are_limited_and_the_client_with_most_of_them_loses_one() {
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
    assert!(
        read_to_end(&mut oldest.socket).len() < 4096,
        "the oldest reader of the greedy client is disconnected"
    );
    // Nobody else is disconnected.
    let _source = Source::connect(&server, "/m", 1);
    for reader in greedy.iter_mut().chain([&mut modest, &mut newcomer]) {
        assert_eq!(reader.next().0, "up");
    }
}

/// A client that asks for events and does not read them, with a small receive buffer.
fn stuck_reader(server: &Daemon) -> TcpStream {
    let mut stuck = connect_with_little_room(server);
    write!(stuck, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut stuck).status, 200);
    stuck
}

/// Gives the mount a title with this number and of the greatest length.
fn retitle(server: &Daemon, number: usize) -> String {
    let title = format!("{number}-{}", "x".repeat(240));
    let target = format!("/admin/metadata?mount=/m&mode=updinfo&song={title}");
    assert_eq!(get_with(server, &target, &login(PASSWORD)).status, 200);
    title
}

#[test]
fn a_reader_of_events_that_does_not_read_is_dropped_and_delays_nobody() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let stuck = stuck_reader(&server);
    let mut reading = Events::open(&server, "");
    reading.next();
    // More events than any buffer holds, until the kernel reports that the server has reset the connection.
    let mut numbers = 0..;
    until("the server to reset the connection", PATIENCE, || {
        reading.find_title(&retitle(&server, numbers.next().unwrap()));
        when(stuck.take_error().unwrap().is_some(), "it is connected")
    });
}

#[test]
fn a_reader_of_events_that_falls_behind_gets_all_mounts_and_continues() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let mut slow = stuck_reader(&server);
    let mut reading = Events::open(&server, "");
    reading.next();
    // More events than the server keeps and than any buffer holds; the slow client reads a fifth of them.
    let mut taken = Vec::new();
    for number in 0..300 {
        reading.find_title(&retitle(&server, number));
        let mut some = [0; 64];
        let n = slow.read(&mut some).unwrap();
        taken.extend_from_slice(&some[..n]);
    }
    let mut slow = Events::of(taken, slow);
    let last = retitle(&server, 300);
    let mut snapshots = 0;
    until_received("the last title", PATIENCE, || {
        let (kind, data) = slow.next();
        snapshots += usize::from(kind == "mounts");
        let mount = if kind == "mounts" { &data["mounts"][0] } else { &data };
        when(mount["title"] == *last, mount)
    });
    assert!(snapshots >= 2, "one at the start, one when it had fallen behind: {snapshots}");
    // From here on it gets single events again.
    slow.find_title(&retitle(&server, 301));
}

#[test]
fn prometheus_can_read_the_metrics() {
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
fn a_playlist_has_the_url_that_the_client_used() {
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
fn a_combined_log_is_written_if_configured() {
    let mut command = crate::daemon::silvacast();
    let output = tempfile::NamedTempFile::new().unwrap();
    command.stdout(output.reopen().unwrap());
    let server = Daemon::of_with_output(command, "", "[log]\ncombined = true");
    let _source = Source::connect(&server, "/m", 1);
    drop(Listener::join_with(&server, "/m", "User-Agent: an \"ear\"\r\n"));
    server.wait_for_line(&["listener-left"]);
    let line = until("a whole line", PATIENCE, || {
        let text = std::fs::read_to_string(output.path()).unwrap();
        if text.ends_with('\n') { Ok(text) } else { Err(text) }
    });
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.contains(" +0000] \"GET /m HTTP/1.0\" 200 "),
        "{line}"
    );
    assert!(line.trim_end().ends_with("\"-\" \"an \\\"ear\\\"\" 0"), "{line}");
}

#[test]
fn a_source_s_names_are_escaped_everywhere() {
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
