//! The audio in HLS: what parsers and decoders of other authors find in it, and that it is the
//! audio of the stream, sample for sample.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::client::{Listener, get};
use crate::daemon::Daemon;
use crate::events::Events;
use crate::fetched::readers;
use crate::hls_reader::{HlsReader, MediaFragment};
use crate::hls_rules::{MediaPlaylist, MediaSegment};
use crate::ogg;
use crate::players::{OPUS, assert_unbroken_tone, ffmpeg_source, finish};
use crate::process::Run;
use crate::readers::node;
use crate::wait::{PATIENCE, until, until_received, when};

/// Samples that a decoder needs after it has joined in mid-stream, before it has the exact audio.
const CONVERGENCE: usize = 9_600;

/// Sends audio faster than it is heard, to a mount that lists all of it. `sound` is a filter of
/// FFmpeg.
fn send(server: &Daemon, mount: &str, sound: &str, seconds: usize, codec: &[&str]) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-f", "lavfi", "-i", &format!("{sound}:d={seconds}")]);
    command.args(["-c:a", "libopus"]).args(codec).args(["-f", "ogg"]);
    let output = command.arg(server.push_url(mount)).run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("muxing overhead"), "{said}");
    server.wait_for_line(&["source-ended", &format!("mount={mount:?}")]);
}

/// A server that keeps two minutes.
fn server() -> Daemon {
    Daemon::with("", "[mount-defaults]\nring = \"4MiB\"\nhls_window = \"2m\"")
}

/// The playlist of a mount, once there is one.
fn playlist(server: &Daemon, mount: &str) -> MediaPlaylist {
    let answer = until("a playlist", PATIENCE, || {
        let answer = get(server, &format!("{mount}/index.m3u8"));
        if answer.status == 200 { Ok(answer) } else { Err(answer.text()) }
    });
    MediaPlaylist::read(&answer.text()).unwrap()
}

/// The samples that FFmpeg decodes from a file, all channels interleaved.
fn decode(file: &Path) -> Vec<i16> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "warning", "-i"]).arg(file);
    let output = finish(command.args(["-f", "s16le", "-ar", "48000", "-"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "FFmpeg complains");
    output.stdout.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// The audio of segments from number `first` of the playlist on, as FFmpeg decodes it from one
/// file.
fn decode_segments(
    server: &Daemon,
    mount: &str,
    playlist: &MediaPlaylist,
    first: usize,
) -> Vec<i16> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.mp4");
    let names = playlist.segments[first..].iter().map(|one| &*one.file.as_ref().unwrap().1);
    let mut bytes = Vec::new();
    for name in [&*playlist.segments[0].map].into_iter().chain(names) {
        let answer = get(server, &format!("{mount}/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        bytes.extend(answer.body);
    }
    std::fs::write(&file, bytes).unwrap();
    decode(&file)
}

#[test]
fn the_segments_have_exactly_the_samples_of_the_stream() {
    let server = server();
    let sound = "anoisesrc=r=48000:a=0.3:seed=7";
    for (mount, channels, codec) in [
        ("/mono.opus", 1, &["-b:a", "64k", "-page_duration", "20000"][..]),
        ("/stereo.opus", 2, &["-b:a", "96k", "-ac", "2", "-frame_duration", "60"]),
    ] {
        send(&server, mount, sound, 66, codec);
        let playlist = playlist(&server, mount);
        assert!(playlist.segments.len() >= 32, "{}", playlist.text);
        let says = (playlist.duration() * 48_000.0).round() as usize;
        let all = decode_segments(&server, mount, &playlist, 0);
        assert_eq!(all.len(), says * channels, "{mount}: samples");

        // The same from the stream, which begins with 312 samples that a decoder discards.
        let mut listener = Listener::join(&server, &format!("{mount}?burst=10m"));
        let (mut bytes, mut granule) = (listener.headers(), 0);
        until_received("all pages", PATIENCE, || {
            let page = listener.page().unwrap();
            granule = ogg::page(&page).granule().unwrap();
            bytes.extend(page);
            when(granule >= says as u64, granule)
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.opus");
        std::fs::write(&file, bytes).unwrap();
        let stream = decode(&file);
        assert_eq!(stream.len(), (granule as usize - 312) * channels, "{mount}");
        let common = (all.len() - 312 * channels).min(stream.len());
        assert!(all[312 * channels..][..common] == stream[..common], "{mount}: other samples");

        // A player joins in the middle, and is exact as soon as its decoder has converged.
        let first = playlist.segments.len() - 5;
        let skipped: f64 = playlist.segments[..first].iter().map(MediaSegment::duration).sum();
        let late = decode_segments(&server, mount, &playlist, first);
        let begin = (skipped * 48_000.0).round() as usize * channels;
        assert_eq!(late.len(), all.len() - begin, "{mount}: samples from the middle");
        let pairs = || late.iter().zip(&all[begin..]).skip(CONVERGENCE * channels);
        let energy: f64 = pairs().map(|(late, _)| f64::from(*late).powi(2)).sum();
        let off: f64 = pairs().map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        assert!(off < energy / 100_000.0, "{mount}: a difference of {off} in {energy}");
    }
}

#[test]
fn a_sine_goes_on_through_all_segments() {
    let server = server();
    send(&server, "/tone.opus", "sine=997:r=48000", 20, &["-b:a", "64k"]);
    let playlist = playlist(&server, "/tone.opus");
    let samples = decode_segments(&server, "/tone.opus", &playlist, 0);
    assert_unbroken_tone("segments", &samples);
}

#[test]
fn the_date_of_a_segment_is_when_its_first_sample_was_heard() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/mic.opus")]);
    let mut reader = HlsReader::join(&server, "/mic.opus");
    until_received("a segment", PATIENCE, || {
        reader.step();
        when(!reader.files.is_empty(), "none")
    });
    // The list of mounts has the clocks.
    let (_, all) = Events::open(&server, "").next();
    let clock = &all["mounts"][0]["clock"];
    let number = |name: &str| clock[name].as_i64().unwrap_or_else(|| panic!("{name}: {clock}"));
    let (segment, fragments) = &reader.files[0];
    let begins = i64::try_from(fragments[0].time).unwrap();
    let heard = number("unix_ms") - (number("granule") - begins) / 48;
    let off = segment.date - heard;
    assert!(off.abs() <= 50, "{off} ms off: {segment:?}, {clock}");
}

/// What Python's `m3u8` says of a playlist.
const M3U8: &str = "
import json, sys, m3u8
def of_file(segment):
    date = round(segment.program_date_time.timestamp() * 1000)
    return segment.duration, segment.init_section.uri, date
playlist = m3u8.load(sys.argv[1])
print(json.dumps({
    'target': playlist.target_duration,
    'sequence': playlist.media_sequence,
    'part_target': playlist.part_inf and playlist.part_inf.part_target,
    'can_block': playlist.server_control.can_block_reload,
    'hint': playlist.preload_hint and playlist.preload_hint.uri,
    'segments': [[one.uri, [part.uri for part in one.parts], *(of_file(one) if one.uri else [])]
        for one in playlist.segments],
}))";

#[test]
fn m3u8_reads_the_playlists() {
    let Some(place) = readers() else { return };
    let server = server();
    send(&server, "/m.opus", "sine=997:r=48000", 13, &["-page_duration", "20000"]);
    for name in ["index.m3u8", "low-latency.m3u8"] {
        let path = format!("/m.opus/{name}");
        let mut command = Command::new(place.join("python/bin/python"));
        command.args(["-c", M3U8, &server.url(&path)]);
        let said: Value = serde_json::from_slice(&finish(&mut command).stdout).unwrap();
        let read = MediaPlaylist::read(&get(&server, &path).text()).unwrap();
        let is_low = name == "low-latency.m3u8";
        assert_eq!((said["target"].as_u64(), &said["hint"]), (Some(2), &read.hint.clone().into()));
        assert_eq!(said["part_target"].as_f64(), read.part_target, "{said}");
        assert_eq!(said["can_block"] == "YES", is_low, "{said}");
        assert_eq!(said["sequence"].as_u64(), Some(read.segments[0].number));
        let segments = said["segments"].as_array().unwrap();
        assert_eq!(segments.len(), read.segments.len());
        for (said, read) in segments.iter().zip(&read.segments) {
            // It knows nothing else of a segment that has only parts yet.
            if let Some((duration, uri)) = &read.file {
                let wanted = serde_json::json!([uri, said[1], duration, read.map, read.date]);
                assert_eq!(said, &wanted);
            }
            let parts: Vec<_> = read.parts.iter().map(|part| &*part.uri).collect();
            assert_eq!(said[1], serde_json::json!(parts));
        }
    }
}

/// What `MP4Box` says of the beginning of a stream and some segments.
const MP4BOX: &str = "
import { createFile, Log, MP4BoxBuffer } from 'mp4box';
Log.setLogLevel(Log.LOG_LEVEL_WARNING);
const [, base, ...names] = process.argv;
const file = createFile();
let info;
file.onReady = (found) => (info = found);
file.onError = (module, message) => { throw new Error(`${module}: ${message}`); };
let at = 0;
for (const name of names) {
  const bytes = await (await fetch(`${base}/${name}`)).arrayBuffer();
  file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(bytes, at));
  at += bytes.byteLength;
}
file.flush();
const [track] = info.tracks;
const known = (box) => [box.type, ...(box.boxes ?? []).flatMap(known)];
const samples = file.getTrackSamplesInfo(track.id);
console.log(JSON.stringify({
  isFragmented: info.isFragmented, codec: track.codec, timescale: track.timescale,
  audio: track.audio, boxes: file.boxes.flatMap(known), length: at,
  samples: samples.map((one) => [one.dts, one.duration, one.size, one.offset, one.is_sync]),
}));";

#[test]
fn mp4box_and_ffprobe_read_the_files() {
    let Some(place) = readers() else { return };
    let server = server();
    send(&server, "/m.opus", "sine=997:r=48000", 13, &["-ac", "2", "-page_duration", "20000"]);
    let playlist = playlist(&server, "/m.opus");
    let files = playlist.segments.iter().map(|one| &*one.file.as_ref().unwrap().1);
    let names: Vec<_> = [&*playlist.segments[0].map].into_iter().chain(files).collect();
    let url = server.url("/m.opus");
    let said = node(&place, MP4BOX, &[&[&*url], &names[..]].concat());
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((&said["codec"], &said["timescale"]), (&"Opus".into(), &48_000.into()));
    assert_eq!(said["isFragmented"], true);
    let audio = serde_json::json!({"sample_rate": 48_000, "channel_count": 2, "sample_size": 16});
    assert_eq!(said["audio"], audio);
    for name in ["ftyp", "moov", "mvex", "trex", "moof", "mfhd", "traf", "tfhd", "tfdt", "trun"] {
        assert!(said["boxes"].as_array().unwrap().contains(&name.into()), "{name}: {said}");
    }
    let mut packets = Vec::new();
    for name in &names[1..] {
        let fragments = MediaFragment::read(&get(&server, &format!("/m.opus/{name}")).body);
        packets.extend(fragments.into_iter().flat_map(|one| one.packets));
    }
    let samples = said["samples"].as_array().unwrap();
    assert_eq!(samples.len(), packets.len());
    let mut time = 0;
    for (sample, (duration, bytes)) in samples.iter().zip(&packets) {
        let wanted = serde_json::json!([time, duration, bytes.len(), sample[3], true]);
        assert_eq!(sample, &wanted);
        time += u64::from(*duration);
    }
    let end = samples.last().map(|last| last[2].as_u64().unwrap() + last[3].as_u64().unwrap());
    assert_eq!(end, said["length"].as_u64(), "the last packet is at the end");

    let mut command = Command::new("ffprobe");
    command.args(["-v", "warning", "-show_streams", "-of", "json"]);
    let output = finish(command.arg(format!("{url}/index.m3u8")));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "ffprobe complains");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stream = &said["streams"][0];
    for (name, value) in [
        ("codec_name", "opus".into()),
        ("sample_rate", "48000".into()),
        ("channels", Value::from(2)),
        ("time_base", "1/48000".into()),
    ] {
        assert_eq!(stream[name], value, "{name}: {said}");
    }
}
