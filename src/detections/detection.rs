//! One detection.

use serde::Serialize;

use crate::text::sanitize;
use crate::utc::Utc;

/// The longest text of a detection, in bytes: a name or an id, the model, and the URL.
pub(super) const MAX_TEXT: usize = 128;
pub(super) const MAX_URL: usize = 256;

/// Maximum memory of a detection that is kept, in bytes: its texts, and what is around them.
pub const DETECTION_MEMORY: usize = 4 * MAX_TEXT + MAX_URL + 512;

/// A species that was heard. At least one of its names is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// The scientific name, such as `Turdus merula`.
    pub scientific_name: Option<Box<str>>,
    /// The name in the detector's language.
    pub common_name: Option<Box<str>>,
    /// How sure the detector is: 0 to 1.
    pub confidence: f64,
    /// When the part of the audio begins in which it was heard.
    pub start: Utc,
    /// When that part ends.
    pub end: Utc,
    /// The lowest frequency of the sound, in Hz.
    pub low_frequency: Option<f64>,
    /// The highest one.
    pub high_frequency: Option<f64>,
    /// What the detector calls this detection.
    pub id: Option<Box<str>>,
    /// What the detector is called.
    pub model: Option<Box<str>>,
    /// Where there is more about it.
    pub url: Option<Box<str>>,
}

impl Detection {
    /// The name of the species as a title, such as `Common Blackbird (Turdus merula)`.
    pub fn title(&self) -> String {
        match (&self.common_name, &self.scientific_name) {
            (Some(common), Some(scientific)) if common != scientific => {
                sanitize(&format!("{common} ({scientific})"))
            }
            (Some(name), _) | (None, Some(name)) => name.to_string(),
            (None, None) => String::new(),
        }
    }

    /// The detection as a comment of a file, without the name of the field: time, confidence and
    /// species.
    pub fn comment(&self) -> String {
        format!("{}/{} {:.2} {}", self.start, self.end, self.confidence, self.title())
    }

    /// Whether this is the same detection as another one: from the same detector, of the same time, and
    /// with the same id or, if one of them has none, of the same species.
    pub fn is_again(&self, other: &Self) -> bool {
        let is_same = match (&self.id, &other.id) {
            (Some(id), Some(other)) => id == other,
            _ => self.is_of_species(other),
        };
        is_same && self.start == other.start && self.model == other.model
    }

    /// Whether both are of the same species.
    pub fn is_of_species(&self, other: &Self) -> bool {
        match (&self.scientific_name, &other.scientific_name) {
            (Some(name), Some(other)) => name == other,
            _ => self.common_name == other.common_name,
        }
    }
}
