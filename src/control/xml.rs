//! XML as Icecast's administration writes it: elements, attributes and text, nothing else.

// The page's documents use it as well.
pub(super) use quick_xml::escape::escape;

/// Stands where something is yet to be put in: no XML may have this character.
const HOLE: char = '\0';

/// A document in the making.
#[derive(Debug)]
pub(super) struct Xml(String);

impl Xml {
    /// A document with one element, which `inside` fills.
    pub(super) fn document(name: &str, inside: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(String::from("<?xml version=\"1.0\"?>\n"));
        xml.element(name, &[], inside);
        xml.0
    }

    /// A document whose inmost part is yet to be made: what stands before it, and what after it.
    pub(super) fn around(name: &str, inside: impl FnOnce(&mut Self)) -> (String, String) {
        let document = Self::document(name, inside);
        let (before, after) = document.split_once(HOLE).unwrap_or((&document, ""));
        (before.to_owned(), after.to_owned())
    }

    /// Where the inmost part of a document goes, once.
    pub(super) fn hole(&mut self) {
        self.0.push(HOLE);
    }

    /// What `inside` makes, without a document around it.
    pub(super) fn part(inside: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(String::new());
        inside(&mut xml);
        xml.0
    }

    /// An element with others in it.
    pub(super) fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        inside: impl FnOnce(&mut Self),
    ) {
        self.0.extend(["<", name]);
        for (name, value) in attributes {
            self.0.extend([" ", name, "=\"", &escape(allowed(value)), "\""]);
        }
        self.0.push('>');
        inside(self);
        self.0.extend(["</", name, ">"]);
    }

    /// An element with a value in it.
    #[allow(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
    pub(super) fn value(&mut self, name: &str, value: impl ToString) {
        let text = allowed(&value.to_string());
        self.element(name, &[], |xml| xml.0.push_str(&escape(text)));
    }
}

/// The text without what XML 1.0 cannot say (section 2.2).
fn allowed(text: &str) -> String {
    let can = |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(can).collect()
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::Xml;

    #[test]
    fn whatever_is_said_it_stays_one_document() {
        let hostile = "\"><script>&]]>\u{0}\u{b}\u{fffe}\u{ffff}🦉";
        let text = Xml::document("a", |xml| {
            xml.element("b", &[("c", hostile)], |xml| xml.value("d", hostile));
        });
        let mut reader = Reader::from_str(&text);
        let (mut names, mut said) = (Vec::new(), String::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    names.push(start.name().as_ref().to_owned());
                    for attribute in start.attributes() {
                        said += &attribute
                            .unwrap()
                            .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                            .unwrap();
                    }
                }
                Event::Text(text) => said += &text.xml10_content(),
                Event::GeneralRef(_) => said.push('.'),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(names, ["a", "b", "d"]);
        assert!(said.trim_start().starts_with("\"><script>&]]>🦉"), "{said}");
    }
}
