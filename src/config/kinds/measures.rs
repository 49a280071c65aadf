//! Numbers, sizes, durations and flags.

use std::time::Duration;

use serde_json::{Value, json};
use toml::de::DeValue;

use super::{Kind, quoted};
use crate::mount::RingLength;
use crate::units::{self, UnitError};

/// A whole number, bounds included.
#[derive(Debug)]
pub(in crate::config) struct Number {
    pub least: usize,
    pub most: usize,
}

impl Kind for Number {
    type Value = usize;

    fn read(&self, value: &DeValue<'_>) -> Option<usize> {
        let number = value.as_integer()?;
        let number = usize::from_str_radix(number.as_str(), number.radix()).ok()?;
        (self.least..=self.most).contains(&number).then_some(number)
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        value.as_str()?.trim().parse::<i64>().ok()?;
        Some("a number has no quotes".to_owned())
    }

    fn write(&self, value: &usize) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.least, self.most)
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": self.least, "maximum": self.most })
    }
}

/// A size in bytes, written with its unit; bounds included.
#[derive(Debug)]
pub(in crate::config) struct Size {
    pub least: usize,
    pub most: usize,
}

impl Kind for Size {
    type Value = usize;

    fn read(&self, value: &DeValue<'_>) -> Option<usize> {
        units::size(value.as_str()?).ok().filter(|size| (self.least..=self.most).contains(size))
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        // A KB may have been taken for 1024 bytes.
        let decimal = value
            .as_str()
            .filter(|text| text.contains(['K', 'k', 'M', 'G']) && !text.contains('i'));
        if let Some(Ok(bytes)) = decimal.map(units::size) {
            return Some(format!("it is {bytes} bytes"));
        }
        unit_reason(value, "B", units::SIZE_UNITS, |text| units::size(text).err())
    }

    fn write(&self, value: &usize) -> Option<String> {
        Some(quoted(&units::size_text(*value)))
    }

    fn allowed(&self) -> String {
        let [least, most] = [self.least, self.most].map(|size| quoted(&units::size_text(size)));
        format!("a size from {least} to {most}")
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": units::size_pattern() })
    }
}

/// How much a ring holds: a size, or a time.
#[derive(Debug)]
pub(in crate::config) struct SizeOrTime(pub Size);

impl Kind for SizeOrTime {
    type Value = RingLength;

    fn read(&self, value: &DeValue<'_>) -> Option<RingLength> {
        let time = units::duration(value.as_str()?).ok().filter(|time| !time.is_zero());
        time.map(RingLength::Time).or_else(|| self.0.read(value).map(RingLength::Bytes))
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        self.0.refusal_reason(value)
    }

    fn write(&self, value: &RingLength) -> Option<String> {
        match value {
            RingLength::Bytes(bytes) => self.0.write(bytes),
            RingLength::Time(time) => Some(quoted(&units::duration_text(*time))),
        }
    }

    fn allowed(&self) -> String {
        format!("a time such as \"5m\", or {}", self.0.allowed())
    }

    fn schema(&self) -> Value {
        let (size, time) = (units::size_pattern(), units::duration_pattern());
        json!({ "type": "string", "pattern": format!("{size}|{time}") })
    }
}

/// A duration, written with its unit; bounds included.
#[derive(Debug)]
pub(in crate::config) struct Time {
    pub least: Duration,
    pub most: Duration,
}

impl Kind for Time {
    type Value = Duration;

    fn read(&self, value: &DeValue<'_>) -> Option<Duration> {
        units::duration(value.as_str()?).ok().filter(|time| (self.least..=self.most).contains(time))
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        unit_reason(value, "s", units::DURATION_UNITS, |text| units::duration(text).err())
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some(quoted(&units::duration_text(*value)))
    }

    fn allowed(&self) -> String {
        let [least, most] = [self.least, self.most].map(|time| quoted(&units::duration_text(time)));
        format!("a duration from {least} to {most}")
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": units::duration_pattern() })
    }
}

/// `"auto"`, which is `None`, or a value of another kind.
#[derive(Debug)]
pub(in crate::config) struct AutoOr<K>(pub K);

impl<K: Kind> Kind for AutoOr<K> {
    type Value = Option<K::Value>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        if value.as_str() == Some("auto") { Some(None) } else { self.0.read(value).map(Some) }
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        self.0.refusal_reason(value)
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        match value {
            None => Some(quoted("auto")),
            Some(value) => self.0.write(value),
        }
    }

    fn allowed(&self) -> String {
        format!("\"auto\" or {}", self.0.allowed())
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "const": "auto" }, self.0.schema()] })
    }
}

/// Yes or no.
#[derive(Debug)]
pub(in crate::config) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn read(&self, value: &DeValue<'_>) -> Option<bool> {
        value.as_bool()
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        matches!(value.as_str()?, "true" | "false").then(|| "it has no quotes".to_owned())
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }
}

/// What is wrong with a value that needs a unit: it is a number, or `error` finds the reason.
fn unit_reason(
    value: &DeValue<'_>,
    unit: &str,
    units: &str,
    error: impl Fn(&str) -> Option<UnitError>,
) -> Option<String> {
    let number = match value {
        DeValue::Integer(number) => number.as_str(),
        DeValue::Float(_) => "1",
        value => return error(value.as_str()?).map(|error| error.to_string()),
    };
    Some(format!("the unit is missing, as in \"{number}{unit}\"; {units}"))
}
