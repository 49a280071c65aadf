//! Server-sent events.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use serde_json::Value;

use crate::client::{
    Chunked, Listener, Source, connect, connect_with_little_room, get_with, login, read_head,
    read_to_end,
};
use crate::daemon::{Daemon, PASSWORD};
use crate::players::{OPUS, ffmpeg_source};
use crate::wait::{PATIENCE, join, until, until_received, when};

/// A client that reads events.
pub(crate) struct Events {
    socket: TcpStream,
    reader: BufReader<Chunked<BufReader<Box<dyn Read>>>>,
    /// The ID of the newest event.
    pub(crate) last: String,
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

    /// The next event that is not about time.
    pub(crate) fn next(&mut self) -> (String, Value) {
        self.find("an event", |(kind, _)| kind != "clock" && kind != "time")
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
    let nothing = serde_json::json!({ "mounts": [], "off": [], "wanted": [] });
    assert_eq!(events.next(), ("mounts".into(), nothing));
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
    let clock = find(&mut events, "clock");
    assert!(clock["name"] == "/m" && clock["granule"].is_u64() && clock["unix_ms"].is_u64());
    // Another client gets all mounts with their clocks first, and the time now and then.
    let mut late = Events::open(&server, "");
    let (kind, all) = late.next();
    assert_eq!((&*kind, &all["mounts"][0]["name"]), ("mounts", &"/m".into()));
    assert!(all["mounts"][0]["clock"]["granule"].is_u64(), "{all}");
    for _ in 0..3 {
        assert!(find(&mut late, "time")["unix_ms"].as_u64().unwrap() > 1_700_000_000_000);
    }
    get_with(&server, "/admin/metadata?mount=/m&mode=updinfo&song=Wren", &login(PASSWORD));
    assert_eq!(find(&mut events, "title")["title"], "Wren");
    drop(leave);
    join("the source to leave", source);
    find(&mut events, "gap");
    drop(listener);
    find(&mut events, "listeners");
    let down = find(&mut events, "down");
    assert_eq!((&down["name"], &down["state"]), (&"/m".into(), &"off".into()), "{down}");
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

#[test]
fn nothing_happens_for_less_than_100_bytes_a_second() {
    const MICROPHONES: usize = 13;
    let server = Daemon::with("", "[limits]\nsources = 13");
    let _sources: Vec<_> = (0..MICROPHONES)
        .map(|number| {
            let url = server.push_url(&format!("/microphone-{number:02}.opus"));
            ffmpeg_source(&OPUS, &["-content_type", "audio/ogg", "-f", "ogg", &url])
        })
        .collect();
    server.wait_for_lines(&["stream-began"], MICROPHONES);
    let mut socket = connect(&server);
    write!(socket, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    // All that is on the wire, and for each event `time` how much that was and the server's time.
    let (mut all, mut some, mut times) = (Vec::new(), [0; 4096], Vec::new());
    until_received("the server's time", PATIENCE, || {
        let read = socket.read(&mut some).unwrap();
        assert!(read > 0, "the events ended");
        all.extend_from_slice(&some[..read]);
        let text = String::from_utf8_lossy(&all);
        let time = |rest: &str| rest.split('}').next().unwrap().parse::<f64>().ok();
        let said = text.split("event: time\ndata: {\"unix_ms\":").skip(1).filter_map(time);
        times.extend(said.skip(times.len()).map(|time| (all.len(), time)).collect::<Vec<_>>());
        when(times.len() >= 16, times.len())
    });
    // Thirteen encoders that start at once send in real time only after a while. The promptest page of ten seconds
    // counts, so from then on the client knows all clocks.
    let ((before, began), (after, ended)) = (times[7], times[15]);
    let (bytes, seconds) = ((after - before) as f64, (ended - began) / 1000.0);
    println!("{bytes} bytes in {seconds} s");
    assert!(bytes / seconds <= 100.0, "{bytes} bytes in {seconds} s");
    let quiet = String::from_utf8_lossy(&all[before..after]);
    let kinds: BTreeSet<_> =
        quiet.split("event: ").skip(1).filter_map(|rest| rest.lines().next()).collect();
    assert!(kinds.iter().all(|kind| ["clock", "time"].contains(kind)), "{kinds:?}");
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
