//! `/api/v1/journal`: the newest lines of the log with their explanations, for the administrator.

use std::collections::BTreeMap;

use serde::Serialize;

use super::render::rfc3339;
use super::response::{HttpResponse, json};
use crate::log::journal::ALL;
use crate::log::{Explanation, RecentLine, explain, recent};

/// The response; the schema `Journal`.
#[derive(Debug, Serialize)]
struct Journal {
    /// The newest first.
    lines: Vec<JournalLine>,
}

/// A line; the schema `JournalLine`.
#[derive(Debug, Serialize)]
struct JournalLine {
    time: String,
    level: String,
    event: String,
    message: String,
    fields: BTreeMap<&'static str, String>,
    subject: Option<&'static str>,
    explanation: Option<String>,
}

/// The lines that are kept.
pub(super) fn respond() -> HttpResponse {
    json(&Journal { lines: recent().into_iter().map(JournalLine::of).collect() })
}

impl JournalLine {
    fn of(line: RecentLine) -> Self {
        let fields: BTreeMap<_, _> = line.fields.into_iter().collect();
        let event = ALL.iter().find(|event| event.name == line.event);
        let explanation = event.and_then(|event| explain(event, |name| fields.get(name).cloned()));
        let (subject, explanation) =
            explanation.map(|Explanation { subject, text }| (subject, text)).unzip();
        Self {
            time: rfc3339(line.at),
            level: line.level.to_string().to_lowercase(),
            event: line.event,
            message: line.message,
            fields,
            subject,
            explanation,
        }
    }
}
