//! A manual page being written: headings, paragraphs and lists, in which `backquotes` make text bold.

use roff::{Inline, Roff, bold, roman};

pub(crate) struct Page {
    roff: Roff,
    /// Right after a heading, where a paragraph needs no distance.
    begins: bool,
}

impl Page {
    pub(crate) fn new(name: &str, section: &str, about: &str) -> Self {
        let mut roff = Roff::new();
        let version = concat!("silvacast ", env!("CARGO_PKG_VERSION"));
        // No date: the same source makes the same page.
        roff.control("TH", [&name.to_uppercase(), section, "\"\"", version, "silvacast"]);
        roff.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
        Self { roff, begins: false }
    }

    pub(crate) fn heading(&mut self, text: &str) -> &mut Self {
        self.head("SH", text)
    }

    pub(crate) fn subheading(&mut self, text: &str) -> &mut Self {
        self.head("SS", text)
    }

    fn head(&mut self, kind: &str, text: &str) -> &mut Self {
        self.roff.control(kind, [text]);
        self.begins = true;
        self
    }

    pub(crate) fn paragraph(&mut self, text: &str) -> &mut Self {
        self.distance();
        self.roff.text(inline(text));
        self
    }

    /// What is explained, and the explanation beside it.
    pub(crate) fn item(&mut self, head: &str, text: &str) -> &mut Self {
        self.roff.control("TP", []).text(inline(head)).text(inline(text));
        self.begins = false;
        self
    }

    /// Lines that stay as they are.
    pub(crate) fn verbatim(&mut self, text: &str) -> &mut Self {
        self.distance();
        self.roff.control("nf", []);
        for line in text.lines() {
            self.roff.text([roman(line)]);
        }
        self.roff.control("fi", []);
        self
    }

    fn distance(&mut self) {
        if !std::mem::take(&mut self.begins) {
            self.roff.control("PP", []);
        }
    }

    pub(crate) fn finish(&self) -> String {
        self.roff.render()
    }
}

fn inline(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
