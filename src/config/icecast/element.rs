//! XML as a configuration needs it: elements with their lines, attributes and text.

use std::cell::Cell;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::super::reader::Problem;

/// How deep elements may be nested.
const DEEPEST: usize = 16;

/// An element of the file.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    /// Where it begins.
    pub(super) line: usize,
    attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Self>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// As Icecast reads a switch: a word in any case, or what begins with a number other than 0.
    pub(super) fn is_on(&self) -> bool {
        let text = self.text.trim();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let number = unsigned.trim_start_matches('0').starts_with(|c: char| c.is_ascii_digit());
        number || ["true", "yes", "on"].iter().any(|word| text.eq_ignore_ascii_case(word))
    }
}

/// Reads a document.
///
/// # Errors
/// Where it is no XML, or nested too deep.
pub(super) fn parse(text: &str) -> Result<Element, Problem> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(text);
    // Positions grow, but for that of an error: lines are counted on from the last one where that can be.
    let counted = Cell::new((0, 1));
    let line = |at: u64| {
        let at = usize::try_from(at).unwrap_or(text.len()).min(text.len());
        let (from, lines) = Some(counted.get()).filter(|(from, _)| *from <= at).unwrap_or((0, 1));
        let breaks = text.as_bytes()[from..at].split(|&byte| byte == b'\n').count() - 1;
        counted.set((at, lines + breaks));
        lines + breaks
    };
    let wrong = |at: u64, what: &dyn std::fmt::Display| Problem {
        line: Some(line(at)),
        text: format!("this is no XML: {what}"),
    };
    let mut open = vec![Element::default()];
    loop {
        let began = reader.buffer_position();
        let event = reader.read_event().map_err(|error| wrong(reader.error_position(), &error))?;
        let top = open.last_mut().expect("the document itself is never closed");
        let element = |start: &BytesStart<'_>| -> Result<Element, Problem> {
            let mut element = Element {
                name: start.name().as_ref().to_owned(),
                // Text before the element belongs to it no more than its line breaks do.
                line: line(began),
                ..Element::default()
            };
            for attribute in start.attributes() {
                let attribute = attribute.map_err(|error| wrong(began, &error))?;
                let name = attribute.key.as_ref().to_owned();
                let value = attribute
                    .normalized_value(XmlVersion::Implicit1_0)
                    .map_err(|error| wrong(began, &error))?;
                element.attributes.push((name, value.into_owned()));
            }
            Ok(element)
        };
        match event {
            Event::Start(start) => {
                let element = element(&start)?;
                if open.len() > DEEPEST {
                    return Err(wrong(began, &"its elements are nested too deep"));
                }
                open.push(element);
            }
            Event::Empty(start) => {
                let element = element(&start)?;
                top.children.push(element);
            }
            Event::End(_) => {
                let done = open.pop().unwrap_or_default();
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Err(wrong(began, &"an element ends that never began")),
                }
            }
            Event::Text(said) => top.text.push_str(&said.xml10_content()),
            Event::CData(said) => top.text.push_str(&said.xml10_content()),
            Event::GeneralRef(entity) => {
                let character = entity.resolve_char_ref().map_err(|error| wrong(began, &error))?;
                let name = &*entity;
                match (character, resolve_predefined_entity(name)) {
                    (Some(character), _) => top.text.push(character),
                    (None, Some(text)) => top.text.push_str(text),
                    (None, None) => return Err(wrong(began, &"an entity that is not known")),
                }
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let (document, still_open) = (open.swap_remove(0), open);
    if let Some(element) = still_open.first() {
        let text = format!("this is no XML: <{}> is never closed", element.name);
        return Err(Problem { line: Some(element.line), text });
    }
    let mut roots = document.children.into_iter();
    let root = roots.next();
    if let Some(second) = roots.next() {
        let text =
            format!("this is no XML: <{}> follows the end of the first element", second.name);
        return Err(Problem { line: Some(second.line), text });
    }
    root.ok_or_else(|| Problem { line: None, text: "the file is empty".into() })
}
