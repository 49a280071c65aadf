//! A log event that travels: taken where it happens, written where waiting hurts nobody.

use std::fmt::{Debug, Write};
use std::time::SystemTime;

use tracing::field::{DisplayValue, Field, Value, Visit, display};
use tracing::{Dispatch, Event, Level, Metadata};

/// What was said, and when.
pub(super) struct Record {
    metadata: &'static Metadata<'static>,
    /// One for each of the event's fields, in their order.
    values: Vec<Option<Text>>,
    pub at: SystemTime,
}

/// A value, as it was given: text, which a line shows in quotes, or anything else.
enum Text {
    Quoted(String),
    Shown(DisplayValue<String>),
}

impl Record {
    /// Takes an event, without the fields of these names.
    pub(super) fn of(event: &Event<'_>, without: &[&str]) -> Self {
        let metadata = event.metadata();
        let values = metadata.fields().iter().map(|_| None).collect();
        let mut record = Self { metadata, values, at: SystemTime::now() };
        event.record(&mut FieldCollector { record: &mut record, without });
        record
    }

    /// How much it matters.
    pub(super) fn level(&self) -> Level {
        *self.metadata.level()
    }

    /// A field's value as text.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let field = self.metadata.fields().field(name)?;
        self.values[field.index()].as_ref().map(|text| match text {
            Text::Quoted(text) => text.clone(),
            Text::Shown(text) => text.to_string(),
        })
    }

    /// Makes the message say what the fields say, for readers who see nothing else of it.
    pub(super) fn append_fields(&mut self) {
        let mut line = String::new();
        for (field, value) in self.metadata.fields().iter().zip(&self.values) {
            // Writing to a String cannot fail.
            let _ = match (field.name(), value) {
                (_, None) | ("message" | "message_id" | "event", _) => Ok(()),
                (name, Some(Text::Quoted(text))) => write!(line, " {name}={text:?}"),
                (name, Some(Text::Shown(text))) => write!(line, " {name}={text}"),
            };
        }
        let message = self.metadata.fields().field("message");
        if let Some(Text::Shown(message)) = message.and_then(|m| self.values[m.index()].as_mut()) {
            *message = display(format!("{message}{line}"));
        }
    }

    /// Writes it: the event happens once more, for this one.
    pub(super) fn replay(&self, to: &Dispatch) {
        let values = self.values.iter().map(|value| {
            value.as_ref().map(|text| match text {
                Text::Quoted(text) => text as &dyn Value,
                Text::Shown(text) => text as &dyn Value,
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
    fn take(&mut self, field: &Field, text: Text) {
        if !self.without.contains(&field.name()) {
            self.record.values[field.index()] = Some(text);
        }
    }
}

impl Visit for FieldCollector<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Text::Quoted(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, Text::Shown(display(format!("{value:?}"))));
    }
}
