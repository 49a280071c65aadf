//! A copy of a log event: made on the thread that logs, and written on the thread `log`.

use std::fmt::{self, Debug, Display, Formatter, Write};
use std::time::SystemTime;

use tracing::field::{DisplayValue, Field, Value, Visit, display};
use tracing::{Dispatch, Event, Level, Metadata};

use super::logfmt::{plain_name, quoted, quoted_if_needed};

/// A log event and its time.
pub(super) struct Record {
    metadata: &'static Metadata<'static>,
    /// The values of the event's fields, in their order.
    values: Vec<Option<FieldValue>>,
    /// When the event happened.
    pub at: SystemTime,
    /// How many bytes of the message are [appended](Self::append_fields).
    appended: usize,
}

/// The value of a field, with its type: journald and text show only its text, but JSON has numbers
/// and booleans.
enum FieldValue {
    Text(String),
    /// Anything that is written with `Display` or `Debug`.
    Formatted(DisplayValue<String>),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Boolean(bool),
}

impl FieldValue {
    fn as_value(&self) -> &dyn Value {
        match self {
            Self::Text(text) => text,
            Self::Formatted(text) => text,
            Self::Unsigned(number) => number,
            Self::Signed(number) => number,
            Self::Float(number) => number,
            Self::Boolean(boolean) => boolean,
        }
    }
}

impl Display for FieldValue {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Formatted(text) => Display::fmt(text, formatter),
            Self::Unsigned(number) => Display::fmt(number, formatter),
            Self::Signed(number) => Display::fmt(number, formatter),
            Self::Float(number) => Debug::fmt(number, formatter),
            Self::Boolean(boolean) => Display::fmt(boolean, formatter),
        }
    }
}

impl Record {
    /// Copies an event, except for the fields named in `without`.
    pub(super) fn of(event: &Event<'_>, without: &[&str]) -> Self {
        let metadata = event.metadata();
        let values = metadata.fields().iter().map(|_| None).collect();
        let mut record = Self { metadata, values, at: SystemTime::now(), appended: 0 };
        event.record(&mut FieldCollector { record: &mut record, without });
        record
    }

    /// A field's value as text.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let field = self.metadata.fields().field(name)?;
        self.values[field.index()].as_ref().map(ToString::to_string)
    }

    /// How important the event is.
    pub(super) fn level(&self) -> Level {
        *self.metadata.level()
    }

    /// The message, without what was appended to it.
    pub(super) fn message(&self) -> Option<String> {
        let mut message = self.value("message")?;
        message.truncate(message.len().saturating_sub(self.appended));
        Some(message)
    }

    /// The fields that differ from event to event, by name.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let fields = self.metadata.fields().iter().zip(&self.values);
        let fields = fields.filter(|(field, _)| !is_same_for_all(field.name()));
        fields
            .filter_map(|(field, value)| {
                Some((plain_name(field.name()), value.as_ref()?.to_string()))
            })
            .collect()
    }

    /// Appends the fields to the message, because `journalctl` shows only the message by default.
    pub(super) fn append_fields(&mut self) {
        let mut line = String::new();
        for (field, value) in self.metadata.fields().iter().zip(&self.values) {
            let text = match (field.name(), value) {
                (_, None) => continue,
                (name, _) if is_same_for_all(name) => continue,
                (_, Some(FieldValue::Text(text))) => quoted(text),
                (_, Some(value)) => quoted_if_needed(value.to_string()),
            };
            // Writing to a String cannot fail.
            let _ = write!(line, " {}={text}", plain_name(field.name()));
        }
        let message = self.metadata.fields().field("message");
        let message = message.and_then(|field| self.values[field.index()].as_mut());
        if let Some(FieldValue::Formatted(message)) = message {
            *message = display(format!("{message}{line}"));
            self.appended = line.len();
        }
    }

    /// Emits the event again, to the subscriber `to`.
    pub(super) fn replay(&self, to: &Dispatch) {
        let values = self.values.iter().map(|value| value.as_ref().map(FieldValue::as_value));
        let values: Vec<_> = values.collect();
        let fields = self.metadata.fields();
        to.event(&Event::new(self.metadata, &fields.value_set_all(&values)));
    }
}

/// Whether all events of a kind have the same value of the field with this name.
fn is_same_for_all(name: &str) -> bool {
    matches!(name, "message" | "message_id" | "event")
}

struct FieldCollector<'r> {
    record: &'r mut Record,
    without: &'r [&'r str],
}

impl FieldCollector<'_> {
    fn store(&mut self, field: &Field, value: FieldValue) {
        if !self.without.contains(&field.name()) {
            self.record.values[field.index()] = Some(value);
        }
    }
}

impl Visit for FieldCollector<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.store(field, FieldValue::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.store(field, FieldValue::Unsigned(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.store(field, FieldValue::Signed(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.store(field, FieldValue::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.store(field, FieldValue::Boolean(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.store(field, FieldValue::Formatted(display(format!("{value:?}"))));
    }
}
