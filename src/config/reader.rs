//! Reads a TOML document key by key and collects everything that is wrong with it, so that one
//! look at the file tells all. Each problem names the line, the key, the value and what is allowed.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` where it is about what is not in the file.
    pub line: Option<usize>,
    /// What is wrong and what is allowed.
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

/// A document being read.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// What was found wrong so far.
    pub problems: Vec<Problem>,
}

/// One table of the document; `None` for one that is not there, which has only defaults.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    name: &'static str,
    table: Option<&'a DeTable<'a>>,
}

impl<'t> Reader<'t> {
    /// Parses the document; syntax errors become problems.
    pub(super) fn new(text: &'t str) -> (Self, DeTable<'t>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self { text, problems: Vec::new() };
        for error in errors {
            let line = error.span().map(|span| reader.line(span.start));
            reader.problems.push(Problem { line, text: error.message().to_owned() });
        }
        (reader, table.into_inner())
    }

    /// The section of this name, its keys checked.
    pub(super) fn section<'a>(&mut self, root: &'a DeTable<'a>, name: &'static str) -> Section<'a> {
        let table = match root.get(name) {
            None => None,
            Some(value) => {
                let table = value.get_ref().as_table();
                if table.is_none() {
                    self.wrong(value, name, &format!("a table, written [{name}]"));
                }
                table
            }
        };
        self.check_keys(name, table, &[])
    }

    /// The document's own level, its keys checked; `tables` are the sections it may hold.
    pub(super) fn root<'a>(
        &mut self,
        root: &'a DeTable<'a>,
        tables: &'static [&'static str],
    ) -> Section<'a> {
        self.check_keys("", Some(root), tables)
    }

    /// The `[[mount]]` tables, their keys checked.
    pub(super) fn mounts<'a>(&mut self, root: &'a DeTable<'a>) -> Vec<Section<'a>> {
        let Some(value) = root.get("mount") else { return Vec::new() };
        let wanted = "a table, written [[mount]]";
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(value, "mount", wanted);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for element in array {
            match element.get_ref() {
                DeValue::Table(table) => sections.push(self.check_keys("mount", Some(table), &[])),
                _ => self.wrong(element, "mount", wanted),
            }
        }
        sections
    }

    /// A key's value through `read`, which says `None` to what is not `allowed`; else the default.
    pub(super) fn get<T>(
        &mut self,
        section: Section<'_>,
        key: &str,
        allowed: &str,
        default: T,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> T {
        let Some(value) = section.table.and_then(|table| table.get(key)) else { return default };
        read(value.get_ref()).unwrap_or_else(|| {
            let path = section.path(key);
            self.wrong(value, &path, allowed);
            default
        })
    }

    /// The line on which a key's value stands.
    pub(super) fn line_of(&self, section: Section<'_>, key: &str) -> Option<usize> {
        let value = section.table?.get(key)?;
        Some(self.line(value.span().start))
    }

    fn check_keys<'a>(
        &mut self,
        name: &'static str,
        table: Option<&'a DeTable<'a>>,
        tables: &'static [&'static str],
    ) -> Section<'a> {
        let section = Section { name, table };
        for key in table.into_iter().flat_map(|table| table.keys()) {
            let unknown = key.get_ref().as_ref();
            if !keys::names(name).chain(tables.iter().copied()).any(|known| known == unknown) {
                let hint = hint(name, unknown, tables);
                let path = section.path(unknown);
                let text = format!("{path} is no key of this configuration{hint}");
                self.problems.push(Problem { line: Some(self.line(key.span().start)), text });
            }
        }
        section
    }

    /// Notes something that is wrong.
    pub(super) fn complain(&mut self, line: Option<usize>, text: String) {
        self.problems.push(Problem { line, text });
    }

    fn wrong(&mut self, at: &Spanned<DeValue<'_>>, path: &str, allowed: &str) {
        // A secret must not be printed, whatever is wrong with it.
        let shown = if path.ends_with("password") || path.ends_with("key") {
            "***"
        } else {
            self.text[at.span()].trim()
        };
        let line = Some(self.line(at.span().start));
        let text = format!("{path} = {shown} is not allowed; it takes {allowed}");
        self.problems.push(Problem { line, text });
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].bytes().filter(|&byte| byte == b'\n').count() + 1
    }
}

impl Section<'_> {
    /// A key as it is written in the manual.
    pub(super) fn path(&self, key: &str) -> String {
        match self.name {
            "" => key.to_owned(),
            "mount" => format!("[[mount]] {key}"),
            name => format!("[{name}] {key}"),
        }
    }
}

/// Where an unknown key may have been meant to stand.
fn hint(section: &str, unknown: &str, tables: &'static [&'static str]) -> String {
    let near = |known: &&'static str| strsim::damerau_levenshtein(known, unknown);
    let here = keys::names(section).chain(tables.iter().copied());
    if let Some(other) = keys::KEYS.iter().find(|key| key.name == unknown && key.section != section)
    {
        return match other.section {
            "" => format!("; {unknown} stands before all [sections]"),
            "mount" => format!("; {unknown} belongs into [[mount]]"),
            other => format!("; {unknown} belongs into [{other}]"),
        };
    }
    match here.min_by_key(near) {
        Some(nearest) => format!("; the nearest is {nearest}"),
        None => String::new(),
    }
}
