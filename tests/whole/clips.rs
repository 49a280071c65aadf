//! Clips: a part of a mount's ring as a file, and a listener who joins in the past. Read by tools of
//! other authors, and compared with the stream.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::{Answer, Listener, Source, get, get_with, request};
use crate::daemon::Daemon;
use crate::players::{OPUS, assert_unbroken_tone, ffmpeg_source, finish};
use crate::process::{Run, Running};
use crate::wait::{PATIENCE, until, when};

const RATE: usize = 48_000;

fn server(more: &str) -> Daemon {
    let text = format!("[server]\nname = \"Forest Station\"\nlocation = \"52.5 N\"\n{more}");
    Daemon::with("", &text)
}

/// What the server says of a mount's clock.
pub(crate) fn clock(server: &Daemon, mount: &str) -> Value {
    serde_json::from_str(&get(server, &format!("/api/v1/mounts{mount}/clock")).text()).unwrap()
}

pub(crate) fn micros(time: &Value) -> i128 {
    let time = OffsetDateTime::parse(time.as_str().unwrap(), &Rfc3339).unwrap();
    time.unix_timestamp_nanos() / 1000
}

/// A time in RFC 3339.
pub(crate) fn text(micros: i128) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(micros * 1000).unwrap().format(&Rfc3339).unwrap()
}

/// Waits until so much audio is held, and returns from when until when, in microseconds.
pub(crate) fn wait_for_audio(server: &Daemon, mount: &str, time: Duration) -> (i128, i128) {
    until("audio in memory", PATIENCE, || {
        let clock = clock(server, mount);
        if clock["held"].is_null() {
            return Err(clock.to_string());
        }
        let (from, to) = (micros(&clock["held"]["from"]), micros(&clock["held"]["to"]));
        if to - from >= time.as_micros().cast_signed() {
            Ok((from, to))
        } else {
            Err(clock.to_string())
        }
    })
}

/// A clip in a file.
pub(crate) fn save(directory: &Path, answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.field("content-length"), Some(&*answer.body.len().to_string()));
    let file = directory.join("clip.opus");
    fs::write(&file, &answer.body).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The samples of a file, as FFmpeg decodes them.
fn decode(file: &str) -> Vec<i16> {
    let arguments = ["-nostdin", "-loglevel", "warning", "-i", file, "-f", "s16le", "-ar", "48000"];
    let output = finish(Command::new("ffmpeg").args(arguments).args(["-ac", "1", "-"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "FFmpeg complains");
    output.stdout.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

#[test]
fn the_last_seconds_are_a_finished_file() {
    let server = server("");
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/wood/mic-a.opus")]);
    wait_for_audio(&server, "/wood/mic-a.opus", Duration::from_millis(3100));
    let answer = get(&server, "/wood/mic-a.opus?clip=3s");
    let directory = tempfile::tempdir().unwrap();
    let file = save(directory.path(), &answer);

    let said = Command::new("opusinfo").arg(&file).run();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(!said.to_uppercase().contains("WARNING"), "{said}");
    assert!(said.contains("Playback length: 0m:03.000s"), "{said}");
    for tag in ["MOUNT=/wood/mic-a.opus", "STATION=Forest Station", "LOCATION=52.5 N", "DATE=20"] {
        assert!(said.contains(tag), "{tag}: {said}");
    }
    let samples = decode(&file);
    assert_eq!(samples.len(), 3 * RATE);
    assert_unbroken_tone("a clip", &samples);
    let decoded = finish(Command::new("opusdec").args(["--quiet", "--rate", "48000", &file, "-"]));
    assert!(decoded.stdout.len() >= 3 * RATE * 2);

    assert_eq!(answer.field("content-type"), Some("audio/ogg"));
    let name = answer.field("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"wood-mic-a-20"), "{name}");
    assert!(name.ends_with("Z.opus\""), "{name}");
    server.wait_for_line(&["listener-left", "the clip was sent", "protocol=\"clip\""]);
}

#[test]
fn a_span_of_time_is_the_same_file_each_time_and_can_be_resumed() {
    let server = server("");
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    // What was heard in the last ten seconds is placed more exactly with each page.
    let (from, _) = wait_for_audio(&server, "/m", Duration::from_millis(10_500));
    let (from, to) = (from + 1_000_000, from + 3_250_000);
    let path = format!("/m?from={}&to={}", text(from), text(to));
    let answer = get(&server, &path);
    let directory = tempfile::tempdir().unwrap();
    let file = save(directory.path(), &answer);
    assert_eq!(decode(&file).len(), RATE * 9 / 4);
    let tag = answer.field("etag").unwrap();
    let range = format!("Range: bytes=1000-\r\nIf-Range: {tag}\r\n");
    let rest = get_with(&server, &path, &range);
    assert_eq!((rest.status, &rest.body[..]), (206, &answer.body[1000..]));
    let unsure = get_with(&server, &path, "Range: bytes=1000-\r\n");
    assert_eq!(unsure.status, 200, "it may have got detections, which change its length");
    assert_eq!(get_with(&server, &path, "Range: bytes=0-\r\n").status, 206);
    let none = get_with(&server, &path, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((none.status, none.body.len()), (304, 0));
    let location = answer.field("content-location").unwrap();
    assert_eq!(get(&server, location).status, 200, "{location}");
    let head = request(&server, &format!("HEAD {path} HTTP/1.1\r\nConnection: close\r\n\r\n"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("content-length"), answer.field("content-length"));
}

#[test]
fn what_is_not_held_is_refused_with_what_is() {
    let server = server("[[mount]]\nname = \"/closed\"\naccess = \"closed\"");
    assert_eq!(get(&server, "/m?clip=10s").status, 404);
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    let (from, to) = wait_for_audio(&server, "/m", Duration::from_secs(1));
    for (from, to) in [(from - 9_000_000, from + 100_000), (to, to + 3_600_000_000)] {
        let answer = get(&server, &format!("/m?from={}&to={}", text(from), text(to)));
        let said = answer.text();
        assert_eq!(answer.status, 404, "{said}");
        assert!(said.contains("not in memory; there is that from 20"), "{said}");
    }
    for path in ["/m?clip=soon", "/m?from=now&to=then", "/m?at=yesterday"] {
        assert_eq!(get(&server, path).status, 400, "{path}");
    }
    assert_eq!(get(&server, &format!("/m?at={}", text(from - 60_000_000))).status, 404);
    let _closed = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/closed")]);
    until("the closed mount", PATIENCE, || {
        let answer = get(&server, "/closed?clip=1s");
        when(answer.status == 403, answer.status)
    });
    // More than the rate of one address, whatever the machine's speed.
    let statuses: Vec<_> = (0..40).map(|_| get(&server, "/m?clip=1s").status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn other_codecs_have_no_clips() {
    let server = server("");
    let flac = ["-c:a", "flac", "-content_type", "audio/ogg"];
    let _source = ffmpeg_source(&flac, &["-f", "ogg", &server.push_url("/m")]);
    let said = until("a stream", PATIENCE, || {
        let clock = get(&server, "/api/v1/mounts/m/clock");
        if clock.status == 200 { Ok(clock.text()) } else { Err(clock.text()) }
    });
    assert!(said.contains("\"held\":null"), "{said}");
    let answer = get(&server, "/m?clip=1s");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("holds no Opus audio"), "{}", answer.text());
}

#[test]
fn a_clip_spans_the_streams_that_the_ring_holds() {
    let server = server("");
    // The second one takes the mount over, in another format.
    let _sources = [1_u64, 2].map(|channels| {
        let count = channels.to_string();
        let format = [&OPUS[..], &["-ac", &count]].concat();
        let source = ffmpeg_source(&format, &["-f", "ogg", &server.push_url("/m")]);
        until("the stream", PATIENCE, || {
            let status = get(&server, "/api/v1/mounts/m").text();
            when(status.contains(&format!("\"channels\":{channels}")), status)
        });
        wait_for_audio(&server, "/m", Duration::from_secs(channels));
        source
    });
    let directory = tempfile::tempdir().unwrap();
    let file = save(directory.path(), &get(&server, "/m?clip=10s"));
    let said = Command::new("opusinfo").arg(&file).run();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert_eq!(said.matches("New logical stream").count(), 2, "{said}");
    assert!(!said.to_uppercase().contains("WARNING"), "{said}");
}

#[test]
fn a_listener_joins_in_the_past() {
    let server = server("");
    let mut source = Source::connect(&server, "/m", 7);
    source.send(200, 60);
    let (from, to) = wait_for_audio(&server, "/m", Duration::from_secs(3));
    assert!(to - from < 4_000_000);
    // Without a time, it would join near the live edge.
    let at = text(from + 500_000);
    let mut listener = Listener::join(&server, &format!("/m?at={at}"));
    listener.headers();
    let first = listener.number();
    assert!((20..40).contains(&first), "{first}: half a second and the pre-roll is some 30 pages");
}

/// Sends beeps of 50 ms each second to FFmpeg in real time. Each piece of 10 ms is written when it was
/// heard. Returns when the first one was, in microseconds since 1970, and FFmpeg's input, with whose end
/// the stream ends.
fn beep(encoder: &mut Running, seconds: usize) -> (i128, ChildStdin) {
    let mut input = encoder.0.stdin.take().unwrap();
    let began = std::time::Instant::now();
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
    for piece in 0..seconds * 100 {
        let heard = Duration::from_millis(10 * (piece as u64 + 1));
        std::thread::sleep(heard.saturating_sub(began.elapsed()));
        let sample = |n: usize| {
            let at = piece * 480 + n;
            let is_loud = at % RATE < RATE / 20 && at >= RATE;
            let wave = (at as f64 * 2000.0 * std::f64::consts::TAU / RATE as f64).sin();
            if is_loud { (wave * 20_000.0) as i16 } else { 0 }
        };
        let bytes: Vec<u8> = (0..480).flat_map(|n| sample(n).to_le_bytes()).collect();
        input.write_all(&bytes).unwrap();
    }
    (wall.cast_signed(), input)
}

#[test]
fn a_sound_is_found_at_the_time_at_which_it_was_heard() {
    for page in ["20000", "200000", "1000000"] {
        let server = server("");
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "error", "-probesize", "32", "-f", "s16le"]);
        command.args(["-ar", "48000", "-ac", "1", "-i", "-", "-c:a", "libopus", "-b:a", "64k"]);
        command.args(["-page_duration", page, "-content_type", "audio/ogg", "-f", "ogg"]);
        command.arg(server.push_url("/m")).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut encoder = Running::start(&mut command);
        let (began, _input) = beep(&mut encoder, 7);
        let directory = tempfile::tempdir().unwrap();
        for second in [2, 3, 4] {
            let beeps = began + second * 1_000_000;
            let (from, to) = (text(beeps - 300_000), text(beeps + 300_000));
            let file = save(directory.path(), &get(&server, &format!("/m?from={from}&to={to}")));
            let samples = decode(&file);
            let onset = samples.iter().position(|sample| sample.abs() > 5_000).unwrap();
            let error = (onset * 1000 / 48) as i128 - 300_000;
            println!("pages of {page} µs: the beep is {error} µs late");
            assert!(error.abs() <= 50_000, "pages of {page} µs: the beep is {error} µs late");
        }
    }
}

#[test]
fn check_says_how_much_audio_a_ring_holds() {
    let server = server("[[mount]]\nname = \"/long\"\nring = \"5m\"\nring_bitrate = 64000");
    let output = crate::daemon::silvacast().arg("check").arg("--config").arg(server.file()).run();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("  /long: 300 s at 64 kbit/s in"), "{said}");
    assert!(said.contains("  other mounts: 16 s at 96 kbit/s in 256 KiB"), "{said}");
}

#[test]
fn a_clip_tells_where_the_source_sent_nothing() {
    let server = server("[mount-defaults]\ngap_after = \"500ms\"\nhold = \"1m\"\n");
    let url = server.push_url("/m");
    let beginning = [&OPUS[..], &["-t", "2"]].concat();
    let _first = ffmpeg_source(&beginning, &["-f", "ogg", &url]);
    wait_for_audio(&server, "/m", Duration::from_secs(3));
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &url]);
    wait_for_audio(&server, "/m", Duration::from_secs(5));
    let directory = tempfile::tempdir().unwrap();
    let file = save(directory.path(), &get(&server, "/m?clip=10s"));
    let said = Command::new("opusinfo").arg(&file).run();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    let tag = |name| said.lines().filter_map(move |line| line.trim().strip_prefix(name));
    let at = |time: &str| micros(&Value::from(time));
    let date = at(tag("DATE=").next().unwrap());
    let gaps: Vec<_> = tag("GAP=")
        .map(|gap| gap.split_once('/').unwrap())
        .map(|(from, to)| (at(from) - date)..(at(to) - date))
        .filter(|gap| gap.end - gap.start > 100_000)
        .collect();
    assert_eq!(gaps.len(), 1, "{said}");
    let samples = decode(&file);
    let sample = |time: i128| usize::try_from(time * 48 / 1000).unwrap();
    let (from, to) = (sample(gaps[0].start), sample(gaps[0].end));
    let loudest = |part: &[i16]| part.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    // A decoder needs a moment until silence is silent.
    assert!(loudest(&samples[from + RATE / 10..to]) < 10, "{said}");
    assert!(loudest(&samples[from - RATE / 2..from]) > 1000, "{said}");
    assert!(loudest(&samples[to..to + RATE / 2]) > 1000, "{said}");
}
