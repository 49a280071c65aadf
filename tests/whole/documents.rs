//! The fenced blocks of `README.md` and `docs/*.md`. A test walks through each document and runs or
//! checks its blocks as they stand there; a block that no test has seen is a failure.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// A fenced block.
pub(crate) struct Block {
    /// Where it begins: `docs/deploy.md:17`.
    pub place: String,
    /// The word after the fence.
    pub language: String,
    pub text: String,
}

impl Block {
    /// The text with these words replaced, all of which it must have.
    pub(crate) fn with(&self, replacements: &[(&str, &str)]) -> String {
        let mut text = self.text.clone();
        for (from, to) in replacements {
            assert!(text.contains(from), "{} does not have {from}", self.place);
            text = text.replace(from, to);
        }
        text
    }
}

/// The only block of a document in this language that contains this text. The test that walks
/// through the document takes it too.
#[track_caller]
pub(crate) fn block(name: &str, language: &str, part: &str) -> Block {
    let is_it = |block: &Block| block.language == language && block.text.contains(part);
    let mut found = blocks(name).into_iter().filter(is_it);
    let block = found.next().unwrap_or_else(|| panic!("{name} has no block with {part}"));
    assert!(found.next().is_none(), "{name} has more than one block with {part}");
    block
}

/// A document whose blocks a test takes one after the other. Dropping it asserts that it took all.
pub(crate) struct Document {
    blocks: VecDeque<Block>,
}

impl Document {
    pub(crate) fn open(name: &str) -> Self {
        let blocks = VecDeque::from(blocks(name));
        assert!(!blocks.is_empty(), "{name} has no blocks");
        Self { blocks }
    }

    /// The next block, which must be in this language and contain this text.
    #[track_caller]
    pub(crate) fn take(&mut self, language: &str, part: &str) -> Block {
        let block = self.blocks.pop_front().expect("another block");
        assert_eq!(block.language, language, "{}", block.place);
        assert!(block.text.contains(part), "{} is not the block with {part}", block.place);
        block
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        if !thread::panicking() {
            let places: Vec<_> = self.blocks.iter().map(|block| &block.place).collect();
            assert!(places.is_empty(), "no test has seen the blocks at {places:?}");
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The blocks of a document, in their order.
fn blocks(name: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(name)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some((indent, language)) = line.split_once("```") else { continue };
        // In a list, the fence follows the number of an item: "6. ```sh".
        let width = indent.len();
        let place = format!("{name}:{}", number + 1);
        let mut text = String::new();
        loop {
            let (_, line) = lines.next().unwrap_or_else(|| panic!("{place} has no end"));
            let (blank, line) = line.split_at(width.min(line.len()));
            assert!(blank.trim().is_empty(), "{place} is not indented like its fence");
            if line == "```" {
                break;
            }
            text.extend([line, "\n"]);
        }
        blocks.push(Block { place, language: language.to_owned(), text });
    }
    blocks
}

/// The documents with blocks, by their names in the repository.
fn documents() -> Vec<String> {
    let folder = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = folder.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let all = pages.chain([root().join("README.md")]);
    let name = |path: PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    all.map(name).filter(|name| !blocks(name).is_empty()).collect()
}

#[test]
fn a_test_walks_through_each_document_that_has_blocks() {
    let tests = fs::read_dir(root().join("tests/whole")).unwrap();
    let tests = tests.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let tests = tests.collect::<String>();
    let documents = documents();
    assert!(documents.len() >= 4, "{documents:?}");
    for name in documents {
        assert!(tests.contains(&format!("Document::open(\"{name}\")")), "{name}");
    }
}

#[test]
#[should_panic(expected = "no test has seen the blocks at [\"docs/monitoring.md:7\"]")]
fn a_block_that_was_not_taken_is_reported() {
    Document::open(concat!("docs/", "monitoring.md"));
}
