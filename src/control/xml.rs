//! A minimal XML writer for Icecast's administration documents: elements, attributes and text.

// The page's documents use it as well.
pub(super) use quick_xml::escape::escape;

/// Marks the position at which a document is split. No XML document contains this character.
const PLACEHOLDER: char = '\0';

/// A document or fragment that is being written.
#[derive(Debug)]
pub(super) struct Xml(String);

impl Xml {
    /// Writes a document with the root element `name`, whose content `write_content` writes.
    pub(super) fn document(
        name: &str,
        attributes: &[(&str, &str)],
        write_content: impl FnOnce(&mut Self),
    ) -> String {
        let mut xml = Self(String::from("<?xml version=\"1.0\"?>\n"));
        xml.element(name, attributes, write_content);
        xml.0
    }

    /// Writes a document like [`Self::document`] and splits it at its [`Self::placeholder`].
    pub(super) fn split_document(
        name: &str,
        write_content: impl FnOnce(&mut Self),
    ) -> (String, String) {
        let document = Self::document(name, &[], write_content);
        let (before, after) = document.split_once(PLACEHOLDER).unwrap_or((&document, ""));
        (before.to_owned(), after.to_owned())
    }

    /// Marks the position at which [`Self::split_document`] splits the document.
    pub(super) fn placeholder(&mut self) {
        self.0.push(PLACEHOLDER);
    }

    /// Writes elements without a document around them.
    pub(super) fn fragment(write_content: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(String::new());
        write_content(&mut xml);
        xml.0
    }

    /// Writes an element, whose content `write_content` writes.
    pub(super) fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        write_content: impl FnOnce(&mut Self),
    ) {
        self.0.extend(["<", name]);
        for (name, value) in attributes {
            self.0.extend([" ", name, "=\"", &escape(strip_invalid(value)), "\""]);
        }
        self.0.push('>');
        write_content(self);
        self.0.extend(["</", name, ">"]);
    }

    /// Writes an element that contains text.
    #[allow(clippy::needless_pass_by_value, reason = "callers pass numbers as well as strings")]
    pub(super) fn value(&mut self, name: &str, value: impl ToString) {
        let text = strip_invalid(&value.to_string());
        self.element(name, &[], |xml| xml.0.push_str(&escape(text)));
    }
}

/// Removes the characters that XML 1.0 does not allow (section 2.2).
fn strip_invalid(text: &str) -> String {
    let is_valid = |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(is_valid).collect()
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::Xml;

    #[test]
    fn hostile_text_cannot_change_the_structure() {
        let hostile = "\"><script>&]]>\u{0}\u{b}\u{fffe}\u{ffff}🦉";
        let text = Xml::document("a", &[], |xml| {
            xml.element("b", &[("c", hostile)], |xml| xml.value("d", hostile));
        });
        let mut reader = Reader::from_str(&text);
        let (mut names, mut content) = (Vec::new(), String::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    names.push(start.name().as_ref().to_owned());
                    for attribute in start.attributes() {
                        content += &attribute
                            .unwrap()
                            .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                            .unwrap();
                    }
                }
                Event::Text(text) => content += &text.xml10_content(),
                Event::GeneralRef(_) => content.push('.'),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(names, ["a", "b", "d"]);
        assert!(content.trim_start().starts_with("\"><script>&]]>🦉"), "{content}");
    }
}
