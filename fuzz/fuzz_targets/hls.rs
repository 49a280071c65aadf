//! Pages of any packets, cut into segments of HLS and into clips: durations add up, and each fragment and
//! each file is as long as it says.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use ogg_splice::{Codec, Headers, OpusHead, OutputPage, Page, PageHeader, Probe, Splice, Tags};
use silvacast::clip::{ClipCut, ClipReader, ClipSize, ClipSpan};
use silvacast::config::{Config, Environment};
use silvacast::hls::{
    HlsPath, PlaylistKind, SegmentDates, StreamCut, StreamState, fragment_header, initialization,
    list,
};
use silvacast::mount::{Name, PageLog};
use silvacast::wall_clock::Steady;

fn headers(channels: u8) -> Headers {
    let (pre_skip, input_rate, gain, family, mapping) = (312, 48_000, 0, 0, Vec::new());
    let head = OpusHead { channels, pre_skip, input_rate, gain, family, mapping };
    assert!(initialization(&head).len() < 1000);
    let (tags, pages) = (Tags::default(), [].into());
    Headers { codec: Codec::Opus(head), tags, pages, tags_left_out: 0, serial: 7 }
}

/// A clip has the samples that it says, in valid pages, and the length that was measured.
fn check_clip(log: &PageLog, span: ClipSpan) {
    let Ok(clip) = ClipCut::of(log, span) else { return };
    let mut reader = ClipReader::new(&clip, 7, |_| vec!["TITLE=a clip".to_owned()]);
    let mut size = ClipSize::new(reader.clone());
    let length = loop {
        if let Some(length) = size.measure(log).expect("nothing is published meanwhile") {
            break length;
        }
    };
    let mut file = Vec::new();
    while let Some(pages) = reader.next_page(log).expect("nothing is published meanwhile") {
        file.extend(pages);
    }
    assert_eq!(file.len() as u64, length);
    let (mut rest, mut heard, mut ends) = (&file[..], 0, 0);
    while !rest.is_empty() {
        let Probe::Page(page) = Page::probe(rest) else { panic!("not a page") };
        rest = &rest[page.bytes().len()..];
        if page.is_last() {
            let part = &clip.parts[ends];
            let granule = page.granule().expect("a packet ends on the last page");
            heard += granule - u64::from(part.head.pre_skip);
            ends += 1;
        }
    }
    assert_eq!(ends, clip.parts.len(), "each stream ends");
    let wanted: u64 = clip.parts.iter().map(|it| it.samples.end - it.samples.start).sum();
    assert_eq!(heard, wanted);
}

/// What a playlist lists must be what its segments have.
fn check(log: &PageLog, dates: &mut SegmentDates, paused: u64) {
    let mount = Name::new("/mic.opus").expect("a valid name");
    for kind in [PlaylistKind::Plain, PlaylistKind::LowLatency] {
        let state = StreamState { window: 576_000, paused };
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
    let start = Instant::now();
    let (mut now, mut dates, mut input) = (start, SegmentDates::default(), bytes);
    let mut granule = 0;
    let began = Steady::now();
    let at = |now: Instant| Steady(began.0 + now.duration_since(start).as_micros() as i64);
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
            1 if step & 16 == 0 => {
                let time = |steps: u8| Duration::from_millis(u64::from(steps) * 50);
                check_clip(&log, ClipSpan::Last(time(*count)));
                let from = at(start).utc().after(time(*config));
                check_clip(&log, ClipSpan::Between(from, from.after(time(*count))));
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
                    log.history.published(granule, at(now), Duration::ZERO);
                }
            }
        }
    }
    check(&log, &mut dates, 0);
    check_clip(&log, ClipSpan::Last(Duration::from_secs(60)));
});
