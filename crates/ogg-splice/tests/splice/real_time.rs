//! The stream stays in step with real time, whatever its sources do.

use std::time::Duration;

use ogg_splice::SpliceStats;

use crate::simulation::{Encoder, FRAME, Stream, playing};

#[test]
fn a_source_that_returns_continues_in_real_time() {
    let (mut stream, _) = playing();
    stream.wait(Duration::from_secs(5));
    // The encoder's clock continues, or starts again, or has any value.
    for (granule, serial) in [(7 * 48_000, 2), (0, 3), (1 << 40, 4)] {
        stream.splice.join();
        let mut next = Encoder::new(serial, granule, serial * 1000);
        stream.play(&mut next, 100);
        assert_eq!(stream.packets().last().unwrap()[1..5], (serial * 1000 + 99).to_le_bytes());
        assert!((-20..=20).contains(&stream.behind()), "{} ms behind", stream.behind());
        stream.wait(Duration::from_millis(3_700));
    }
    assert_eq!(stream.packets().len(), 400);
    assert_eq!(stream.stats.late, 0);
}

#[test]
fn a_short_absence_is_filled_with_the_time_that_was_lost() {
    let mut stream = Stream::new();
    let mut first = Encoder::new(1, 0, 0);
    stream.play(&mut first, 10);
    stream.wait(Duration::from_millis(400));
    stream.splice.join();
    stream.play(&mut Encoder::new(2, 0, 100), 10);
    assert_eq!(stream.stats, SpliceStats { silence: 400 * 48, late: 0 });
    // A takeover while the old source still sends: no time was lost, and the joint is one frame.
    stream.splice.join();
    stream.play(&mut Encoder::new(3, 0, 200), 10);
    assert_eq!(stream.stats, SpliceStats { silence: 420 * 48, late: 0 });
}

#[test]
fn late_audio_after_silence_is_dropped_and_the_rest_is_in_its_place() {
    let (mut stream, mut source) = playing();
    stream.wait(Duration::from_secs(3));
    // Three seconds at once, and then real time again.
    stream.push_at_once(&mut source, 150);
    stream.play(&mut source, 100);
    assert!(stream.stats.silence.abs_diff(stream.stats.late) <= FRAME, "{:?}", stream.stats);
    assert!((2_900 * 48..=3_200 * 48).contains(&stream.stats.late), "{:?}", stream.stats);
    assert!((-20..=20).contains(&stream.behind()), "{} ms behind", stream.behind());
}

#[test]
fn a_stall_shorter_than_a_gap_loses_nothing() {
    let (mut stream, mut source) = playing();
    stream.wait(Duration::from_millis(900));
    stream.push_at_once(&mut source, 45);
    stream.play(&mut source, 100);
    assert_eq!((stream.stats, stream.packets().len()), (SpliceStats::default(), 245));
}

#[test]
fn a_source_that_lost_time_without_a_jump_of_its_granule_is_heard_again() {
    let (mut stream, mut source) = playing();
    // Stopped for 20 s; its granule position continues as if no time had passed.
    stream.wait(Duration::from_secs(20));
    stream.play(&mut source, 100);
    assert!(stream.stats.late <= 240 * 48, "{:?}", stream.stats);
    assert!((-20..=20).contains(&stream.behind()), "{} ms behind", stream.behind());
}

#[test]
fn a_backlog_cannot_push_listeners_behind() {
    let (mut stream, _) = playing();
    stream.wait(Duration::from_secs(5));
    stream.splice.join();
    let mut source = Encoder::new(2, 0, 1000);
    // A new connection begins with two seconds of audio that its encoder has kept.
    stream.push_at_once(&mut source, 100);
    stream.play(&mut source, 1000);
    assert!((-220..=20).contains(&stream.behind()), "{} ms behind", stream.behind());
    assert!(stream.stats.late >= 1_780 * 48, "{:?}", stream.stats);
}

#[test]
fn a_hole_is_filled_only_as_far_as_real_time_was_lost() {
    let (mut stream, mut source) = playing();
    // The granule position jumps by a minute, and no time was lost.
    source.granule += 60 * 48_000;
    stream.play(&mut source, 100);
    assert_eq!(stream.stats, SpliceStats::default());
    // The encoder dropped half a second of packets.
    source.granule += 24_000;
    stream.wait(Duration::from_millis(500));
    stream.play(&mut source, 100);
    assert_eq!(stream.stats, SpliceStats { silence: 24_000, late: 0 });
    // The granule position jumps back to 0.
    source.granule = 0;
    stream.play(&mut source, 100);
    assert_eq!((stream.stats.silence, stream.packets().len()), (24_000, 400));
}

#[test]
fn after_a_standstill_of_server_and_source_nothing_is_inserted() {
    let (mut stream, mut source) = playing();
    // The machine slept and its source too: no time passed for either.
    stream.splice.stood_still(Duration::from_mins(10), stream.now);
    stream.wait(Duration::ZERO);
    stream.play(&mut source, 200);
    assert_eq!((stream.stats, stream.packets().len()), (SpliceStats::default(), 300));
}

#[test]
fn audio_that_arrived_while_the_server_stood_still_is_not_lost() {
    for milliseconds in [500, 1_500, 5_000, 12_000, 60_000] {
        for (lost_time_before, kept_waiting) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let (mut stream, mut source) = playing();
            if lost_time_before {
                // Such a source may not catch up; but this time the server lost it, not the source.
                stream.wait(Duration::from_secs(3));
                stream.splice.join();
                source = Encoder::new(2, 0, 100);
                stream.play(&mut source, 600);
            }
            let before = (stream.stats, stream.packets().len());
            stream.splice.stood_still(Duration::from_millis(milliseconds), stream.now);
            let mut backlog = milliseconds as u32 / 20;
            if kept_waiting {
                // Its kernel probes for room only after half as long again; by then it has sent
                // more.
                stream.now += Duration::from_millis(milliseconds / 2);
                stream.heard = stream.now;
                backlog += milliseconds as u32 / 40;
            }
            stream.push_at_once(&mut source, backlog);
            stream.play(&mut source, 600);
            let after = (stream.stats, stream.packets().len());
            let case = format!("{milliseconds} ms, {lost_time_before}, {kept_waiting}");
            assert_eq!(after, (before.0, before.1 + backlog as usize + 600), "{case}");
        }
    }
}

#[test]
fn a_standstill_excuses_a_backlog_only_for_a_while() {
    let (mut stream, mut source) = playing();
    stream.wait(Duration::from_secs(3));
    stream.play(&mut source, 700);
    stream.splice.stood_still(Duration::from_mins(1), stream.now);
    stream.play(&mut source, 4_000);
    let late = stream.stats.late;
    // A minute of audio at once, long after the standstill: the source has kept it, not the server.
    stream.push_at_once(&mut source, 3_000);
    assert!(stream.stats.late - late > 55 * 48_000, "{:?}", stream.stats);
}
