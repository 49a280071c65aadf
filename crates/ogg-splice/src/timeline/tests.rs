//! The state machine as a table: state and event, then state and placement. Longer stories, with
//! pages and silence, are in `tests/splice`.

use super::*;

/// Duration of each piece of audio: one packet of 20 ms.
const PAGE: u64 = FRAME;
const SECOND: u64 = 48_000;
const GAP_AFTER: Duration = Duration::from_secs(1);

/// The state before an event. Unless it says otherwise, the stream is one second long and ends in
/// audio, and its live edge is at that end when the scene begins.
#[derive(Clone, Copy, Debug)]
enum Before {
    NoAudio,
    /// A gap showed before the first audio.
    GapWithoutAudio,
    /// A source began.
    Begins,
    BeginsAfterSilence,
    /// A source is followed, and held to real time.
    Follows,
    /// A source is followed that may be faster than real time.
    FollowsFree,
    /// As `Follows`; silence has taken the place of the source's next second.
    BehindSilence,
    /// As `Follows`; the stream is 200 ms ahead of live.
    Ahead,
    AheadFree,
    /// As `BehindSilence`; late since the scene began, and the stream is a second ahead of live
    /// after a second.
    SettledAhead,
    /// As `BehindSilence`, and late by that second since then.
    TooLate,
}

/// What is compared of the state after an event; positions are samples after the first second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Unset(Pace),
    Joining,
    Following(u64, Pace),
    Late(u64),
}

/// What happens, after some milliseconds in which nothing does.
#[derive(Clone, Copy, Debug)]
enum Event {
    Join,
    Resume,
    /// A page of audio, and how many samples the source left out before it.
    Audio(u64),
    /// The same with a page of another length.
    Long {
        samples: u64,
        hole: u64,
    },
    /// The process was suspended for as many milliseconds, and a page arrives as well.
    AudioAfterSuspension(u64),
}

/// What becomes of an event's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The event has no audio.
    NoAudioCame,
    /// After as many samples of silence.
    Append(u64),
    Discard,
}

use self::Before::{
    Ahead, AheadFree, Begins, BeginsAfterSilence, BehindSilence, Follows, FollowsFree,
    GapWithoutAudio, NoAudio, SettledAhead, TooLate,
};
use self::Event::{Audio, AudioAfterSuspension, Join, Long, Resume};
use self::Outcome::{Append, Discard, NoAudioCame};
use super::Pace::{Free, RealTime};

/// What a row promises; milliseconds before the event; whether gaps are filled.
type Row = (&'static str, Before, u64, bool, Event, Outcome, After);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // No audio yet.
    ("the first audio is live", NoAudio, 5_000, true, Audio(0), Append(0), After::Following(PAGE, Free)),
    ("a hole before the first audio is nothing", NoAudio, 0, true, Audio(SECOND), Append(0), After::Following(PAGE, Free)),
    ("a gap before the first audio holds the source to real time", NoAudio, 0, true, Resume, NoAudioCame, After::Unset(RealTime)),
    ("another source has not lost time", GapWithoutAudio, 0, true, Join, NoAudioCame, After::Unset(Free)),
    ("the pace stays with the first audio", GapWithoutAudio, 0, true, Audio(0), Append(0), After::Following(PAGE, RealTime)),
    // A source began.
    ("a takeover in time gets one packet of silence", Begins, 20, true, Audio(0), Append(FRAME), After::Following(FRAME + PAGE, RealTime)),
    ("silence at the stream's end is enough of a pause", BeginsAfterSilence, 20, true, Audio(0), Append(0), After::Following(PAGE, RealTime)),
    ("time lost before a source is filled", Begins, 420, true, Audio(0), Append(20 * FRAME), After::Following(20 * FRAME + PAGE, RealTime)),
    ("time lost after silence is filled", BeginsAfterSilence, 420, true, Audio(0), Append(20 * FRAME), After::Following(20 * FRAME + PAGE, RealTime)),
    ("less than a packet of lost time is not filled", BeginsAfterSilence, 39, true, Audio(0), Append(0), After::Following(PAGE, RealTime)),
    ("a source's hole before its first audio is nothing", Begins, 20, true, Audio(SECOND), Append(FRAME), After::Following(FRAME + PAGE, RealTime)),
    ("a long page may be a page ahead", Begins, 0, true, Long { samples: 2 * SECOND, hole: 0 }, Append(FRAME), After::Following(FRAME + 2 * SECOND, RealTime)),
    ("where gaps are not filled, the source is live", Begins, 5_000, false, Audio(0), Append(0), After::Following(PAGE, RealTime)),
    ("a source after a source", Begins, 0, true, Join, NoAudioCame, After::Joining),
    ("a gap while a source begins", Begins, 0, true, Resume, NoAudioCame, After::Joining),
    ("no more than a second beyond a gap is filled", Begins, 60_000, true, Audio(0), Append(49 * FRAME), After::Following(49 * FRAME + PAGE, RealTime)),
    // The source is followed.
    ("audio in time", Follows, 20, true, Audio(0), Append(0), After::Following(PAGE, RealTime)),
    ("audio after a stall that was no gap", Follows, 900, true, Audio(0), Append(0), After::Following(PAGE, RealTime)),
    ("a hole without lost time is closed", Follows, 20, true, Audio(60 * SECOND), Append(0), After::Following(PAGE, RealTime)),
    ("a hole is filled as far as time was lost", Follows, 520, true, Audio(60 * SECOND), Append(25 * FRAME), After::Following(25 * FRAME + PAGE, RealTime)),
    ("lost time is filled as far as there is a hole", Follows, 520, true, Audio(10 * FRAME), Append(10 * FRAME), After::Following(10 * FRAME + PAGE, RealTime)),
    ("no hole is filled where gaps are not", Follows, 520, false, Audio(60 * SECOND), Append(0), After::Following(PAGE, RealTime)),
    ("200 ms may be ahead", Follows, 0, true, Long { samples: 9_600, hole: 0 }, Append(0), After::Following(9_600, RealTime)),
    ("more than 200 ms may not", Ahead, 0, true, Audio(0), Discard, After::Following(9_600, RealTime)),
    ("unless the source has not lost time", AheadFree, 0, true, Audio(0), Append(0), After::Following(9_600 + PAGE, Free)),
    ("a source that has not lost time may be ahead", FollowsFree, 0, true, Long { samples: 10 * SECOND, hole: 0 }, Append(0), After::Following(10 * SECOND, Free)),
    ("another source begins", Follows, 0, true, Join, NoAudioCame, After::Joining),
    ("another source begins after one that was free", FollowsFree, 0, true, Join, NoAudioCame, After::Joining),
    ("a gap holds the source to real time", FollowsFree, 0, true, Resume, NoAudioCame, After::Following(0, RealTime)),
    ("in a gap that is not filled, time stood still", Follows, 0, false, Resume, NoAudioCame, After::Joining),
    ("too much lost time holds the source to real time", FollowsFree, 2_001, true, Audio(0), Append(0), After::Following(PAGE, RealTime)),
    ("less lost time does not", FollowsFree, 1_999, true, Audio(0), Append(0), After::Following(PAGE, Free)),
    ("where gaps are not filled, time is not lost", FollowsFree, 2_001, false, Audio(0), Append(0), After::Following(PAGE, Free)),
    ("a suspension excuses all of it", FollowsFree, 2_001, true, AudioAfterSuspension(10), Append(0), After::Following(PAGE, Free)),
    // Silence has taken the place of the source's audio.
    ("audio that is too late", BehindSilence, 1_000, true, Audio(0), Discard, After::Late(PAGE)),
    ("audio after what was lost", BehindSilence, 1_020, true, Audio(SECOND), Append(0), After::Following(SECOND + PAGE, RealTime)),
    ("a page late by less than half of it", BehindSilence, 1_020, true, Audio(SECOND - PAGE / 2), Append(0), After::Following(SECOND + PAGE, RealTime)),
    ("a page late by more than half of it", BehindSilence, 1_020, true, Audio(SECOND - PAGE / 2 - 1), Discard, After::Late(SECOND - PAGE / 2 - 1 + PAGE)),
    ("a long page late by 100 ms", BehindSilence, 2_000, true, Long { samples: SECOND, hole: SECOND - 4_800 }, Append(0), After::Following(2 * SECOND, RealTime)),
    ("a long page late by more than 100 ms", BehindSilence, 2_000, true, Long { samples: SECOND, hole: SECOND - 4_801 }, Discard, After::Late(2 * SECOND - 4_801)),
    ("late audio that catches up", TooLate, 1_000, true, Audio(480), Discard, After::Late(480 + PAGE)),
    ("late audio that may yet catch up", TooLate, 1_199, true, Audio(0), Discard, After::Late(PAGE)),
    ("late audio that does not catch up is live", TooLate, 1_200, true, Audio(0), Append(9 * FRAME), After::Following(SECOND + 9 * FRAME + PAGE, RealTime)),
    ("late audio that gains a quarter of a page may yet catch up", TooLate, 1_200, true, Audio(8_881), Discard, After::Late(8_881 + PAGE)),
    ("late audio that gains less is live", TooLate, 1_200, true, Audio(8_880), Append(9 * FRAME), After::Following(SECOND + 9 * FRAME + PAGE, RealTime)),
    ("late audio that is ahead of live", SettledAhead, 1_200, true, Audio(0), Discard, After::Late(SECOND)),
    ("another source after one that was late", TooLate, 0, true, Join, NoAudioCame, After::Joining),
    ("a gap of a source that is late", TooLate, 0, true, Resume, NoAudioCame, After::Late(0)),
];

struct Scene {
    timeline: Timeline,
    began: Instant,
}

impl Scene {
    fn of(before: Before, fills: bool) -> Self {
        let began = Instant::now();
        let edge = LiveEdge::new(began, SECOND);
        let source = Following { edge, due: SECOND, late: None, pace: RealTime };
        let late =
            Late { least_behind: SECOND.cast_signed(), since: began + Duration::from_secs(1) };
        let position = match before {
            BehindSilence | TooLate | SettledAhead => 2 * SECOND,
            Ahead | AheadFree => SECOND + 9_600,
            _ => SECOND,
        };
        let clock = match before {
            NoAudio => Phase::Unset(Free),
            GapWithoutAudio => Phase::Unset(RealTime),
            Begins | BeginsAfterSilence => Phase::Joining(edge),
            Follows | BehindSilence => Phase::Following(source),
            FollowsFree => Phase::Following(Following { pace: Free, ..source }),
            Ahead => Phase::Following(Following { due: position, ..source }),
            AheadFree => Phase::Following(Following { due: position, pace: Free, ..source }),
            SettledAhead => Phase::Following(Following {
                edge: LiveEdge::new(began, 0),
                late: Some(Late { least_behind: 0, since: began }),
                ..source
            }),
            TooLate => Phase::Following(Following { late: Some(late), ..source }),
        };
        let timeline = Timeline {
            position,
            ends_in_silence: matches!(
                before,
                BehindSilence | TooLate | SettledAhead | BeginsAfterSilence
            ),
            clock,
            ..Timeline::new(fills, GAP_AFTER)
        };
        Self { timeline, began }
    }

    /// The audio is published with its silence, as the splice does.
    fn audio(&mut self, samples: u64, hole: u64, now: Instant) -> Placement {
        let placement = self.timeline.place(samples, hole, now);
        if let Placement::Append { silence } = placement {
            if silence > 0 {
                self.timeline.silent_for(silence);
            }
            self.timeline.published(samples, now);
        }
        placement
    }

    fn happen(&mut self, event: Event, now: Instant) -> Outcome {
        let (samples, hole) = match event {
            Join => {
                self.timeline.join();
                return NoAudioCame;
            }
            Resume => {
                self.timeline.resume(now);
                return NoAudioCame;
            }
            Audio(hole) => (PAGE, hole),
            Long { samples, hole } => (samples, hole),
            AudioAfterSuspension(milliseconds) => {
                self.timeline.stood_still(Duration::from_millis(milliseconds), now);
                (PAGE, 0)
            }
        };
        match self.audio(samples, hole, now) {
            Placement::Append { silence } => Append(silence),
            Placement::Discard => Discard,
        }
    }

    fn state(&self) -> After {
        let after_first_second = |due: u64| due - SECOND;
        match self.timeline.clock {
            Phase::Unset(pace) => After::Unset(pace),
            Phase::Joining(_) => After::Joining,
            Phase::Following(Following { due, late: Some(_), pace: RealTime, .. }) => {
                After::Late(after_first_second(due))
            }
            Phase::Following(Following { due, late: None, pace, .. }) => {
                After::Following(after_first_second(due), pace)
            }
            clock @ Phase::Following(_) => panic!("{clock:?}"),
        }
    }
}

#[test]
fn every_event_has_its_transition_and_its_placement() {
    for &(promise, before, milliseconds, fills, event, outcome, after) in TABLE {
        let mut scene = Scene::of(before, fills);
        let now = scene.began + Duration::from_millis(milliseconds);
        let seen = scene.happen(event, now);
        assert_eq!((seen, scene.state()), (outcome, after), "{promise}");
    }
}

#[test]
fn silence_is_due_when_real_time_has_passed_it() {
    let due = |before, milliseconds, fills| {
        let mut scene = Scene::of(before, fills);
        let now = scene.began + Duration::from_millis(milliseconds);
        let due = scene.timeline.silence_due(FRAME, now);
        let wait = if let SilenceDue::At(then) = due { then - scene.began } else { Duration::ZERO };
        (due, wait.as_millis())
    };
    for before in [NoAudio, GapWithoutAudio] {
        assert_eq!(due(before, 5_000, true).0, SilenceDue::Never, "{before:?}");
    }
    for before in [Begins, Follows, FollowsFree] {
        assert_eq!(due(before, 5_000, false).0, SilenceDue::Never, "{before:?}");
        assert_eq!(due(before, 20, true).0, SilenceDue::Now, "{before:?}");
        assert_eq!(due(before, 19, true).1, 20, "{before:?}");
    }
    for before in [BehindSilence, TooLate] {
        assert_eq!(due(before, 1_019, true).1, 1_020, "{before:?}");
    }
}

#[test]
fn what_was_sent_during_a_suspension_may_be_ahead_for_ten_seconds_and_as_long_again() {
    let mut scene = Scene::of(Follows, true);
    let (began, second) = (scene.began, Duration::from_secs(1));
    scene.timeline.stood_still(second, began);
    assert_eq!(scene.audio(SECOND, 0, began), Placement::Append { silence: 0 });
    assert_eq!(scene.audio(9_600, 0, began), Placement::Append { silence: 0 }, "and some jitter");
    assert_eq!(scene.audio(PAGE, 0, began), Placement::Discard);

    // In time again, and then faster than that.
    for (seconds, placement) in [(10, Placement::Append { silence: 0 }), (11, Placement::Discard)] {
        let mut scene = Scene::of(Follows, false);
        scene.timeline.stood_still(second, scene.began);
        let now = scene.began + seconds * second;
        for samples in [u64::from(seconds) * SECOND, 9_600] {
            assert_eq!(scene.audio(samples, 0, now), Placement::Append { silence: 0 });
        }
        assert_eq!(scene.audio(PAGE, 0, now), placement, "after {seconds} s");
    }
    // Two suspensions add up.
    let mut scene = Scene::of(Follows, true);
    (0..2).for_each(|_| scene.timeline.stood_still(second, began));
    for samples in [SECOND, SECOND, 9_600] {
        assert_eq!(scene.audio(samples, 0, began), Placement::Append { silence: 0 });
    }
    assert_eq!(scene.audio(PAGE, 0, began), Placement::Discard);
}

#[test]
fn a_gap_is_two_pages_at_least_whichever_of_the_newest_two_is_longer() {
    let mut scene = Scene::of(NoAudio, true);
    assert_eq!((scene.timeline.page(), scene.timeline.gap_threshold()), (0, GAP_AFTER));
    for (samples, page) in [(SECOND, SECOND), (PAGE, SECOND), (PAGE, PAGE)] {
        scene.audio(samples, 0, scene.began);
        assert_eq!(scene.timeline.page(), page);
        let threshold = GAP_AFTER.max(2 * duration_of(page));
        assert_eq!(scene.timeline.gap_threshold(), threshold);
    }
}

#[test]
fn only_audio_is_kept_apart_from_another_sources_audio() {
    let mut scene = Scene::of(Follows, true);
    let now = scene.began + Duration::from_millis(40);
    scene.timeline.silent_for(FRAME);
    for silence in [0, FRAME] {
        scene.timeline.join();
        assert_eq!(scene.audio(PAGE, 0, now), Placement::Append { silence });
    }
}

#[test]
fn a_source_that_has_not_lost_time_takes_the_live_edge_along() {
    for (before, position) in [(FollowsFree, 11 * SECOND), (Follows, SECOND)] {
        let mut scene = Scene::of(before, true);
        scene.audio(10 * SECOND, 0, scene.began);
        let Phase::Following(source) = scene.timeline.clock else { panic!("not followed") };
        assert_eq!(source.edge.position(scene.began), position, "{before:?}");
    }
}

#[test]
fn a_gap_tells_nothing_of_a_sources_clock() {
    for before in [Begins, Follows] {
        let mut scene = Scene::of(before, true);
        let now = scene.began + Duration::from_mins(1);
        scene.timeline.resume(now);
        let mut wanted = LiveEdge::new(scene.began, SECOND);
        wanted.forget(now);
        let (Phase::Joining(edge) | Phase::Following(Following { edge, .. })) =
            scene.timeline.clock
        else {
            panic!("no audio")
        };
        assert_eq!(edge, wanted, "{before:?}");
    }
}
