//! Builds a manual page from headings, paragraphs and lists. Text between `backquotes` is bold.

use roff::{Inline, Roff, bold, roman};

pub(crate) struct Page {
    roff: Roff,
    /// The last element was a heading, after which a paragraph needs no `.PP`.
    after_heading: bool,
}

impl Page {
    pub(crate) fn new(name: &str, section: &str, about: &str) -> Self {
        let mut roff = Roff::new();
        let version = concat!("silvacast ", env!("CARGO_PKG_VERSION"));
        // No date, so that the build is reproducible.
        roff.control("TH", [&name.to_uppercase(), section, "\"\"", version, "silvacast"]);
        roff.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
        Self { roff, after_heading: false }
    }

    pub(crate) fn heading(&mut self, text: &str) -> &mut Self {
        self.head("SH", text)
    }

    pub(crate) fn subheading(&mut self, text: &str) -> &mut Self {
        self.head("SS", text)
    }

    fn head(&mut self, kind: &str, text: &str) -> &mut Self {
        self.roff.control(kind, [text]);
        self.after_heading = true;
        self
    }

    pub(crate) fn paragraph(&mut self, text: &str) -> &mut Self {
        self.paragraph_break();
        self.roff.text(inline(text));
        self
    }

    /// A tagged paragraph: a term and its explanation.
    pub(crate) fn item(&mut self, term: &str, text: &str) -> &mut Self {
        self.roff.control("TP", []).text(inline(term)).text(inline(text));
        self.after_heading = false;
        self
    }

    /// Lines that are not filled.
    pub(crate) fn verbatim(&mut self, text: &str) -> &mut Self {
        self.paragraph_break();
        self.roff.control("nf", []);
        for line in text.lines() {
            self.roff.text([roman(line)]);
        }
        self.roff.control("fi", []);
        self
    }

    fn paragraph_break(&mut self) {
        if !std::mem::take(&mut self.after_heading) {
            self.roff.control("PP", []);
        }
    }

    pub(crate) fn finish(&self) -> String {
        self.roff.render()
    }
}

/// Splits a text into bold and roman parts.
fn inline(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
