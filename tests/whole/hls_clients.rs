//! The HLS clients of the benchmark (`benches/fanout`), which `scale.rs` uses too.

#[path = "../../benches/fanout/hls_player.rs"]
mod hls_player;
#[path = "../../benches/fanout/http_response.rs"]
mod http_response;

use std::time::{Duration, Instant};

pub(crate) use hls_player::{HlsPlayer, MediaPlaylist};
use hls_player::{NextStep, Playback};
use http_response::{ResponseReader, WholeResponse};

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n";

/// A playlist of whole segments with these numbers.
fn plain(numbers: std::ops::Range<u64>) -> MediaPlaylist {
    let first = numbers.start;
    let segments: Vec<_> =
        numbers.map(|number| format!("#EXTINF:2.000000,\n{number}.m4s\n")).collect();
    let segments = segments.concat();
    let map = "#EXT-X-MAP:URI=\"init.mp4\"\n";
    let text = format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:{first}\n{map}{segments}");
    MediaPlaylist::parse(&text).unwrap()
}

fn names(step: &NextStep) -> Vec<&str> {
    step.files.iter().map(|file| &*file.uri).collect()
}

#[test]
fn a_plain_player_fetches_each_segment_once() {
    let mut player = HlsPlayer::new(false);
    assert_eq!(player.playlist(), "index.m3u8");
    let step = player.read(&plain(10..16));
    assert_eq!(names(&step), ["init.mp4", "13.m4s", "14.m4s", "15.m4s"]);
    assert_eq!(step.reload_after, Duration::from_secs(2));
    let step = player.read(&plain(10..16));
    assert_eq!((names(&step), step.reload_after), (vec![], Duration::from_secs(1)));
    assert_eq!(names(&player.read(&plain(11..17))), ["16.m4s"]);
    assert_eq!((player.next_segment(), player.lost), (17, 0));
    assert_eq!(names(&player.read(&plain(20..21))), ["20.m4s"]);
    assert_eq!((player.next_segment(), player.lost), (21, 3));
}

#[test]
fn a_low_latency_player_fetches_each_part_once() {
    let part = |segment: u64, part: u64| {
        format!("#EXT-X-PART:DURATION=0.24,URI=\"{segment}.{part}.m4s\",INDEPENDENT=YES\n")
    };
    let playlist = |open: u64| {
        let parts: String = (0..open).map(|number| part(8, number)).collect();
        let text = format!(
            "{HEAD}#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"init.mp4\"\n{}#EXTINF:2,\n7.m4s\n{parts}",
            part(7, 0)
        );
        MediaPlaylist::parse(&text).unwrap()
    };
    let mut player = HlsPlayer::new(true);
    assert_eq!(player.playlist(), "low-latency.m3u8");
    assert_eq!(names(&player.read(&playlist(1))), ["init.mp4", "8.0.m4s"]);
    assert_eq!(player.playlist(), "low-latency.m3u8?_HLS_msn=8&_HLS_part=1");
    assert_eq!(names(&player.read(&playlist(3))), ["8.1.m4s", "8.2.m4s"]);
    let whole = format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:8\n{}#EXTINF:2,\n8.m4s\n", part(8, 0));
    assert_eq!(names(&player.read(&MediaPlaylist::parse(&whole).unwrap())), [""; 0]);
    assert_eq!(player.playlist(), "low-latency.m3u8?_HLS_msn=9&_HLS_part=0");
    assert_eq!(player.lost, 0);
}

#[test]
fn gaps_are_not_fetched_and_a_new_stream_has_a_new_beginning() {
    let text = format!(
        "{HEAD}#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"a.mp4\"\n#EXTINF:2,\n1.m4s\n\
         #EXT-X-GAP\n#EXTINF:2,\n2.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"b.mp4\"\n\
         #EXTINF:2,\n3.m4s\n"
    );
    let step = HlsPlayer::new(false).read(&MediaPlaylist::parse(&text).unwrap());
    assert_eq!(names(&step), ["a.mp4", "1.m4s", "b.mp4", "3.m4s"]);
}

#[test]
fn what_is_not_a_playlist_is_an_error() {
    for text in ["", "no", HEAD, &format!("{HEAD}#EXTINF:x,\n1.m4s\n")] {
        assert!(MediaPlaylist::parse(text).is_err(), "{text}");
    }
}

#[test]
fn audio_that_comes_too_late_is_counted() {
    let (mut playback, start) = (Playback::default(), Instant::now());
    let (second, mut at) = (Duration::from_secs(1), start);
    for (pause, late) in [(0, 0), (1, 0), (1, 0), (3, 1), (1, 1), (2, 2)] {
        at += second * pause;
        playback.add(second, at);
        assert_eq!(playback.late, late);
    }
}

#[test]
fn responses_are_read_however_they_are_cut() {
    let text = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nA: b\r\n\r\nhello";
    for piece in 1..=text.len() {
        let mut reader = ResponseReader::default();
        for _ in 0..2 {
            let read = text.chunks(piece).map(|bytes| reader.push(bytes).unwrap());
            let mut read: Vec<_> = read.collect();
            let body = b"hello".to_vec();
            let whole = WholeResponse { status: 200, length: text.len(), body };
            assert_eq!(read.pop().unwrap(), Some(whole), "in pieces of {piece}");
            assert!(read.iter().all(Option::is_none));
        }
    }
}

#[test]
fn a_response_without_a_length_is_an_error() {
    for text in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 x\r\nContent-Length: 1\r\n\r\n"] {
        assert!(ResponseReader::default().push(text.as_bytes()).is_err(), "{text}");
    }
    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab";
    assert!(ResponseReader::default().push(long).is_err());
}
