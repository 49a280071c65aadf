//! A detection as a detector writes it in JSON: any of its members may be missing or of another type.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::read_options::MAX_POSTED;

/// A JSON object that is one detection, or a notification about one. What the members hold is checked
/// later, so that everything that is wrong can be said at once.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, alias = "scientificName")]
    pub(super) scientific_name: Option<&'a RawValue>,
    #[serde(borrow, alias = "commonName")]
    pub(super) common_name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) confidence: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) start: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) end: Option<&'a RawValue>,
    /// In place of `start`: in a zone that is not said.
    #[serde(borrow)]
    pub(super) date: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) time: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) low_frequency: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) high_frequency: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) url: Option<&'a RawValue>,
    /// The kind of a notification of BirdNET-Go.
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<&'a RawValue>,
    /// What a notification of Apprise has, and no other.
    #[serde(borrow)]
    pub(super) version: Option<&'a RawValue>,
    /// The text of a notification. That of Apprise may be JSON itself.
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    /// What a notification of BirdNET-Go is about.
    #[serde(borrow)]
    pub(super) metadata: Option<&'a RawValue>,
    /// A species about which BirdNET-Go has not decided yet (its event `pending`).
    #[serde(rename = "hitCount")]
    pub(super) undecided: Option<IgnoredAny>,
}

/// `metadata` in a notification of BirdNET-Go (`internal/notification/push_webhook.go`).
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    species: Option<&'a RawValue>,
    #[serde(borrow)]
    scientific_name: Option<&'a RawValue>,
    #[serde(borrow)]
    confidence: Option<&'a RawValue>,
    #[serde(borrow)]
    bg_detection_id: Option<&'a RawValue>,
    #[serde(borrow)]
    bg_detection_url: Option<&'a RawValue>,
    #[serde(borrow)]
    bg_detection_date: Option<&'a RawValue>,
    #[serde(borrow)]
    bg_detection_time: Option<&'a RawValue>,
}

impl Item<'_> {
    /// Whether it has any member that only a detection has.
    pub(super) fn is_detection(&self) -> bool {
        let names = self.scientific_name.or(self.common_name).is_some();
        let times = self.start.or(self.end).or(self.date).or(self.time).is_some();
        let frequencies = self.low_frequency.or(self.high_frequency).is_some();
        let is_any = names || times || frequencies || self.confidence.is_some();
        is_any && self.undecided.is_none()
    }
}

impl<'a> Metadata<'a> {
    /// The detection that a notification is about; `None` for that of BirdNET-Go's test button.
    pub(super) fn detection(self) -> Option<Item<'a>> {
        let is_test = self.bg_detection_id.and_then(text).is_some_and(|id| id == "test");
        let item = Item {
            scientific_name: self.scientific_name,
            common_name: self.species,
            confidence: self.confidence,
            date: self.bg_detection_date,
            time: self.bg_detection_time,
            id: self.bg_detection_id,
            url: self.bg_detection_url,
            ..Item::default()
        };
        (!is_test && item.is_detection()).then_some(item)
    }
}

/// The text of a member, if it is one.
pub(super) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The values in a body: the elements of a list, or the body itself.
///
/// # Errors
/// If the body is not JSON, or a list of more than [`MAX_POSTED`].
pub(super) fn values(body: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
    if body.trim_start().starts_with('[') {
        Ok(serde_json::from_str::<List<'_>>(body)?.0)
    } else {
        Ok(vec![serde_json::from_str(body)?])
    }
}

/// A list that is not longer than [`MAX_POSTED`].
struct List<'a>(Vec<&'a RawValue>);

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() >= MAX_POSTED {
                return Err(Error::custom(format!("more than {MAX_POSTED} detections at once")));
            }
            list.push(element);
        }
        Ok(List(list))
    }
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}
