//! Playlists and segments of streams that are published to a page log.

use std::time::Duration;

use ogg_splice::{Codec, Headers, OpusHead, OutputPage, PageHeader, Tags};

use super::*;
use crate::config::{Config, Environment};
use crate::mount::{MountSettings, Name, PageLog, StreamRecord};
use crate::wall_clock::Steady;

const SECOND: u64 = 48_000;
/// Packets of 20, 10, 60 and 100 ms.
const P20: &[u8] = &[0xf8, 1, 2, 3];
const P10: &[u8] = &[0xf0, 1];
const P60: &[u8] = &[0x18, 1, 2];
const P100: &[u8] = &[0xfb, 5, 1];

/// A mount whose source sends pages.
struct Mount {
    log: PageLog,
    settings: MountSettings,
    granule: u64,
    serial: u32,
    dates: SegmentDates,
    began: Steady,
}

impl Mount {
    fn new(more: &str) -> Self {
        let text = format!(
            "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"\n[mount-defaults]\n{more}\n"
        );
        let config = Config::parse(&text, &Environment::default()).unwrap();
        let settings = MountSettings::clone(&config.door.rules.defaults);
        let (log, dates) = (PageLog::new(settings.ring), SegmentDates::default());
        let mut mount = Self { log, settings, granule: 0, serial: 6, dates, began: Steady::now() };
        mount.begin(1);
        mount
    }

    fn begin(&mut self, channels: u8) {
        let (pre_skip, input_rate, gain, family) = (312, 48_000, 0, 0);
        let mapping = Vec::new();
        let codec = Codec::Opus(OpusHead { channels, pre_skip, input_rate, gain, family, mapping });
        self.serial += 1;
        self.granule = 0;
        let (tags, pages, serial) = (Tags::default(), [].into(), self.serial);
        let headers = Headers { codec, tags, pages, tags_left_out: 0, serial };
        self.log.begin(&headers, &self.settings);
    }

    /// Publishes this many pages with one packet each.
    fn push(&mut self, packet: &[u8], pages: usize) {
        let samples = ogg_splice::packet_samples(packet).unwrap();
        for _ in 0..pages {
            self.granule += samples;
            let header = PageHeader { granule: self.granule, ..PageHeader::default() };
            self.log.ring.publish(&OutputPage::new(header, &[packet.len() as u8], packet));
            let heard = self.heard(self.granule);
            self.log.history.published(self.granule, heard, Duration::ZERO);
        }
    }

    /// When a granule position was heard.
    fn heard(&self, granule: u64) -> Steady {
        Steady(self.began.0 + (granule * 1000 / 48).cast_signed())
    }

    fn list(&mut self, kind: PlaylistKind, paused: u64) -> Playlist {
        let window = samples_of(self.settings.hls.window);
        let state = StreamState { window, paused };
        let name = Name::new("/m").unwrap();
        list(kind, &name, &self.log, state, &mut self.dates, |_| true)
    }

    fn stream(&self) -> &StreamRecord {
        self.log.history.streams().next_back().unwrap()
    }
}

fn samples_of(time: Duration) -> u64 {
    crate::mount::samples(time)
}

/// Numbers and durations of the complete segments of the last stream.
fn durations(playlist: &Playlist) -> Vec<(u64, u64)> {
    let segments = playlist.streams.last().unwrap().segments.iter();
    segments.filter_map(|segment| Some((segment.number, segment.duration?))).collect()
}

#[test]
fn durations_add_up_whatever_the_packets() {
    for packet in [P10, P20, P60, P100] {
        let mut mount = Mount::new("");
        let samples = ogg_splice::packet_samples(packet).unwrap();
        mount.push(packet, (11 * SECOND / samples) as usize);
        let playlist = mount.list(PlaylistKind::Plain, 0);
        let listed = durations(&playlist);
        assert_eq!(listed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let total: u64 = listed.iter().map(|(_, duration)| duration).sum();
        assert_eq!(total, (10 * SECOND).next_multiple_of(samples), "{samples}");
        let cut = StreamCut::new(&mount.log.ring, mount.stream());
        let mut next = 0;
        for (number, duration) in listed {
            let fragments = cut.fragments(number * 2 * SECOND..(number + 1) * 2 * SECOND);
            let [fragment] = &fragments[..] else { panic!("{fragments:?}") };
            assert_eq!(fragment.time, next, "{samples} {number}");
            let sum: u64 = fragment.packets.iter().map(|(samples, _)| u64::from(*samples)).sum();
            assert_eq!(sum, duration);
            next += sum;
        }
    }
}

#[test]
fn a_playlist_lists_its_window_and_no_more_than_the_ring_holds() {
    let mut mount = Mount::new("");
    mount.push(P20, 50 * 101);
    let plain = mount.list(PlaylistKind::Plain, 0);
    assert_eq!(
        durations(&plain).iter().map(|it| it.0).collect::<Vec<_>>(),
        [44, 45, 46, 47, 48, 49]
    );
    let mut small = Mount::new("ring = \"128KiB\"\nhls_window = \"2m\"\nhls_segment = \"1s\"");
    small.push(&[&[0xf8], &[0; 199][..]].concat(), 50 * 200);
    let listed = durations(&small.list(PlaylistKind::Plain, 0));
    // 110 KiB hold 9.8 s of pages of 228 bytes, and the oldest segment is about to go.
    assert_eq!(listed.first().unwrap().0, 192, "{listed:?}");
    assert_eq!(listed.last().unwrap().0, 199);
}

#[test]
fn low_latency_lists_parts_near_the_end_and_hints_at_the_next() {
    let mut mount = Mount::new("");
    mount.push(P20, 50 * 20 + 25);
    let playlist = mount.list(PlaylistKind::LowLatency, 0);
    let segments = &playlist.streams[0].segments;
    let parts: Vec<_> = segments.iter().map(|segment| segment.parts.len()).collect();
    assert_eq!(parts, [0, 0, 0, 0, 9, 9, 2], "a segment of 2 s has 8 parts of 240 ms and the rest");
    for segment in segments.iter().filter(|segment| !segment.parts.is_empty()) {
        let sum: u64 = segment.parts.iter().map(|part| part.duration).sum();
        assert_eq!(segment.duration.unwrap_or(2 * PART), sum);
    }
    let text = playlist.render("mic.opus/", "?token=t");
    let stream = StreamId::of(mount.stream());
    let hint = format!("TYPE=PART,URI=\"mic.opus/{stream}-10.2.m4s?token=t\"");
    assert!(text.trim_end().ends_with(&hint), "{text}");
    assert!(text.contains(&format!("#EXT-X-MAP:URI=\"mic.opus/{stream}-init.mp4?token=t\"\n")));
    let date = mount.heard(segments[0].number * 2 * SECOND).utc().micros();
    assert!(segments[0].date.abs_diff(date / 1000) <= 1, "{} {date}", segments[0].date);
    let first = playlist.streams[0].first_segment;
    let missing = |segment, part| playlist.missing(Awaited { segment: first + segment, part });
    assert_eq!(missing(0, None), Ok(None));
    assert_eq!(missing(9, Some(9)), Ok(None), "the first part of the next one");
    assert_eq!(missing(9, Some(20)), Err(FarAhead));
    assert_eq!(missing(10, Some(1)), Ok(None));
    assert_eq!(missing(10, Some(2)), Ok(Some(3 * PART - SECOND / 2)));
    assert_eq!(missing(10, Some(u64::MAX)), Err(FarAhead));
    assert_eq!(missing(10, Some(9)), Ok(Some(3 * SECOND / 2 + PART)));
    assert_eq!(missing(11, None), Ok(Some(7 * SECOND / 2)));
    assert_eq!(missing(12, None), Err(FarAhead));
    assert_eq!(playlist.missing(Awaited { segment: 0, part: None }), Ok(None));
}

#[test]
fn parts_are_equally_long_whatever_the_packets() {
    for (packet, target) in [(P10, "0.280"), (P20, "0.280"), (P60, "0.280"), (P100, "0.233")] {
        let mut mount = Mount::new("");
        let samples = ogg_splice::packet_samples(packet).unwrap();
        mount.push(packet, (11 * SECOND / samples) as usize);
        let playlist = mount.list(PlaylistKind::LowLatency, 0);
        assert!(playlist.render("", "").contains(&format!("PART-TARGET={target}\n")), "{samples}");
        let segments = playlist.streams[0].segments.iter();
        for parts in segments.map(|segment| &segment.parts).filter(|parts| parts.len() > 1) {
            let (last, others) = parts.split_last().unwrap();
            assert!(others.iter().all(|part| part.duration == others[0].duration), "{samples}");
            assert!(last.duration <= others[0].duration, "{samples}");
        }
    }
}

#[test]
fn another_stream_is_a_discontinuity_and_numbers_go_on() {
    let mut mount = Mount::new("");
    mount.push(P20, 50 * 5);
    mount.log.history.end(mount.log.ring.head(), mount.granule);
    mount.begin(2);
    mount.push(P20, 50 * 5);
    let playlist = mount.list(PlaylistKind::Plain, 0);
    let [first, second] = &playlist.streams[..] else { panic!("{playlist:?}") };
    let lengths = |stream: &ListedStream| -> Vec<_> {
        stream.segments.iter().map(|segment| segment.duration.unwrap() / SECOND).collect()
    };
    assert_eq!((lengths(first), lengths(second)), (vec![2, 2, 1], vec![2, 2]));
    assert_eq!(second.first_segment, first.first_segment + 3);
    let text = playlist.render("", "");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    assert_eq!(text.matches("#EXT-X-MAP:").count(), 2);
    mount.push(P20, 50 * 20);
    let later = mount.list(PlaylistKind::Plain, 0).render("", "");
    assert!(later.contains(&format!("#EXT-X-DISCONTINUITY-SEQUENCE:{}\n", second.number)));
}

#[test]
fn time_goes_on_while_a_stream_stands_still() {
    let mut mount = Mount::new("gap = \"pause\"");
    mount.push(P20, 50 * 5);
    let gaps = |playlist: &Playlist| -> Vec<_> {
        playlist.streams[0].segments.iter().map(|segment| segment.is_gap).collect()
    };
    let paused = mount.list(PlaylistKind::Plain, 5 * SECOND + 100);
    assert_eq!(gaps(&paused), [false, false, false, true, true]);
    assert_eq!(paused.render("", "").matches("#EXT-X-GAP\n").count(), 2);
    mount.log.history.pause(mount.granule, Duration::from_millis(5_010));
    mount.push(P20, 50 * 3);
    let after = mount.list(PlaylistKind::Plain, 0);
    assert_eq!(gaps(&after), [false, false, false, true, true, false]);
    let total: u64 = durations(&after).iter().map(|(_, duration)| duration).sum();
    // Twelve seconds, and up to a packet.
    assert!((12 * SECOND..12 * SECOND + 960).contains(&total), "{total}");
    let cut = StreamCut::new(&mount.log.ring, mount.stream());
    let times = |segment: u64| -> Vec<_> {
        let fragments = cut.fragments(segment * 2 * SECOND..(segment + 1) * 2 * SECOND);
        fragments.iter().map(|fragment| (fragment.time, fragment.packets.len())).collect()
    };
    assert_eq!(times(2), [(4 * SECOND, 50)]);
    assert_eq!(times(3), []);
    assert_eq!(times(5), [(10 * SECOND + 480, 100)]);
}
