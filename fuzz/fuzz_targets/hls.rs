//! Pages of any packets, cut into segments of HLS: durations add up, and each fragment is as long as it says.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use ogg_splice::{Codec, Headers, OpusHead, OutputPage, Page, PageHeader, Probe, Splice, Tags};
use silvacast::config::{Config, Environment};
use silvacast::hls::{
    HlsPath, PlaylistKind, SegmentDates, StreamCut, StreamState, fragment_header, initialization,
    list,
};
use silvacast::mount::{Name, PageLog};

fn headers(channels: u8) -> Headers {
    let (pre_skip, input_rate, gain, family, mapping) = (312, 48_000, 0, 0, Vec::new());
    let head = OpusHead { channels, pre_skip, input_rate, gain, family, mapping };
    assert!(initialization(&head).len() < 1000);
    let (tags, pages) = (Tags::default(), [].into());
    Headers { codec: Codec::Opus(head), tags, pages, tags_left_out: 0, serial: 7 }
}

/// What a playlist lists must be what its segments have.
fn check(log: &PageLog, dates: &mut SegmentDates, paused: u64) {
    let mount = Name::new("/mic.opus").expect("a valid name");
    for kind in [PlaylistKind::Plain, PlaylistKind::LowLatency] {
        let state = StreamState { window: 576_000, paused, clock: None };
        let playlist = list(kind, &mount, log, state, dates, |_| true);
        for line in playlist.render("", "").lines().filter(|line| !line.starts_with('#')) {
            assert!(HlsPath::parse(&format!("{mount}/{line}")).is_some(), "{line}");
        }
        for listed in &playlist.streams {
            let stream = log.history.streams().find(|it| it.number == listed.number);
            let stream = stream.expect("a stream of the history");
            let cut = StreamCut::new(&log.ring, stream);
            let has_paused = stream.time_of(1 << 40) != 1 << 40;
            for segment in &listed.segments {
                let times = segment.number * listed.segment..(segment.number + 1) * listed.segment;
                let fragments = cut.fragments(times);
                assert_eq!(segment.is_gap, fragments.is_empty());
                let mut sum = 0;
                for fragment in &fragments {
                    let header = fragment_header(1, fragment.time, &fragment.packets);
                    let size = header.len() as u64 - 8 + 8 + fragment.length();
                    assert!(header.ends_with(b"mdat") && size < 1 << 32);
                    let pieces: u64 = fragment.pieces.iter().map(|it| it.end - it.start).sum();
                    assert_eq!(pieces, fragment.length());
                    sum += fragment.packets.iter().map(|it| u64::from(it.0)).sum::<u64>();
                }
                let Some(duration) = segment.duration else { continue };
                // A pause within the segment counts as time.
                assert!(
                    sum <= duration && (has_paused || sum == duration),
                    "{sum} of {duration} in {segment:?} of {:?}: {:?}",
                    cut.stream(),
                    fragments.iter().map(|it| (it.time, it.packets.len())).collect::<Vec<_>>()
                );
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let text = "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"\n\
                [mount-defaults]\nring = \"128KiB\"\nhls_segment = \"1s\"\nhls_window = \"3s\"\n";
    let config = Config::parse(text, &Environment::default()).expect("a valid configuration");
    let settings = &config.door.rules.defaults;
    let mut log = PageLog::new(settings.ring);
    log.begin(&headers(1), settings);
    let head = |channels| match headers(channels).codec {
        Codec::Opus(head) => head,
        _ => unreachable!("headers of Opus"),
    };
    let mut splice = Splice::new(&head(1), 7, 2, false, Duration::from_secs(1));
    let (mut now, mut dates, mut input) = (Instant::now(), SegmentDates::default(), bytes);
    let mut granule = 0;
    while let [step, count, config, rest @ ..] = input {
        input = rest;
        match step >> 6 {
            0 => {
                splice.end(|page| {
                    log.ring.publish(page);
                    granule = page.granule().unwrap_or(granule);
                });
                log.history.end(log.ring.head(), granule);
                log.begin(&headers(1 + step % 2), settings);
                splice = Splice::new(&head(1 + step % 2), 7, 2, false, Duration::from_secs(1));
                granule = 0;
            }
            1 if step & 32 == 0 => {
                let time = Duration::from_millis(u64::from(*count) * 20);
                log.history.pause(granule, time);
            }
            1 => check(&log, &mut dates, u64::from(*count) * 960),
            _ => {
                let packet = [&[*config][..], &vec![*count; usize::from(*count)]].concat();
                let lacing: Vec<u8> = (0..=packet.len() / 255)
                    .map(|at| (packet.len() - at * 255).min(255) as u8)
                    .collect();
                for _ in 0..=step & 63 {
                    let header = PageHeader { serial: 1, ..PageHeader::default() };
                    let page = OutputPage::new(header, &lacing, &packet).slices().concat();
                    let Probe::Page(page) = Page::probe(&page) else { panic!("not a page") };
                    now += Duration::from_millis(20);
                    splice.push(&page, now, |page| {
                        log.ring.publish(page);
                        granule = page.granule().unwrap_or(granule);
                    });
                }
            }
        }
    }
    check(&log, &mut dates, 0);
});
