//! The elements of an XML file, with the lines on which they begin.

use roxmltree::{Document, Error, Node, ParsingOptions};

use super::super::reader::Problem;

/// How deep elements may be nested. The code that walks the tree is recursive, so its depth is
/// limited.
const DEEPEST: usize = 16;
/// Begins the declaration of an entity. Without declarations a file cannot expand to more than its
/// own size.
const ENTITY: &str = "<!ENTITY";

/// Parses a file and gives its root element to `read`.
///
/// # Errors
/// The text is not well-formed XML, declares entities, or is nested too deep.
pub(super) fn parse<T>(text: &str, read: impl FnOnce(Element<'_>) -> T) -> Result<T, Problem> {
    let lines = Lines::of(text);
    let options = ParsingOptions { allow_dtd: !text.contains(ENTITY), ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| problem(&error, text, &lines))?;
    let too_deep = |node: &Node<'_, '_>| {
        // All nodes before it in the document are within the limit, so this is short. It counts
        // the node itself, and the document, which is no element.
        node.is_element() && node.ancestors().take(DEEPEST + 2).count() > DEEPEST + 1
    };
    if let Some(node) = document.descendants().find(too_deep) {
        return Err(Problem {
            line: Some(lines.number(node.range().start)),
            text: format!("elements are nested too deep; allowed: {DEEPEST} levels"),
        });
    }
    Ok(read(Element { node: document.root_element(), lines: &lines }))
}

fn problem(error: &Error, text: &str, lines: &Lines) -> Problem {
    let position = error.pos();
    let (line, what) = match error {
        Error::NoRootNode => (None, "there is no element in the file".to_owned()),
        // These two have no position.
        Error::UnclosedRootNode | Error::UnexpectedEndOfStream => {
            let what = "the file ends before its first element is closed";
            (Some(lines.number(text.trim_end().len())), what.to_owned())
        }
        Error::DtdDetected => {
            let line = text.find(ENTITY).map(|at| lines.number(at));
            (line, format!("{ENTITY}> is not supported"))
        }
        // Mostly a second element after the first one.
        Error::UnknownToken(_) => {
            let what = "unexpected text or markup; everything must be inside the root element";
            (Some(position.row as usize), what.to_owned())
        }
        // Each problem is prefixed with its line.
        error => {
            let what = error.to_string().replace(&format!(" at {position}"), "");
            (Some(position.row as usize), what)
        }
    };
    Problem { line, text: format!("not well-formed XML: {what}") }
}

/// Where the lines of a text begin.
#[derive(Debug)]
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The number of the line that contains a byte, from 1.
    fn number(&self, at: usize) -> usize {
        self.0.partition_point(|&begin| begin <= at) + 1
    }
}

/// An element of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    node: Node<'a, 'a>,
    lines: &'a Lines,
}

impl<'a> Element<'a> {
    /// Its name, without a namespace.
    pub(super) fn name(self) -> &'a str {
        self.node.tag_name().name()
    }

    /// The line on which it begins.
    pub(super) fn line(self) -> usize {
        self.lines.number(self.node.range().start)
    }

    /// The text directly inside the element, without spaces around it.
    pub(super) fn text(self) -> String {
        let parts = self.node.children().filter(Node::is_text);
        parts.filter_map(|part| part.text()).collect::<String>().trim().to_owned()
    }

    pub(super) fn attribute(self, name: &str) -> Option<&'a str> {
        self.node.attribute(name)
    }

    pub(super) fn children(self) -> impl Iterator<Item = Self> {
        let elements = self.node.children().filter(Node::is_element);
        elements.map(move |node| Self { node, lines: self.lines })
    }

    /// The first child of this name.
    pub(super) fn child(self, name: &str) -> Option<Self> {
        self.children().find(|child| child.name() == name)
    }

    /// Whether a switch is on, as Icecast reads it: a word in any case, or what begins with a
    /// number other than 0.
    pub(super) fn is_on(self) -> bool {
        let text = self.text();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
        let number = unsigned.trim_start_matches('0').starts_with(|c: char| c.is_ascii_digit());
        number || ["true", "yes", "on"].iter().any(|word| text.eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone has too narrow a lifetime"
    )]
    fn text_of(xml: &str) -> Result<String, Problem> {
        parse(xml, |root| root.text())
    }

    #[test]
    fn text_is_only_what_is_directly_inside_the_element() {
        let xml = "<a> x &amp; y<!-- no -->&#246;<b>no</b><![CDATA[<z>]]>\r\n</a>";
        assert_eq!(text_of(xml).unwrap(), "x & yö<z>");
        assert_eq!(text_of("\u{feff}<a>x</a>").unwrap(), "x");
    }

    #[test]
    fn a_document_type_is_ignored_and_an_entity_is_never_expanded() {
        assert_eq!(text_of("<!DOCTYPE a SYSTEM \"a.dtd\"><a>x</a>").unwrap(), "x");
        assert_eq!(text_of("<a><!-- <!ENTITY b 'c'> -->x</a>").unwrap(), "x");
        let declared = text_of("<!DOCTYPE a [\n<!ENTITY b 'c'>]>\n<a>&b;</a>").unwrap_err();
        assert_eq!(declared.line, Some(2), "{declared}");
        assert!(declared.text.contains("<!ENTITY> is not supported"), "{declared}");
    }

    #[test]
    fn nesting_is_limited_and_parsed_without_recursion() {
        let nested = |levels| "<a>\n".repeat(levels) + &"</a>".repeat(levels);
        assert!(text_of(&nested(16)).is_ok());
        assert_eq!(text_of(&nested(17)).unwrap_err().line, Some(17));
        assert_eq!(text_of(&nested(100_000)).unwrap_err().line, Some(17));
    }
}
