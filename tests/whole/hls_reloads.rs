//! What must not change from one HLS playlist of a mount to the next, and tests that broken
//! playlists are found.

use std::collections::BTreeMap;

use crate::hls_rules::{MediaPlaylist, MediaSegment};

/// What successive playlists of a mount must agree on: those for low latency and the others too.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    constant: BTreeMap<bool, String>,
    /// Range of the last playlist, for low latency or not.
    last: BTreeMap<bool, (u64, (u64, u64))>,
    segments: BTreeMap<u64, MediaSegment>,
}

impl Reloads {
    /// Checks the next playlist against those before.
    ///
    /// # Errors
    /// What has changed that must not.
    pub(crate) fn check(&mut self, playlist: &MediaPlaylist) -> Result<(), String> {
        self.compare(playlist).map_err(|why| format!("{why}, in\n{}", playlist.text))
    }

    fn compare(&mut self, playlist: &MediaPlaylist) -> Result<(), String> {
        let has_parts = playlist.part_target.is_some();
        let constant = self.constant.entry(has_parts).or_insert_with(|| playlist.constant.clone());
        if *constant != playlist.constant {
            return Err(format!("these lines were\n{constant}"));
        }
        let (first, next) = (playlist.segments[0].number, playlist.next());
        if let Some((first_before, next_before)) = self.last.insert(has_parts, (first, next)) {
            if first < first_before || next < next_before || first > next_before.0 {
                let before = (first_before, next_before);
                return Err(format!("it goes from {:?} after {before:?}", (first, next)));
            }
            if first > first_before && playlist.duration() < 3.0 * playlist.target as f64 {
                return Err("a segment was removed from a playlist shorter than three".into());
            }
        }
        for segment in &playlist.segments {
            let known = self.segments.entry(segment.number).or_insert_with(|| segment.clone());
            let same_head = (&known.map, known.date, known.discontinuity)
                == (&segment.map, segment.date, segment.discontinuity);
            let same_file = known.file.is_none()
                || segment.file.is_none() && known.parts.starts_with(&segment.parts)
                || known.file == segment.file && known.is_gap == segment.is_gap;
            let common = known.parts.len().min(segment.parts.len());
            if !same_head || !same_file || known.parts[..common] != segment.parts[..common] {
                return Err(format!("a segment that was\n{known:?} is\n{segment:?}"));
            }
            if segment.parts.len() > known.parts.len() {
                known.parts.clone_from(&segment.parts);
            }
            if known.file.is_none() && segment.file.is_some() {
                (known.file, known.is_gap) = (segment.file.clone(), segment.is_gap);
            }
        }
        Ok(())
    }
}

/// A playlist with two segments, one of which has its parts, and a part of the next one.
const GOOD: &str = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.000,PART-HOLD-BACK=3.000
#EXT-X-PART-INF:PART-TARGET=1.000
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI=\"a-init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T04:30:00.250Z
#EXTINF:2.020000,
a-0.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T04:30:02.270Z
#EXT-X-PART:DURATION=1.000000,URI=\"a-1.0.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.980000,URI=\"a-1.1.m4s\",INDEPENDENT=YES
#EXTINF:1.980000,
a-1.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"b-init.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T04:30:09.000Z
#EXT-X-PART:DURATION=1.000000,URI=\"b-0.0.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b-0.1.m4s\"
";

#[test]
fn a_playlist_is_read() {
    let playlist = MediaPlaylist::read(GOOD).unwrap();
    let read: Vec<_> =
        playlist.segments.iter().map(|one| (one.number, one.discontinuity)).collect();
    assert_eq!(read, [(7, 3), (8, 3), (9, 4)]);
    assert_eq!((playlist.next(), playlist.segments[0].date), ((9, 1), 1_777_609_800_250));
    assert_eq!(playlist.segments[2].map, "b-init.mp4");
    assert!((playlist.duration() - 5.0).abs() < 1e-9);
}

#[test]
fn a_playlist_that_breaks_a_rule_is_found() {
    for (rule, from, to) in [
        ("#EXTM3U", "#EXTM3U\n", ""),
        ("the tag #EXT-X-FOO", "#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXT-X-FOO"),
        ("no EXT-X-TARGETDURATION", "#EXT-X-TARGETDURATION:2\n", ""),
        ("no whole number", "TARGETDURATION:2", "TARGETDURATION:2.0"),
        ("the target is 1", "TARGETDURATION:2", "TARGETDURATION:1"),
        ("less than three targets", "HOLD-BACK=6.000,P", "HOLD-BACK=5.900,P"),
        ("PART-TARGET and PART-HOLD-BACK", "PART-HOLD-BACK=3.000", "PART-HOLD-BACK=2.900"),
        ("PART-TARGET and PART-HOLD-BACK", "#EXT-X-PART-INF:PART-TARGET=1.000\n", ""),
        ("EXT-X-PART-INF without PART-TARGET", "PART-INF:PART-TARGET=1.000", "PART-INF:"),
        ("an attribute POT", "PART-TARGET=1", "POT=1"),
        ("no EXTINF", "#EXTINF:2.020000,\n", ""),
        ("without a comma", "2.020000,", "2.020000"),
        ("an EXTINF without a URI", "a-1.m4s\n#EXT-X-DISC", "#EXT-X-DISC"),
        ("its parts have", "=0.980000", "=0.970000"),
        ("part 0 has 0.8 s", "1.000000,URI=\"a", "0.800000,URI=\"a"),
        ("part 0 has 1.2 s", "1.000000,URI=\"b", "1.200000,URI=\"b"),
        ("1 ms off", "02.270Z", "02.281Z"),
        ("is no date", "02.270Z", "02.270"),
        ("no map or no date", "#EXT-X-MAP:URI=\"a-init.mp4\"\n", ""),
        ("no map or no date", "#EXT-X-MAP:URI=\"b-init.mp4\"\n", ""),
        ("a discontinuity and another map", "#EXT-X-DISCONTINUITY\n", ""),
        ("URI is", "\"b-0.0.m4s\"", "b-0.0.m4s"),
        ("INDEPENDENT is", "INDEPENDENT=YES\n#EXT-X-PRE", "INDEPENDENT=NO\n#EXT-X-PRE"),
        ("after the hint", "b-0.1.m4s\"\n", "b-0.1.m4s\"\n#EXTINF:1.0,\n"),
        ("a gap that is none", "#EXTINF:1.98", "#EXT-X-GAP\n#EXTINF:1.98"),
        ("twice", "#EXT-X-MAP", "#EXT-X-VERSION:6\n#EXT-X-MAP"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let why = MediaPlaylist::read(&GOOD.replacen(from, to, 1)).map(|read| read.constant);
        assert!(why.as_ref().is_err_and(|why| why.contains(rule)), "{rule}: {why:?}");
    }
}

#[test]
fn a_playlist_that_contradicts_the_one_before_is_found() {
    let next = GOOD.replace("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b-0.1.m4s\"\n", "");
    let next = format!(
        "{next}#EXT-X-PART:DURATION=0.500000,URI=\"b-0.1.m4s\"\n#EXTINF:1.500000,\nb-0.m4s\n"
    );
    let lines: Vec<_> = next.lines().filter(|line| !line.contains("PART")).collect();
    let plain = lines.join("\n") + "\n";
    let plain = plain.replacen("VERSION:6", "VERSION:6\n#EXT-X-SERVER-CONTROL:HOLD-BACK=6", 1);
    let check = |texts: &[&str]| {
        let mut reloads = Reloads::default();
        texts.iter().try_for_each(|text| reloads.check(&MediaPlaylist::read(text).unwrap()))
    };
    assert!(check(&[GOOD, &next, GOOD]).is_err_and(|why| why.contains("it goes from")));
    assert_eq!(check(&[GOOD, GOOD, &plain, &next]), Ok(()));
    for (rule, from, to) in [
        ("a segment that was", "a-1.m4s", "a-7.m4s"),
        ("a segment that was", "b-0.0.m4s", "b-0.7.m4s"),
        ("a segment that was", "09.000Z", "09.003Z"),
        ("a segment that was", "SEQUENCE:3", "SEQUENCE:4"),
        ("it goes from", "MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:6"),
        ("it goes from", "MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:70"),
        ("these lines were", "PART-HOLD-BACK=3.000", "PART-HOLD-BACK=3.100"),
    ] {
        assert!(next.contains(from), "{from}");
        let why = check(&[GOOD, &next.replacen(from, to, 1)]);
        assert!(why.as_ref().is_err_and(|why| why.contains(rule)), "{rule}: {why:?}");
    }
    let why = check(&[&plain, &plain.replace("1.980000", "1.979000")]);
    assert!(why.is_err_and(|why| why.contains("a segment that was")));
}
