//! Reads a TOML document key by key and collects all problems, so that one run reports everything.
//! Each problem has its line, the key, and what is allowed.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, KeyTable, Row, Table};
use super::kinds::Kind;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` if something is missing from the file as a whole.
    pub line: Option<usize>,
    /// What is wrong, and what is allowed.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// What is wrong with a line such as `hold = 30s`.
const UNQUOTED: &str =
    "text must be in quotes, and so must numbers with a unit, such as \"30s\" or \"256KiB\"";

/// Whether a line that is not TOML gives a key a value that would be text in quotes.
fn lacks_quotes(line: &str) -> bool {
    let value = line.split_once('=').map(|(_, value)| value.trim_start());
    value.is_some_and(|value| value.starts_with(|c: char| c.is_alphanumeric() || c == '/'))
}

/// What a file that is not TOML calls a key; `None` if it has no such key.
type ElementName = fn(Table, &str) -> Option<&'static str>;

/// The file that a document was converted from. Messages use its names and its lines.
#[derive(Clone, Copy)]
pub(super) struct Origin<'t> {
    /// What it calls a key; `None` if it has no such key.
    pub element: ElementName,
    /// For each line of the document, the line of the file; 0 for a line that comes from none.
    pub lines: &'t [usize],
}

/// A document being read.
pub(super) struct Reader<'t> {
    text: &'t str,
    keys: KeyTable,
    origin: Option<Origin<'t>>,
    /// The lines that are not TOML. What their keys are set to is not known.
    broken: Vec<usize>,
    /// The problems found so far.
    pub problems: Vec<Problem>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
}

/// A table of the document.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    table: Table,
    /// What the file calls its keys, if it is not TOML.
    element: Option<ElementName>,
    /// Where it begins in the text.
    start: usize,
    /// `None` for a table that is not in the document: all its keys have their defaults.
    values: Option<&'a DeTable<'a>>,
}

impl<'t> Reader<'t> {
    /// Parses a document that may have these keys; syntax errors become problems.
    pub(super) fn new(
        text: &'t str,
        keys: KeyTable,
        origin: Option<Origin<'t>>,
    ) -> (Self, DeTable<'t>) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self {
            text,
            keys,
            origin,
            broken: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let line = reader.number(at);
            // The first error of a line often causes others.
            if !reader.broken.contains(&line) {
                reader.broken.push(line);
                let unquoted = text.lines().nth(line - 1).is_some_and(lacks_quotes);
                let message = if unquoted { UNQUOTED } else { error.message() };
                reader.report(reader.line(at), message.to_owned());
            }
        }
        (reader, document.into_inner())
    }

    /// Whether the document is a configuration at all. If it is not TOML and has no known key,
    /// one problem replaces all that each of its lines would cause.
    pub(super) fn is_configuration(&mut self, document: &DeTable<'_>) -> bool {
        let top = Section { table: Table::Top, element: self.element(), start: 0, values: None };
        let is_known = |key: &str| self.known(top).any(|known| known == key);
        if self.broken.is_empty() || document.keys().any(|key| is_known(key.get_ref())) {
            return true;
        }
        let line = self.broken.first().copied();
        let text = "this is neither TOML nor Icecast's XML; expected a configuration such as \
                    /etc/silvacast/silvacast.toml or an icecast.xml";
        self.problems = vec![Problem { line, text: text.to_owned() }];
        false
    }

    /// The top level of the document, its keys checked.
    pub(super) fn top<'a>(&mut self, document: &'a DeTable<'a>) -> Section<'a> {
        self.check_keys(Section {
            table: Table::Top,
            element: self.element(),
            start: 0,
            values: Some(document),
        })
    }

    /// A table of the document, its keys checked.
    pub(super) fn section<'a>(&mut self, document: &'a DeTable<'a>, table: Table) -> Section<'a> {
        let mut section = Section { table, element: self.element(), start: 0, values: None };
        if let Some(value) = document.get(table.name()) {
            section.start = value.span().start;
            section.values = value.get_ref().as_table();
            if section.values.is_none() {
                self.report_not_a_table(value, table);
            }
        }
        self.check_keys(section)
    }

    /// The tables of a kind of which there may be several, their keys checked.
    pub(super) fn sections<'a>(
        &mut self,
        document: &'a DeTable<'a>,
        table: Table,
    ) -> Vec<Section<'a>> {
        let Some(value) = document.get(table.name()) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            self.report_not_a_table(value, table);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for element in array {
            match element.get_ref() {
                DeValue::Table(values) => {
                    let start = element.span().start;
                    let element = self.element();
                    let section = Section { table, element, start, values: Some(values) };
                    sections.push(self.check_keys(section));
                }
                _ => self.report_not_a_table(element, table),
            }
        }
        sections
    }

    /// The value of a key; its default if it is not given, or given with a value that is not
    /// allowed, which is reported.
    pub(super) fn get<K: Kind>(&mut self, section: Section<'_>, key: &Key<K>) -> K::Value {
        self.given(section, key).unwrap_or_else(key.default)
    }

    /// The value of a key; `None` if it is not given, or given with a value that is not allowed,
    /// which is reported.
    pub(super) fn given<K: Kind>(
        &mut self,
        section: Section<'_>,
        key: &Key<K>,
    ) -> Option<K::Value> {
        debug_assert!(self.keys.accepted(section.table).any(|row| row.name() == key.name));
        let value = section.values?.get(key.name)?;
        if self.broken.contains(&self.number(value.span().start)) {
            return None;
        }
        let read = key.kind.read(value.get_ref());
        if read.is_none() {
            let shown = if K::SECRET { "***" } else { self.text[value.span()].trim() };
            let reason = key.kind.refusal_reason(value.get_ref());
            let text = format!(
                "invalid value {shown} for {}{}; allowed: {}",
                section.key(key.name),
                reason.map_or_else(String::new, |reason| format!(": {reason}")),
                key.kind.allowed()
            );
            self.report(self.line(value.span().start), text);
        }
        read
    }

    /// The text of the document.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The line of a key's value.
    pub(super) fn line_of(&self, section: Section<'_>, key: &str) -> Option<usize> {
        let value = section.values?.get(key)?;
        self.line(value.span().start)
    }

    /// All problems, in the order of the lines.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        // What seems to be missing may be in a line that could not be read.
        if !self.broken.is_empty() {
            self.problems.retain(|problem| problem.line.is_some());
        }
        self.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        self.problems
    }

    /// Adds a problem to the list.
    pub(super) fn report(&mut self, line: Option<usize>, text: String) {
        self.problems.push(Problem { line, text });
    }

    /// Reports every key that no row describes.
    fn check_keys<'a>(&mut self, section: Section<'a>) -> Section<'a> {
        for key in section.values.into_iter().flat_map(|values| values.keys()) {
            let name = key.get_ref().as_ref();
            if !self.known(section).any(|known| known == name) {
                let text =
                    format!("unknown key {}; {}", section.key(name), self.hint(section, name));
                self.report(self.line(key.span().start), text);
            }
        }
        section
    }

    /// The keys that a section may have; at the top level also the names of the tables.
    fn known(&self, section: Section<'_>) -> impl Iterator<Item = &'static str> {
        let tables = if section.table == Table::Top { &Table::ALL[1..] } else { &[] };
        self.keys
            .accepted(section.table)
            .map(Row::name)
            .chain(tables.iter().map(|table| table.name()))
    }

    /// Suggests the key that an unknown one may be a misspelling of, or the table that it belongs to.
    fn hint(&self, section: Section<'_>, unknown: &str) -> String {
        if let Some(row) = self.keys.all().find(|row| row.name() == unknown) {
            return match row.table() {
                Table::Top => format!("`{unknown}` belongs at the top, before the first [section]"),
                table => format!("`{unknown}` belongs in {}", table.heading()),
            };
        }
        let nearest =
            self.known(section).min_by_key(|known| strsim::damerau_levenshtein(known, unknown));
        nearest.map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"))
    }

    /// The value is not shown, as there could be secrets in it.
    fn report_not_a_table(&mut self, value: &Spanned<DeValue<'_>>, table: Table) {
        let text = format!("`{}` must be a table, written {}", table.name(), table.heading());
        self.report(self.line(value.span().start), text);
    }

    fn element(&self) -> Option<ElementName> {
        self.origin.map(|file| file.element)
    }

    /// The line of the file that a position in the text comes from.
    fn line(&self, at: usize) -> Option<usize> {
        let number = self.number(at);
        match self.origin {
            None => Some(number),
            Some(file) => file.lines.get(number - 1).copied().filter(|&line| line > 0),
        }
    }

    /// The line of the text, from 1.
    fn number(&self, at: usize) -> usize {
        self.text[..at].bytes().filter(|&byte| byte == b'\n').count() + 1
    }
}

impl Section<'_> {
    /// What the file calls a key, if it is not TOML.
    pub(super) fn element(&self, name: &str) -> Option<&'static str> {
        (self.element?)(self.table, name)
    }

    /// A key and its table: `` `burst` in [mount-defaults] ``.
    pub(super) fn key(&self, name: &str) -> String {
        if let Some(element) = self.element(name) {
            return element.to_owned();
        }
        match self.table {
            Table::Top => format!("`{name}`"),
            table => format!("`{name}` in {}", table.heading()),
        }
    }

    /// The line of its heading.
    pub(super) fn line(&self, reader: &Reader<'_>) -> Option<usize> {
        self.values.and_then(|_| reader.line(self.start))
    }
}
