//! HLS by HTTP: files and their header fields, requests that wait, and what is refused.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::client::{
    Answer, Listener, Source, connect, get, get_with, read_head, read_to_end, request,
};
use crate::daemon::Daemon;
use crate::hls_reader::{HlsReader, MediaFragment};
use crate::hls_rules::MediaPlaylist;
use crate::players::ffmpeg_source;
use crate::wait::{PATIENCE, until};

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const M: &str = "/mic.opus";

/// A source that has sent so many seconds.
fn source(server: &Daemon, mount: &str, seconds: u32) -> Source {
    let mut source = Source::connect(server, mount, 0x2a);
    send(server, mount, &mut source, seconds * 50);
    source
}

/// Sends pages, and waits until they are published.
fn send(server: &Daemon, mount: &str, source: &mut Source, pages: u32) {
    let mut listener = Listener::join(server, &format!("{mount}?burst=0ms"));
    listener.headers();
    source.send(pages, 160);
    (0..pages).for_each(|_| _ = listener.number());
}

/// The playlist of this name.
fn playlist(server: &Daemon, name: &str) -> MediaPlaylist {
    let answer = get(server, &format!("{M}/{name}"));
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    MediaPlaylist::read(&answer.text()).unwrap()
}

/// Sends a request whose answer is read later.
fn ask(server: &Daemon, name: &str) -> TcpStream {
    let mut socket = connect(server);
    write!(socket, "GET {M}/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    socket
}

/// Reads the answer to a request of [`ask`].
fn answer(mut socket: TcpStream) -> Answer {
    let mut answer = read_head(&mut socket);
    answer.body = read_to_end(&mut socket);
    answer
}

/// Whether an answer has begun to arrive.
fn has_answer(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let peeked = socket.peek(&mut [0]);
    socket.set_nonblocking(false).unwrap();
    peeked.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true)
}

/// Asserts that an answer says why, and may be kept for a second.
fn assert_missing(name: &str, answer: &Answer, sentence: &str) {
    assert_eq!(answer.status, 404, "{name}: {answer:?}");
    assert!(answer.text().contains(sentence), "{name}: {}", answer.text());
    assert_eq!(answer.field("cache-control"), Some("public, max-age=1"), "{name}");
}

#[test]
fn each_file_has_the_header_fields_that_caches_and_players_need() {
    let server = Daemon::start();
    let mut source = source(&server, M, 13);
    let low = playlist(&server, "low-latency.m3u8");
    let segment = &low.segments[5];
    let (part, file) = (segment.parts[3].uri.clone(), segment.file.clone().unwrap().1);
    let forever = "public, max-age=3600, immutable";
    let briefly = "public, max-age=1, stale-while-revalidate=2";
    let awaited = format!("low-latency.m3u8?_HLS_msn={}&_HLS_part=0", segment.number);
    for (path, kind, cache) in [
        (format!("{M}/index.m3u8"), PLAYLIST, briefly),
        (format!("{M}.m3u8"), PLAYLIST, briefly),
        (format!("{M}/low-latency.m3u8"), PLAYLIST, "no-cache"),
        (format!("{M}/{awaited}"), PLAYLIST, briefly),
        (format!("{M}/{}", segment.map), "audio/mp4", forever),
        (format!("{M}/{file}"), "audio/mp4", forever),
        (format!("{M}/{part}"), "audio/mp4", forever),
    ] {
        let whole = get(&server, &path);
        assert_eq!(whole.status, 200, "{path}: {}", whole.text());
        let length = whole.body.len();
        for (field, value) in [
            ("content-type", kind),
            ("cache-control", cache),
            ("content-length", &length.to_string()),
            ("accept-ranges", "bytes"),
            ("access-control-allow-origin", "*"),
        ] {
            assert_eq!(whole.field(field), Some(value), "{path}: {}", whole.head);
        }
        let (tag, date) = (whole.field("etag").unwrap(), whole.field("last-modified").unwrap());
        assert!(tag.starts_with('"') && date.ends_with(" GMT"), "{path}: {}", whole.head);

        let mut socket = connect(&server);
        write!(socket, "HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let head = read_head(&mut socket);
        assert_eq!(read_to_end(&mut socket), b"", "{path}: a body");
        let without_date = |answer: &Answer| {
            let lines =
                answer.head.lines().filter(|line| !line.to_lowercase().starts_with("date:"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(without_date(&head), without_date(&whole), "{path}");

        let ask = |fields: &str| get_with(&server, &path, fields);
        let some = ask("Range: bytes=10-19\r\n");
        let range = format!("bytes 10-19/{length}");
        assert_eq!((some.status, some.field("content-range")), (206, Some(&*range)), "{path}");
        assert_eq!(some.body, whole.body[10..20], "{path}");
        assert_eq!(some.field("content-length"), Some("10"), "{path}");
        let last = ask(&format!("Range: bytes=-7\r\nIf-Range: {tag}\r\n"));
        assert_eq!((last.status, &last.body[..]), (206, &whole.body[length - 7..]), "{path}");
        let none = ask(&format!("Range: bytes={length}-\r\n"));
        let range = format!("bytes */{length}");
        assert_eq!((none.status, none.field("content-range")), (416, Some(&*range)), "{path}");
        let same = ask(&format!("If-None-Match: {tag}\r\n"));
        assert_eq!((same.status, same.field("etag")), (304, Some(tag)), "{path}");
        assert_eq!(
            (same.field("cache-control"), &same.body[..]),
            (Some(cache), &b""[..]),
            "{path}"
        );
        assert_eq!(ask("If-None-Match: \"other\"\r\n").status, 200, "{path}");
    }
    // Only the playlists change.
    let before = get(&server, &format!("{M}/{file}"));
    let index = get(&server, &format!("{M}/index.m3u8"));
    send(&server, M, &mut source, 100);
    let after = get(&server, &format!("{M}/{file}"));
    assert_eq!((before.field("etag"), &before.body), (after.field("etag"), &after.body));
    assert_ne!(index.field("etag"), get(&server, &format!("{M}/index.m3u8")).field("etag"));
}

#[test]
fn both_names_of_the_plain_playlist_lead_to_the_same_files() {
    let server = Daemon::start();
    let _source = source(&server, "/birds/mic.opus", 7);
    let inside = get(&server, "/birds/mic.opus/index.m3u8").text();
    let beside = get(&server, "/birds/mic.opus.m3u8").text();
    let moved = inside.replace("\"0000002a", "\"mic.opus/0000002a");
    assert_eq!(moved.replace("\n0000002a", "\nmic.opus/0000002a"), beside);
    let low = get(&server, "/birds/mic.opus/low-latency.m3u8").text();
    for name in ["#EXT-X-PART", "#EXT-X-PRELOAD-HINT", "CAN-BLOCK-RELOAD"] {
        assert!(low.contains(name) && !inside.contains(name), "{name}: {low}\n{inside}");
    }
}

#[test]
fn what_is_not_there_is_told_in_a_sentence() {
    let server = Daemon::with(
        "",
        "[mount-defaults]\nring = \"128KiB\"\n[[mount]]\nname = \"/none.opus\"\n\
         [[mount]]\nname = \"/without.opus\"\nhls = false\n",
    );
    let codecs = [("/m.flac", "flac", "FLAC"), ("/m.ogg", "libvorbis", "Vorbis")];
    let _sources = codecs.map(|(mount, codec, _)| {
        ffmpeg_source(&["-c:a", codec], &["-f", "ogg", &server.push_url(mount)])
    });
    let _without = source(&server, "/without.opus", 7);
    let _source = source(&server, M, 20);
    let low = playlist(&server, "low-latency.m3u8");
    let last = low.segments.last().unwrap();
    let (file, init) = (&last.file.as_ref().unwrap().1, &last.map);
    let stream = init.strip_suffix("-init.mp4").unwrap();
    assert!(file.ends_with("-9.m4s"), "{file}");
    let other = init.replace("0000002a", "0000002b");
    for (name, sentence) in [
        (&*format!("{stream}-10.m4s"), "not there yet"),
        (&*format!("{stream}-4711.m4s"), "not there yet"),
        (&*format!("{stream}-11.0.m4s"), "not there yet"),
        (&*format!("{stream}-0.m4s"), "not there any more"),
        (&*format!("{stream}-0.0.m4s"), "not there any more"),
        (&*format!("{stream}-9.9.m4s"), "no such segment or part"),
        (&*format!("{stream}-{}.m4s", u64::MAX), "no such segment or part"),
        (&*other, "not there, or not any more"),
    ] {
        assert_missing(name, &get(&server, &format!("{M}/{name}")), sentence);
    }
    for (mount, _, name) in codecs {
        server.wait_for_line(&["stream-began", mount]);
        for file in ["index.m3u8", "low-latency.m3u8"] {
            let sentence = format!("HLS is for Opus only, and this stream is {name}.");
            assert_missing(mount, &get(&server, &format!("{mount}/{file}")), &sentence);
        }
    }
    for mount in ["/none.opus", "/nowhere.opus"] {
        assert_missing(
            mount,
            &get(&server, &format!("{mount}/index.m3u8")),
            "no source is sending",
        );
    }
    let off = get(&server, "/without.opus/index.m3u8");
    assert_eq!(off.status, 404);
    assert!(off.text().contains("HLS is switched off for this microphone"), "{}", off.text());
}

#[test]
fn a_playlist_is_as_long_as_three_target_durations() {
    let window = "hls_segment = \"1500ms\"\nhls_window = \"3s\"";
    let server = Daemon::with("", &format!("[mount-defaults]\n{window}"));
    let _source = source(&server, M, 20);
    let index = playlist(&server, "index.m3u8");
    assert!(index.duration() >= 3.0 * index.target as f64, "{}", index.text);
}

#[test]
fn what_cannot_be_awaited_is_refused_at_once() {
    let server = Daemon::start();
    let _source = source(&server, M, 13);
    let (next, _) = playlist(&server, "low-latency.m3u8").next();
    for query in [
        "_HLS_msn=x".to_owned(),
        "_HLS_msn=-1".to_owned(),
        "_HLS_msn=".to_owned(),
        "_HLS_msn=99999999999999999999".to_owned(),
        "_HLS_part=1".to_owned(),
        format!("_HLS_msn={next}&_HLS_part=x"),
        format!("_HLS_msn={}", next + 3),
        format!("_HLS_msn={next}&_HLS_part=9999"),
    ] {
        let answer = get(&server, &format!("{M}/low-latency.m3u8?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.text().contains("_HLS_"), "{query}: {}", answer.text());
    }
    // What a client may have missed is no reason to wait.
    let old = format!("low-latency.m3u8?_HLS_msn={}&_HLS_part=3", next - 100);
    assert!(playlist(&server, &old).next() >= (next, 0));
    // The plain playlist has no such parameters.
    playlist(&server, "index.m3u8?_HLS_msn=99999999999999999999");
}

#[test]
fn a_reload_waits_for_what_it_asks_for() {
    let server = Daemon::start();
    let mut source = source(&server, M, 13);
    let (segment, part) = playlist(&server, "low-latency.m3u8").next();
    assert_eq!(part, 4, "13 s are 6 segments and 4 parts");
    let query = |more: &str| format!("low-latency.m3u8?_HLS_msn={segment}{more}");
    let mut waiting = [ask(&server, &query("&_HLS_part=4")), ask(&server, &query(""))];
    // 1 s and 10 pages: the part is 1.2 s after the beginning of the segment.
    send(&server, M, &mut source, 9);
    assert!(playlist(&server, "low-latency.m3u8").next() == (segment, 4));
    assert!(!waiting.iter().any(has_answer), "before the part was there");
    send(&server, M, &mut source, 1);
    let [first, second] = &mut waiting;
    let text = read_whole(first);
    assert_eq!(MediaPlaylist::read(&text).unwrap().next(), (segment, 5));
    assert!(!has_answer(second), "before the segment was there");
    send(&server, M, &mut source, 40);
    assert_eq!(MediaPlaylist::read(&read_whole(second)).unwrap().next(), (segment + 1, 0));
}

fn read_whole(socket: &mut TcpStream) -> String {
    let head = read_head(socket);
    assert_eq!(head.status, 200, "{head:?}");
    String::from_utf8(read_to_end(socket)).unwrap()
}

#[test]
fn a_part_beyond_the_last_of_its_segment_is_the_first_of_the_next() {
    let server = Daemon::start();
    let mut source = source(&server, M, 14);
    let low = playlist(&server, "low-latency.m3u8");
    let last = low.segments.last().unwrap();
    let query = format!("low-latency.m3u8?_HLS_msn={}&_HLS_part={}", last.number, last.parts.len());
    let mut waiting = ask(&server, &query);
    playlist(&server, "index.m3u8");
    send(&server, M, &mut source, 12);
    let text = read_whole(&mut waiting);
    assert!(MediaPlaylist::read(&text).unwrap().next() >= (last.number + 1, 1), "{text}");
}

#[test]
fn a_part_can_be_requested_before_it_is_there() {
    let server = Daemon::start();
    let mut source = source(&server, M, 13);
    let low = playlist(&server, "low-latency.m3u8");
    let hint = low.hint.unwrap();
    let waiting = ask(&server, &hint);
    send(&server, M, &mut source, 9);
    assert!(!has_answer(&waiting), "before the part was there");
    send(&server, M, &mut source, 1);
    let answer = answer(waiting);
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("audio/mp4")));
    let [fragment] = &MediaFragment::read(&answer.body)[..] else { panic!("not one fragment") };
    assert_eq!((fragment.time, fragment.packets.len()), (12 * 48_000 + 4 * 11_520, 12));
}

#[test]
fn a_part_of_a_stream_with_long_pages_comes_as_promised() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&["-c:a", "libopus"], &["-f", "ogg", &server.push_url(M)]);
    let mut reader = HlsReader::join(&server, M);
    for _ in 0..3 {
        let hint = reader.newest.hint.clone().unwrap();
        assert!(!MediaFragment::read(&reader.file(&hint)).is_empty());
        reader.step();
    }
}

#[test]
fn many_requests_that_wait_keep_nobody_else_waiting() {
    let server = Daemon::with("", "[limits]\nlisteners = 400\nconnections_per_ip = 0");
    let mut source = source(&server, M, 12);
    let mut listener = Listener::join(&server, &format!("{M}?burst=0ms"));
    listener.headers();
    let (segment, _) = playlist(&server, "low-latency.m3u8").next();
    let waiting: Vec<_> =
        (0..200).map(|_| ask(&server, &format!("low-latency.m3u8?_HLS_msn={segment}"))).collect();
    let answered = || waiting.iter().filter(|socket| has_answer(socket)).count();
    until("a refusal of those that are too many", PATIENCE, || match answered() {
        0..136 => Err(answered()),
        _ => Ok(()),
    });
    playlist(&server, "index.m3u8");
    playlist(&server, "low-latency.m3u8");
    assert_eq!(get(&server, "/api/v1/mounts").status, 200);
    source.send(100, 160);
    (0..100).for_each(|_| _ = listener.number());
    let mut counts = [0, 0];
    for socket in waiting {
        let answer = answer(socket);
        counts[usize::from(answer.status == 200)] += 1;
        if answer.status == 200 {
            assert!(MediaPlaylist::read(&answer.text()).unwrap().next() > (segment, 100));
        } else {
            assert!(answer.status == 503 && answer.field("retry-after").is_some(), "{answer:?}");
        }
    }
    assert_eq!(counts, [136, 64], "refused and served");
}

#[test]
fn a_reload_in_vain_ends() {
    let server = Daemon::with("", "[mount-defaults]\nhls_segment = \"1s\"");
    let _source = source(&server, M, 6);
    let (segment, _) = playlist(&server, "low-latency.m3u8").next();
    let answer = get(&server, &format!("{M}/low-latency.m3u8?_HLS_msn={segment}"));
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{answer:?}");
    assert!(answer.text().contains("The audio has not come."), "{}", answer.text());
}

#[test]
fn a_method_that_changes_something_is_refused() {
    let server = Daemon::start();
    let _source = source(&server, M, 6);
    for method in ["POST", "DELETE"] {
        let head = format!(
            "{method} {M}/index.m3u8 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = request(&server, &head);
        assert_eq!(answer.status, 405, "{method}: {}", answer.text());
    }
}

#[test]
fn a_client_that_reads_slowly_gets_all_of_a_segment_or_loses_its_connection() {
    let server = Daemon::with("", "[mount-defaults]\nring = \"128KiB\"\nhls_segment = \"1s\"");
    let mut source = Source::connect(&server, M, 0x2a);
    let mut listener = Listener::join(&server, &format!("{M}?burst=0ms"));
    listener.headers();
    let mut publish = |pages| {
        source.send(pages, 400);
        (0..pages).for_each(|_| _ = listener.number());
    };
    publish(250);
    let low = playlist(&server, "low-latency.m3u8");
    let file = low.segments[3].file.clone().unwrap().1;
    let whole = get(&server, &format!("{M}/{file}"));
    let mut slow = ask(&server, &file);
    let head = read_head(&mut slow);
    let mut some = vec![0; 100];
    slow.read_exact(&mut some).unwrap();
    publish(500);
    some.extend(read_to_end(&mut slow));
    assert_eq!(head.field("content-length"), whole.field("content-length"));
    assert!(whole.body.starts_with(&some), "other bytes than those of the segment");
    assert_eq!(get(&server, &format!("{M}/{file}")).status, 404);
}
