//! Checks what a detector says of one detection, and finds everything that is wrong with it.

use std::time::Duration;

use serde_json::value::RawValue;

use super::detection::{Detection, MAX_TEXT, MAX_URL};
use super::item::{Item, text};
use super::local_time;
use super::problems::Problems;
use super::read_options::ReadOptions;
use crate::text::{is_control, sanitize};
use crate::utc::{Utc, UtcError};

/// The part of the audio that BirdNET looks at, for a detection without an end.
const WINDOW: Duration = Duration::from_secs(3);
/// The longest part that one detection may be about.
const MAX_LENGTH: Duration = Duration::from_hours(1);
/// The times that can be written as RFC 3339, also when something is added to them, in microseconds.
const YEARS: std::ops::Range<i64> = 0..253_370_764_800_000_000;
/// The highest frequency that a microphone of this field records, in Hz.
const MAX_FREQUENCY: f64 = 500_000.0;

/// A value as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// A number, as it is written.
    Number(String),
    Other,
}

/// A detection as it was sent.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) scientific_name: Option<Value>,
    pub(super) common_name: Option<Value>,
    pub(super) confidence: Option<Value>,
    pub(super) start: Option<Value>,
    pub(super) end: Option<Value>,
    pub(super) date: Option<Value>,
    pub(super) time: Option<Value>,
    pub(super) low_frequency: Option<Value>,
    pub(super) high_frequency: Option<Value>,
    pub(super) id: Option<Value>,
    pub(super) model: Option<Value>,
    pub(super) url: Option<Value>,
}

impl Value {
    fn of(value: &RawValue) -> Self {
        match (text(value), value.get()) {
            (Some(text), _) => Self::Text(text),
            (None, json) if json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                Self::Number(json.to_owned())
            }
            (None, _) => Self::Other,
        }
    }

    /// The number, also if it is written as text.
    pub(super) fn number(&self) -> Option<f64> {
        let (Self::Text(text) | Self::Number(text)) = self else { return None };
        text.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// For a message.
    fn shown(&self) -> String {
        let (Self::Text(text) | Self::Number(text)) = self else { return "not a number".into() };
        let text: String = sanitize(text).chars().take(40).collect();
        if text.is_empty() { "empty".into() } else { text }
    }
}

impl From<Item<'_>> for Draft {
    fn from(item: Item<'_>) -> Self {
        let value = |member: Option<&RawValue>| member.map(Value::of);
        Self {
            scientific_name: value(item.scientific_name),
            common_name: value(item.common_name),
            confidence: value(item.confidence),
            start: value(item.start),
            end: value(item.end),
            date: value(item.date),
            time: value(item.time),
            low_frequency: value(item.low_frequency),
            high_frequency: value(item.high_frequency),
            id: value(item.id),
            model: value(item.model),
            url: value(item.url),
        }
    }
}

/// The detection that a draft means; `None` if anything is wrong with it, which is then in `problems`.
pub(super) fn check(
    draft: &Draft,
    options: &ReadOptions,
    problems: &mut Problems,
) -> Option<Detection> {
    let before = problems.count();
    let mut checker = MemberChecker(problems);
    let scientific_name = checker.text("scientific_name", draft.scientific_name.as_ref());
    let common_name = checker.text("common_name", draft.common_name.as_ref());
    let is_blank = |name: Option<&Value>| match name {
        None => true,
        Some(name) => matches!(name, Value::Text(text) if text.trim().is_empty()),
    };
    if is_blank(draft.scientific_name.as_ref()) && is_blank(draft.common_name.as_ref()) {
        checker.report("the species is missing: scientific_name or common_name");
    }
    let confidence = checker.confidence(draft.confidence.as_ref());
    let start = checker.start(draft, options.received);
    let end = checker.end(draft.end.as_ref(), start);
    let (low_frequency, high_frequency) = checker.frequencies(draft);
    let id = checker.id(draft.id.as_ref());
    let model = checker.text("model", draft.model.as_ref());
    let url = checker.url(draft.url.as_ref());
    if problems.count() > before {
        return None;
    }
    let shifted = |at: Utc| at.micros().saturating_add(options.shift);
    Some(Detection {
        scientific_name,
        common_name,
        confidence: confidence?,
        // Times are written with milliseconds, also in the path of the clip.
        start: Utc::from_micros(shifted(start?).div_euclid(1000).saturating_mul(1000)),
        end: Utc::from_micros(
            shifted(end?).saturating_add(999).div_euclid(1000).saturating_mul(1000),
        ),
        low_frequency,
        high_frequency,
        id,
        model,
        url,
    })
}

/// Checks members and reports what is wrong with them. A member that is missing or wrong is `None`.
struct MemberChecker<'p>(&'p mut Problems);

impl MemberChecker<'_> {
    fn report(&mut self, problem: &str) {
        self.0.add(problem);
    }

    /// A text that is not empty and not too long.
    fn text(&mut self, name: &str, value: Option<&Value>) -> Option<Box<str>> {
        let Value::Text(text) = value? else {
            self.report(&format!("{name} is not text"));
            return None;
        };
        self.short(name, text, MAX_TEXT)
    }

    fn short(&mut self, name: &str, text: &str, most: usize) -> Option<Box<str>> {
        let text = text.trim();
        if text.len() > most {
            let length = text.len();
            self.report(&format!("{name} has {length} bytes; allowed: up to {most}"));
            None
        } else if text.chars().any(is_control) {
            self.report(&format!("{name} has control characters"));
            None
        } else {
            Some(text).filter(|text| !text.is_empty()).map(Into::into)
        }
    }

    /// Many detectors number their detections.
    fn id(&mut self, value: Option<&Value>) -> Option<Box<str>> {
        match value? {
            Value::Text(text) | Value::Number(text) => self.short("id", text, MAX_TEXT),
            Value::Other => {
                self.report("id is neither text nor a number");
                None
            }
        }
    }

    /// It becomes a link, so it must not be a script.
    fn url(&mut self, value: Option<&Value>) -> Option<Box<str>> {
        let allowed = "url is not a URL with http or https";
        let Value::Text(text) = value? else {
            self.report(allowed);
            return None;
        };
        let url = self.short("url", text, MAX_URL)?;
        let is_web = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        let is_plain = !url.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>'));
        if !is_web || !is_plain {
            self.report(allowed);
            return None;
        }
        Some(url)
    }

    fn confidence(&mut self, value: Option<&Value>) -> Option<f64> {
        let Some(value) = value else {
            self.report("confidence is missing");
            return None;
        };
        let number = value.number().filter(|number| (0.0..=1.0).contains(number));
        if number.is_none() {
            let shown = value.shown();
            self.report(&format!("confidence is {shown}; allowed: a number from 0 to 1"));
        }
        number
    }

    /// When the detection begins. It may be a date and a time of day instead.
    fn start(&mut self, draft: &Draft, received: Utc) -> Option<Utc> {
        if draft.start.is_some() {
            return self.time("start", draft.start.as_ref());
        }
        let (Some(date), Some(time)) = (&draft.date, &draft.time) else {
            self.report("start is missing; a detector may send date and time instead");
            return None;
        };
        let (Value::Text(date), Value::Text(time)) = (date, time) else {
            self.report("date or time is not text");
            return None;
        };
        let at = local_time::utc_of(date.trim(), time.trim(), received);
        at.map_err(|error| self.report(&error.to_string())).ok()
    }

    fn end(&mut self, value: Option<&Value>, start: Option<Utc>) -> Option<Utc> {
        if value.is_none() {
            return start.map(|start| start.after(WINDOW));
        }
        let (end, start) = (self.time("end", value)?, start?);
        if end <= start {
            self.report("end is not later than start");
        } else if end.since(start) > MAX_LENGTH {
            self.report("end is more than an hour later than start");
        }
        Some(end)
    }

    fn time(&mut self, name: &str, value: Option<&Value>) -> Option<Utc> {
        let parsed = match value? {
            Value::Text(text) => Utc::parse(text.trim()),
            _ => Err(UtcError),
        };
        let time = parsed.map_err(|error| self.report(&format!("{name} is {error}"))).ok()?;
        if !YEARS.contains(&time.micros()) {
            self.report(&format!("{name} is not between the years 1970 and 9998"));
            return None;
        }
        Some(time)
    }

    fn frequencies(&mut self, draft: &Draft) -> (Option<f64>, Option<f64>) {
        let mut frequency = |name: &str, value: Option<&Value>| {
            let value = value?;
            let number = value.number().filter(|hertz| (0.0..=MAX_FREQUENCY).contains(hertz));
            if number.is_none() {
                let shown = value.shown();
                self.report(&format!("{name} is {shown}; allowed: a number of Hz up to 500000"));
            }
            number
        };
        let low = frequency("low_frequency", draft.low_frequency.as_ref());
        let high = frequency("high_frequency", draft.high_frequency.as_ref());
        if let (Some(low), Some(high)) = (low, high)
            && low >= high
        {
            self.report("high_frequency is not above low_frequency");
        }
        (low, high)
    }
}
