//! The rules of HLS for media playlists: RFC 8216, and for low latency draft-pantos-hls-rfc8216bis.
//! Pure. A part is written as `EXT-X-PART`, and a segment whose parts are listed before its
//! `EXTINF` is there has no URI yet.

use std::collections::BTreeMap;

use time::{Date, Month, PrimitiveDateTime, Time};

/// Times have six decimals, so each sum of them is exact to this.
const ROUNDING: f64 = 0.000_05;
/// Dates have milliseconds.
const DATE_ROUNDING: i64 = 2;
/// No measurement of the clock is better than this, so smaller steps of dates say nothing.
const DATE_STEP: i64 = 20;
/// By how much a part may be too short that has a pause in it: packets begin elsewhere after it.
const PACKET: f64 = 0.02;
/// The least duration of a part that is not the last of its segment, in part targets.
const LEAST_PART: f64 = 0.85;

/// The value of an attribute (RFC 8216, section 4.2).
enum Form {
    Quoted,
    Number,
    Signed,
    Word(&'static [&'static str]),
}
use Form::{Number, Quoted, Signed, Word};

const YES: Form = Word(&["YES"]);
/// Each tag with attributes that is known here: required ones first, after them those that it may
/// have.
type Attributes = &'static [(&'static str, Form)];
const TAGS: &[(&str, Attributes, Attributes)] = &[
    (
        "EXT-X-SERVER-CONTROL",
        &[("HOLD-BACK", Number)],
        &[("CAN-BLOCK-RELOAD", YES), ("PART-HOLD-BACK", Number)],
    ),
    ("EXT-X-PART-INF", &[("PART-TARGET", Number)], &[]),
    ("EXT-X-START", &[("TIME-OFFSET", Signed)], &[("PRECISE", YES)]),
    ("EXT-X-MAP", &[("URI", Quoted)], &[]),
    ("EXT-X-PART", &[("DURATION", Number), ("URI", Quoted)], &[("INDEPENDENT", YES), ("GAP", YES)]),
    ("EXT-X-PRELOAD-HINT", &[("TYPE", Word(&["PART"])), ("URI", Quoted)], &[]),
];
/// Tags that appear once, before the first segment.
const ONCE: &[&str] = &[
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-PART-INF",
    "EXT-X-START",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
];

/// A media playlist that keeps the rules that can be seen in one alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaPlaylist {
    pub target: u64,
    /// `PART-TARGET`, in a playlist for low latency.
    pub part_target: Option<f64>,
    pub hold_back: f64,
    pub part_hold_back: Option<f64>,
    /// All listed segments. The last one may have parts only.
    pub segments: Vec<MediaSegment>,
    /// URI of the part that comes next.
    pub hint: Option<String>,
    /// The lines that each playlist of a mount has in the same form.
    pub constant: String,
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MediaSegment {
    /// Its media sequence number.
    pub number: u64,
    /// Its discontinuity sequence number.
    pub discontinuity: u64,
    pub map: String,
    /// In milliseconds since 1970.
    pub date: i64,
    pub parts: Vec<MediaPart>,
    pub is_gap: bool,
    /// Duration and URI; `None` while only parts are listed.
    pub file: Option<(f64, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MediaPart {
    pub duration: f64,
    pub uri: String,
    pub is_gap: bool,
}

impl MediaPlaylist {
    /// Reads a playlist and checks it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let playlist = Self::parse(text).and_then(|playlist| {
            playlist.check()?;
            Ok(playlist)
        });
        playlist.map_err(|why| format!("{why}, in\n{text}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some("#EXTM3U") || text.contains('\r') || !text.ends_with('\n') {
            return Err("it does not begin with #EXTM3U, or its lines do not end".into());
        }
        let mut playlist = Self { text: text.to_owned(), ..Self::default() };
        let (mut once, mut numbers) = (BTreeMap::new(), [0, 0]);
        let (mut map, mut next, mut extinf) = (String::new(), MediaSegment::default(), None);
        for line in lines {
            if playlist.hint.is_some() {
                return Err(format!("{line} after the hint"));
            }
            let Some(line) = line.strip_prefix('#') else {
                let duration = extinf.take().ok_or(format!("no EXTINF before {line}"))?;
                let file = Some((duration, line.to_owned()));
                playlist.segments.push(MediaSegment { file, ..std::mem::take(&mut next) });
                continue;
            };
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            let has = attributes(tag, value)?;
            if ONCE.contains(&tag) {
                let is_late = !playlist.segments.is_empty() || !next.parts.is_empty();
                if once.insert(tag, value).is_some() || is_late {
                    return Err(format!("{tag} twice, or after a segment"));
                }
                if !tag.ends_with("SEQUENCE") {
                    playlist.constant.extend([line, "\n"]);
                }
            }
            match tag {
                "EXT-X-VERSION" if value == "6" => {}
                "EXT-X-INDEPENDENT-SEGMENTS" if value.is_empty() => {}
                "EXT-X-TARGETDURATION" => playlist.target = whole(value)?,
                "EXT-X-MEDIA-SEQUENCE" => numbers[0] = whole(value)?,
                "EXT-X-DISCONTINUITY-SEQUENCE" => numbers[1] = whole(value)?,
                "EXT-X-SERVER-CONTROL" => {
                    playlist.hold_back = decimal(&has["HOLD-BACK"])?;
                    playlist.part_hold_back =
                        has.get("PART-HOLD-BACK").map(|value| decimal(value)).transpose()?;
                }
                "EXT-X-PART-INF" => playlist.part_target = Some(decimal(&has["PART-TARGET"])?),
                "EXT-X-START" => {}
                "EXT-X-DISCONTINUITY" if value.is_empty() => {
                    next.discontinuity += 1;
                    numbers[1] += 1;
                    map.clear();
                }
                "EXT-X-MAP" => map.clone_from(&has["URI"]),
                "EXT-X-PROGRAM-DATE-TIME" => {
                    next.date = date(value).ok_or(format!("{value:?} is no date"))?;
                }
                "EXT-X-GAP" if value.is_empty() => next.is_gap = true,
                "EXT-X-PART" => next.parts.push(MediaPart {
                    duration: decimal(&has["DURATION"])?,
                    uri: has["URI"].clone(),
                    is_gap: has.contains_key("GAP"),
                }),
                "EXTINF" => {
                    let number = value.strip_suffix(',').ok_or("EXTINF without a comma")?;
                    extinf = Some(decimal(number)?);
                }
                "EXT-X-PRELOAD-HINT" => playlist.hint = Some(has["URI"].clone()),
                _ => return Err(format!("the tag #{line}")),
            }
            // The segment that follows has what was told last.
            (next.discontinuity, next.map) = (numbers[1], map.clone());
        }
        if extinf.is_some() {
            return Err("an EXTINF without a URI".into());
        }
        if !next.parts.is_empty() {
            playlist.segments.push(next);
        }
        for (index, segment) in playlist.segments.iter_mut().enumerate() {
            segment.number = numbers[0] + index as u64;
        }
        match ["EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL"]
            .iter()
            .find(|tag| !once.contains_key(**tag))
        {
            Some(tag) => Err(format!("no {tag}")),
            None => Ok(playlist),
        }
    }

    /// Checks durations, dates and what depends on them.
    fn check(&self) -> Result<(), String> {
        let target = self.target as f64;
        if self.segments.is_empty() {
            return Err("no segments".into());
        }
        if self.hold_back < 3.0 * target {
            return Err(format!("HOLD-BACK {} is less than three targets", self.hold_back));
        }
        let has_parts = self.segments.iter().any(|segment| !segment.parts.is_empty());
        match (self.part_target, self.part_hold_back) {
            (Some(part), Some(hold_back)) if hold_back >= 3.0 * part - ROUNDING => {}
            (None, None) if !has_parts && self.hint.is_none() => {}
            other => return Err(format!("PART-TARGET and PART-HOLD-BACK are {other:?}")),
        }
        for segment in &self.segments {
            segment.check(target, self.part_target).map_err(|why| format!("{why}: {segment:?}"))?;
        }
        for pair in self.segments.windows(2) {
            let [before, after] = pair else { unreachable!() };
            let Some((duration, _)) = before.file else {
                return Err(format!("a segment after one without a file: {before:?}"));
            };
            if (before.discontinuity == after.discontinuity) != (before.map == after.map) {
                return Err(format!("not both, a discontinuity and another map: {after:?}"));
            }
            let expected = before.date + (duration * 1000.0).round() as i64;
            let is_same = before.discontinuity == after.discontinuity;
            let off = after.date - expected;
            if is_same && off.abs() > DATE_ROUNDING && off.abs() <= DATE_STEP {
                return Err(format!("the date of segment {} is {off} ms off", after.number));
            }
        }
        Ok(())
    }

    /// By how many milliseconds dates depart from durations: for each segment where they do, unless
    /// there is a discontinuity. A stream may come to be heard earlier or later than before.
    pub(crate) fn date_steps(&self) -> BTreeMap<u64, i64> {
        let pairs = self.segments.windows(2).map(|pair| (&pair[0], &pair[1]));
        let same = pairs.filter(|(before, after)| before.discontinuity == after.discontinuity);
        let off = |before: &MediaSegment| before.date + (before.duration() * 1000.0).round() as i64;
        same.map(|(before, after)| (after.number, after.date - off(before)))
            .filter(|(_, step)| step.abs() > DATE_ROUNDING)
            .collect()
    }

    /// The parts that are too short, but by less than a packet: for streams without pauses too short
    /// all the same.
    pub(crate) fn short_parts(&self) -> Vec<&MediaPart> {
        let least = LEAST_PART * self.part_target.unwrap_or_default() - ROUNDING;
        let inner =
            self.segments.iter().filter_map(|one| one.parts.split_last().map(|(_, all)| all));
        inner.flatten().filter(|part| part.duration < least && !part.is_gap).collect()
    }

    /// Duration of all that is listed, in seconds.
    pub(crate) fn duration(&self) -> f64 {
        self.segments.iter().map(MediaSegment::duration).sum()
    }

    /// What a client awaits that has this playlist: the numbers of a segment and of a part.
    pub(crate) fn next(&self) -> (u64, u64) {
        let last = self.segments.last().unwrap();
        match last.file {
            Some(_) => (last.number + 1, 0),
            None => (last.number, last.parts.len() as u64),
        }
    }
}

impl MediaSegment {
    /// Duration of what is listed of it, in seconds.
    pub(crate) fn duration(&self) -> f64 {
        let parts = || self.parts.iter().map(|part| part.duration).sum();
        self.file.as_ref().map_or_else(parts, |(duration, _)| *duration)
    }

    fn check(&self, target: f64, part_target: Option<f64>) -> Result<(), String> {
        if self.map.is_empty() || self.date == 0 {
            return Err("no map or no date".into());
        }
        for (number, part) in self.parts.iter().enumerate() {
            let most = part_target.unwrap_or_default();
            // Of a segment that is not complete, the last one that is listed may be.
            let may_be_last = number + 1 == self.parts.len();
            let is_long_enough = part.duration >= LEAST_PART * most - PACKET;
            if part.duration > most + ROUNDING || !(is_long_enough || may_be_last || part.is_gap) {
                return Err(format!("part {number} has {} s of {most}", part.duration));
            }
        }
        if let Some((duration, _)) = self.file {
            if duration.round() > target || duration <= 0.0 {
                return Err(format!("a duration of {duration}, and the target is {target}"));
            }
            let parts: f64 = self.parts.iter().map(|part| part.duration).sum();
            if !self.parts.is_empty() && (parts - duration).abs() > ROUNDING {
                return Err(format!("its parts have {parts} s, and it has {duration}"));
            }
            if !self.parts.is_empty() && self.is_gap != self.parts.iter().all(|part| part.is_gap) {
                return Err("a gap that is none for its parts, or the reverse".into());
            }
        }
        Ok(())
    }
}

/// The attributes of a tag, without quotes.
fn attributes(tag: &str, list: &str) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    let Some((_, required, optional)) = TAGS.iter().find(|(name, ..)| *name == tag) else {
        return Ok(found);
    };
    let mut rest = list;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(format!("{rest} is no attribute"))?;
        let form = required.iter().chain(*optional).find(|(known, _)| *known == name);
        let (_, form) = form.ok_or(format!("{tag} with an attribute {name}"))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote without an end")?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        let is_quoted = rest[name.len() + 1..].starts_with('"');
        let fits = match form {
            Quoted => is_quoted && !value.is_empty(),
            Number => !is_quoted && decimal(value).is_ok(),
            Signed => !is_quoted && decimal(value.strip_prefix('-').unwrap_or(value)).is_ok(),
            Word(words) => !is_quoted && words.contains(&value),
        };
        if !fits || found.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{tag}: {name} is {value:?}, or is there twice"));
        }
        rest = match after.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if after.is_empty() => after,
            _ => return Err(format!("{after} after an attribute")),
        };
    }
    let missing = required.iter().find(|(name, _)| !found.contains_key(*name));
    missing.map_or(Ok(found), |(name, _)| Err(format!("{tag} without {name}")))
}

/// A decimal-integer.
fn whole(text: &str) -> Result<u64, String> {
    let is_one = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_one).ok_or(format!("{text:?} is no whole number"))
}

/// A decimal-floating-point.
fn decimal(text: &str) -> Result<f64, String> {
    let is_one = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_one).ok_or(format!("{text:?} is no number"))
}

/// A date such as `2026-05-01T04:30:00.250Z`, in milliseconds since 1970.
fn date(text: &str) -> Option<i64> {
    let numbers: Vec<u16> = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19, 20..23]
        .into_iter()
        .map(|place| whole(text.get(place)?).ok()?.try_into().ok())
        .collect::<Option<_>>()?;
    let marks: String = text.chars().filter(|mark| !mark.is_ascii_digit()).collect();
    if marks != "--T::.Z" || text.len() != 24 {
        return None;
    }
    let small = |at: usize| u8::try_from(numbers[at]).ok();
    let month = Month::try_from(small(1)?).ok()?;
    let day = Date::from_calendar_date(numbers[0].into(), month, small(2)?).ok()?;
    let time = Time::from_hms_milli(small(3)?, small(4)?, small(5)?, numbers[6]).ok()?;
    let date = PrimitiveDateTime::new(day, time).assume_utc();
    Some((date.unix_timestamp_nanos() / 1_000_000) as i64)
}
