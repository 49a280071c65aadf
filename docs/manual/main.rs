//! Writes what a package installs beside the program: the manual pages, and completions for shells.
//! It also writes the documents in the repository that are made from the same tables: the README's
//! table of keys, and the JSON schema of the configuration.
//!
//! ```text
//! cargo run --example manual -- DIR             (default: target/manual)
//! cargo run --example manual -- --checked-in    README.md and docs/silvacast.schema.json
//! ```

mod command;
mod configuration;
mod page;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use silvacast::cli::Cli;
use silvacast::config::{markdown, schema};

/// Documents in the repository.
const README: &str = "README.md";
const SCHEMA: &str = "docs/silvacast.schema.json";

fn main() -> io::Result<()> {
    let argument = std::env::args_os().nth(1);
    if argument.as_ref().is_some_and(|argument| argument == "--checked-in") {
        for (file, text) in checked_in()? {
            fs::write(file, text)?;
        }
        return Ok(());
    }
    write(&argument.map_or("target/manual".into(), PathBuf::from))
}

/// Writes the pages and completions below `directory`.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    let (pages, completions) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    let mut cli = Cli::command();
    cli.build();
    fs::write(pages.join("silvacast.8"), command::page(&cli))?;
    fs::write(pages.join("silvacast.toml.5"), configuration::page())?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "silvacast", &completions)?;
    }
    Ok(())
}

/// The documents in the repository as they should be, with their paths.
pub(crate) fn checked_in() -> io::Result<[(PathBuf, String); 2]> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join(README))?;
    let schema = format!("{:#}\n", schema());
    Ok([(root.join(README), with_table(&readme)), (root.join(SCHEMA), schema)])
}

/// A text with its Markdown table of keys replaced by the current one.
fn with_table(text: &str) -> String {
    let is_row = |line: &&str| line.starts_with('|');
    let before = text.lines().take_while(|line| !line.starts_with("| key |"));
    let after = text.lines().skip_while(|line| !line.starts_with("| key |")).skip_while(is_row);
    let (before, after): (Vec<_>, Vec<_>) = (before.collect(), after.collect());
    format!("{}\n{}{}\n", before.join("\n"), markdown(), after.join("\n"))
}
