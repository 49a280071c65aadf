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

/// More than BirdNET-Analyzer ever writes.
const MAX_COLUMNS: usize = 64;

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

/// A row of a table.
pub(super) enum TableRow {
    Detection(Box<Draft>),
    /// One without a species.
    Nothing,
    /// A sentence that says what is wrong.
    Wrong(String),
}

/// Reads a table whose audio begins at `start`, and passes on each row with its number, from 1.
///
/// # Errors
/// A sentence, if it is no such table.
pub(super) fn read(
    table: &str,
    start: Utc,
    mut take: impl FnMut(usize, TableRow),
) -> Result<(), String> {
    let is_by_tabs = table.lines().next().is_some_and(|header| header.contains('\t'));
    let delimiter = if is_by_tabs { b'\t' } else { b',' };
    // The reader keeps the place of each column.
    let is_wide = |line: &str| line.bytes().filter(|byte| *byte == delimiter).count() > MAX_COLUMNS;
    if table.lines().any(is_wide) {
        return Err(format!("the table has more than {MAX_COLUMNS} columns"));
    }
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(table.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let columns = Columns::of(&header)?;
    let mut file = None;
    for (record, number) in reader.records().zip(1..) {
        let record = record.map_err(|error| error.to_string())?;
        if number > MAX_POSTED {
            return Err(format!("more than {MAX_POSTED} detections at once"));
        }
        let of = columns.file.and_then(|column| record.get(column)).map(ToOwned::to_owned);
        if *file.get_or_insert_with(|| of.clone()) != of {
            return Err("the table is of several files; allowed: one, which begins at start".into());
        }
        let row = row(&columns, &record, start).unwrap_or_else(|column| {
            let name = header.get(column).unwrap_or_default();
            TableRow::Wrong(format!("the column \"{name}\" is not a number of seconds"))
        });
        take(number, row);
    }
    Ok(())
}

/// Reads a row of a table whose audio begins at `start`.
///
/// # Errors
/// The column that is not a number of seconds.
fn row(columns: &Columns, record: &StringRecord, start: Utc) -> Result<TableRow, usize> {
    let text = |column: Option<usize>| {
        column.and_then(|column| record.get(column)).map(|text| Value::Text(text.to_owned()))
    };
    let seconds = |column: usize| {
        let number = text(Some(column)).and_then(|text| text.number());
        let seconds = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
        // A file is no longer than a day.
        seconds.filter(|seconds| *seconds < Duration::from_hours(24)).ok_or(column)
    };
    let names = [text(columns.scientific_name), text(columns.common_name)];
    if names.contains(&Some(Value::Text(NOTHING.into()))) {
        return Ok(TableRow::Nothing);
    }
    let (begin, end) = (seconds(columns.begin)?, seconds(columns.end)?);
    let begin_in_file = columns.offset.map_or(Ok(begin), seconds)?;
    let start = start.after(begin_in_file);
    let at = |time: Utc| Some(Value::Text(time.to_string()));
    let [scientific_name, common_name] = names;
    Ok(TableRow::Detection(Box::new(Draft {
        scientific_name,
        common_name,
        confidence: text(Some(columns.confidence)),
        start: at(start),
        end: at(start.after(end.saturating_sub(begin))),
        ..Draft::default()
    })))
}
