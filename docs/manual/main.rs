//! Generates the manual pages and the shell completions.
//!
//! They are made from the definitions that the program uses: the command line's, and the table of
//! configuration keys.
//!
//! ```text
//! cargo run --example manual -- DIR    (default: target/manual)
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

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map_or("target/manual".into(), PathBuf::from);
    write(&directory)
}

/// Writes the manual pages to `directory/man` and the completions to `directory/completions`.
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
