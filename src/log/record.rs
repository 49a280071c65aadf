//! A copy of a log event: made on the thread that logs, and written on the thread `log`.

use std::fmt::{Debug, Write};
use std::time::SystemTime;

use tracing::field::{DisplayValue, Field, Value, Visit, display};
use tracing::{Dispatch, Event, Level, Metadata};

/// A log event and its time.
pub(super) struct Record {
    metadata: &'static Metadata<'static>,
    /// The values of the event's fields, in their order.
    values: Vec<Option<FieldValue>>,
    /// When the event happened.
    pub at: SystemTime,
}

/// The value of a field: a string, which a line shows in quotes, or any other value.
enum FieldValue {
    Quoted(String),
    Plain(DisplayValue<String>),
}

impl Record {
    /// Copies an event, except for the fields named in `without`.
    pub(super) fn of(event: &Event<'_>, without: &[&str]) -> Self {
        let metadata = event.metadata();
        let values = metadata.fields().iter().map(|_| None).collect();
        let mut record = Self { metadata, values, at: SystemTime::now() };
        event.record(&mut FieldCollector { record: &mut record, without });
        record
    }

    /// The level of the event.
    pub(super) fn level(&self) -> Level {
        *self.metadata.level()
    }

    /// A field's value as text.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let field = self.metadata.fields().field(name)?;
        self.values[field.index()].as_ref().map(|value| match value {
            FieldValue::Quoted(text) => text.clone(),
            FieldValue::Plain(text) => text.to_string(),
        })
    }

    /// Appends the fields to the message, because `journalctl` shows only the message by default.
    pub(super) fn append_fields(&mut self) {
        let mut line = String::new();
        for (field, value) in self.metadata.fields().iter().zip(&self.values) {
            // Writing to a String cannot fail.
            let _ = match (field.name(), value) {
                (_, None) | ("message" | "message_id" | "event", _) => Ok(()),
                (name, Some(FieldValue::Quoted(text))) => write!(line, " {name}={text:?}"),
                (name, Some(FieldValue::Plain(text))) => write!(line, " {name}={text}"),
            };
        }
        let message = self.metadata.fields().field("message");
        let message = message.and_then(|field| self.values[field.index()].as_mut());
        if let Some(FieldValue::Plain(message)) = message {
            *message = display(format!("{message}{line}"));
        }
    }

    /// Emits the event again, to the subscriber `to`.
    pub(super) fn replay(&self, to: &Dispatch) {
        let values = self.values.iter().map(|value| {
            value.as_ref().map(|value| match value {
                FieldValue::Quoted(text) => text as &dyn Value,
                FieldValue::Plain(text) => text as &dyn Value,
            })
        });
        let values: Vec<_> = values.collect();
        let fields = self.metadata.fields();
        to.event(&Event::new(self.metadata, &fields.value_set_all(&values)));
    }
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
        self.store(field, FieldValue::Quoted(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.store(field, FieldValue::Plain(display(format!("{value:?}"))));
    }
}
