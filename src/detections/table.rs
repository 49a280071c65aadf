//! Tables of BirdNET-Analyzer: its CSV, and the selection table for Raven.
//!
//! Their times are seconds from the beginning of an audio file, so a table is read with the time at
//! which the file begins. Columns are found by their names (`birdnet_analyzer/analyze/utils.py`).

use std::time::Duration;

use csv::{ReaderBuilder, StringRecord};

use super::check::{Draft, Value};
use super::read_options::MAX_POSTED;
use crate::utc::Utc;

/// The name of what is no species: the only row of an audio file in which nothing was heard.
const NOTHING: &str = "nocall";

/// Where the columns of a table are.
struct Columns {
    begin: usize,
    end: usize,
    /// The beginning in its own file, if `begin` may count from that of another one.
    offset: Option<usize>,
    scientific_name: Option<usize>,
    common_name: Option<usize>,
    confidence: usize,
    file: Option<usize>,
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, String> {
        let find = |names: &[&str]| {
            names.iter().find_map(|name| header.iter().position(|column| column == *name))
        };
        let required = |names: &[&str]| {
            find(names).ok_or_else(|| {
                format!(
                    "the table has no column \"{}\"; allowed: the csv and the selection table of \
                     BirdNET-Analyzer",
                    names.join("\" or \"")
                )
            })
        };
        Ok(Self {
            begin: required(&["Start (s)", "Begin Time (s)"])?,
            end: required(&["End (s)", "End Time (s)"])?,
            offset: find(&["File Offset (s)"]),
            scientific_name: find(&["Scientific name"]),
            common_name: find(&["Common name", "Common Name"]),
            confidence: required(&["Confidence"])?,
            file: find(&["File", "Begin Path"]),
        })
    }
}

/// The rows of a table whose audio begins at `start`; `None` for one without a species.
///
/// # Errors
/// A sentence, if it is no such table.
pub(super) fn rows(table: &str, start: Utc) -> Result<Vec<Option<Draft>>, String> {
    let is_by_tabs = table.lines().next().is_some_and(|header| header.contains('\t'));
    let delimiter = if is_by_tabs { b'\t' } else { b',' };
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(table.as_bytes());
    let columns = Columns::of(reader.headers().map_err(|error| error.to_string())?)?;
    let (mut rows, mut file) = (Vec::new(), None);
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        if rows.len() >= MAX_POSTED {
            return Err(format!("more than {MAX_POSTED} detections at once"));
        }
        let of = columns.file.and_then(|column| record.get(column)).map(ToOwned::to_owned);
        if *file.get_or_insert_with(|| of.clone()) != of {
            return Err("the table is of several files; allowed: one, which begins at start".into());
        }
        rows.push(row(&columns, &record, start));
    }
    Ok(rows)
}

fn row(columns: &Columns, record: &StringRecord, start: Utc) -> Option<Draft> {
    let text = |column: Option<usize>| {
        column.and_then(|column| record.get(column)).map(|text| Value::Text(text.to_owned()))
    };
    let seconds = |column: usize| {
        let seconds = Duration::try_from_secs_f64(text(Some(column))?.number()?).ok()?;
        // A file is no longer than a day; more would be no time at all.
        (seconds < Duration::from_hours(24)).then_some(seconds)
    };
    let (begin, end) = (seconds(columns.begin), seconds(columns.end));
    let offset = columns.offset.map_or(begin, seconds);
    let length = end.zip(begin).and_then(|(end, begin)| end.checked_sub(begin));
    // What is no number is shown as it is, and refused as a time.
    let at = |time: Option<Duration>, column| {
        time.map_or_else(
            || text(Some(column)),
            |time| Some(Value::Text(start.after(time).to_string())),
        )
    };
    let names = [text(columns.scientific_name), text(columns.common_name)];
    let is_nothing = |name: &Option<Value>| *name == Some(Value::Text(NOTHING.into()));
    if names.iter().any(is_nothing) {
        return None;
    }
    let [scientific_name, common_name] = names;
    Some(Draft {
        scientific_name,
        common_name,
        confidence: text(Some(columns.confidence)),
        start: at(offset, columns.begin),
        end: at(
            offset.zip(length).and_then(|(offset, length)| offset.checked_add(length)),
            columns.end,
        ),
        ..Draft::default()
    })
}
