//! What HLS makes of streams of every kind: pages and packets of all lengths, sources that restart,
//! pause, are replaced, or come back with other channels.

use std::thread;

use nix::sys::signal::Signal;

use crate::client::Source;
use crate::daemon::Daemon;
use crate::hls_reader::HlsReader;
use crate::players::ffmpeg_source;
use crate::process::Running;
use crate::wait::{PATIENCE, until_received, when};

/// FFmpeg that sends a tone in packets and pages of these durations, in milliseconds and
/// microseconds.
fn source(server: &Daemon, mount: &str, packet: &str, page: &str, more: &[&str]) -> Running {
    let codec = ["-c:a", "libopus", "-frame_duration", packet, "-page_duration", page];
    ffmpeg_source(&[&codec, more].concat(), &["-f", "ogg", &server.push_url(mount)])
}

/// Reads until so many complete segments have been checked.
fn read(reader: &mut HlsReader<'_>, segments: usize) {
    let before = reader.files.len();
    until_received("complete segments", PATIENCE, || {
        reader.step();
        when(reader.files.len() >= before + segments, reader.files.len())
    });
}

#[test]
fn pages_and_packets_of_every_duration_make_correct_playlists() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"1s\"");
    let each = |(mount, packet, page): (&str, &str, &str)| {
        let _source = source(&server, mount, packet, page, &[]);
        let mut reader = HlsReader::join(&server, mount);
        read(&mut reader, 4);
        assert!(reader.date_steps.is_empty(), "{mount}: {:?}", reader.date_steps);
    };
    at_once(
        [
            ("/usual.opus", "20", "20000"),
            ("/seconds.opus", "20", "1000000"),
            ("/long.opus", "60", "60000"),
            ("/longest.opus", "120", "120000"),
            ("/short.opus", "2.5", "20000"),
        ],
        each,
    );
}

#[test]
fn packets_of_100_ms_make_correct_playlists() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"1s\"");
    let _source = source(&server, "/odd.opus", "100", "100000", &[]);
    read(&mut HlsReader::join(&server, "/odd.opus"), 2);
}

#[test]
fn playlists_stay_correct_when_a_source_restarts() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"200ms\"");
    let first = source(&server, "/m.opus", "20", "20000", &[]);
    let mut reader = HlsReader::join(&server, "/m.opus");
    read(&mut reader, 2);
    first.signal(Signal::SIGKILL);
    server.wait_for_line(&["source-ended"]);
    let _second = source(&server, "/m.opus", "20", "20000", &[]);
    read(&mut reader, 3);
    assert_eq!(maps(&reader), 1, "one stream");
}

#[test]
fn playlists_stay_correct_in_a_gap_of_ten_seconds() {
    let settings =
        "[mount-defaults]\ngap_after = \"200ms\"\n[[mount]]\nname = \"/pause*\"\ngap = \"pause\"";
    let server = Daemon::with("", settings);
    let each = |(mount, page): (&str, &str)| {
        let first = source(&server, mount, "20", page, &[]);
        let mut reader = HlsReader::join(&server, mount);
        reader.pauses = mount.starts_with("/pause");
        read(&mut reader, 2);
        first.signal(Signal::SIGKILL);
        server.wait_for_line(&["gap-began", &format!("mount={mount:?}")]);
        // The segments are the clock.
        read(&mut reader, 5);
        let _second = source(&server, mount, "20", page, &[]);
        read(&mut reader, 3);
        let gaps = reader.files.iter().filter(|(segment, _)| segment.is_gap).count();
        assert_eq!(gaps >= 4, mount.starts_with("/pause"), "{mount}: {gaps} segments are gaps");
        assert_eq!(maps(&reader), 1, "one stream");
        eprintln!("{mount}: dates step by {:?} ms", reader.date_steps);
        // A page of audio arrives when its end was heard.
        let most = if page == "20000" { 150 } else { 1_150 };
        assert!(reader.date_steps.values().all(|step| step.abs() < most), "{mount}");
        for (segment, fragments) in &reader.files {
            assert_eq!(fragments.is_empty(), segment.is_gap, "{mount}: {segment:?}");
        }
    };
    at_once(
        [
            ("/silence.opus", "20000"),
            ("/pause.opus", "20000"),
            ("/silence-seconds.opus", "1000000"),
            ("/pause-seconds.opus", "1000000"),
        ],
        each,
    );
}

#[test]
fn numbers_go_on_when_a_stream_ends_in_a_pause() {
    let settings = "[mount-defaults]\ngap_after = \"200ms\"\ngap = \"pause\"\nhls_segment = \"1s\"";
    let server = Daemon::with("", settings);
    let first = source(&server, "/m.opus", "20", "20000", &["-ac", "1"]);
    let mut reader = HlsReader::join(&server, "/m.opus");
    reader.pauses = true;
    read(&mut reader, 2);
    first.signal(Signal::SIGKILL);
    server.wait_for_line(&["gap-began"]);
    read(&mut reader, 5);
    let _second = source(&server, "/m.opus", "20", "20000", &["-ac", "2"]);
    server.wait_for_line(&["stream-chained"]);
    read(&mut reader, 4);
    assert_eq!(maps(&reader), 2);
    assert!(reader.files.iter().filter(|(segment, _)| segment.is_gap).count() >= 3);
}

#[test]
fn a_pause_within_a_segment_makes_a_second_fragment() {
    let settings = "[mount-defaults]\ngap_after = \"200ms\"\ngap = \"pause\"";
    let server = Daemon::with("", settings);
    let mut source = Source::connect(&server, "/m.opus", 1);
    source.send(30, 100);
    let mut reader = HlsReader::join(&server, "/m.opus");
    reader.pauses = true;
    server.wait_for_line(&["gap-began"]);
    source.send(200, 100);
    read(&mut reader, 1);
    let (_, fragments) = &reader.files[0];
    assert_eq!((fragments.len(), fragments[0].packets.len()), (2, 30));
}

#[test]
fn playlists_stay_correct_when_another_source_takes_over_or_has_other_channels() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"1s\"");
    let each = |(mount, page, more): (&str, &str, &[&str])| {
        let _first = source(&server, mount, "20", page, &[]);
        let mut reader = HlsReader::join(&server, mount);
        read(&mut reader, 2);
        let _second = source(&server, mount, "20", page, more);
        server.wait_for_line(&["took the mount over", &format!("mount={mount:?}")]);
        read(&mut reader, 4);
        assert_eq!(maps(&reader), if more.is_empty() { 1 } else { 2 }, "{mount}");
    };
    let stereo = ["-ac", "2"];
    at_once(
        [
            ("/taken.opus", "20000", &[][..]),
            ("/taken-seconds.opus", "1000000", &[]),
            ("/stereo.opus", "20000", &stereo),
            ("/stereo-seconds.opus", "1000000", &stereo),
        ],
        each,
    );
}

/// Does something with each case, in a thread for each.
fn at_once<T: Send, const N: usize>(cases: [T; N], each: impl Fn(T) + Copy + Send) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || each(case));
        }
    });
}

/// How many beginnings of streams the segments that were read have.
fn maps(reader: &HlsReader<'_>) -> usize {
    let mut maps: Vec<_> = reader.files.iter().map(|(segment, _)| &segment.map).collect();
    maps.dedup();
    maps.len()
}
