//! Writes what a package puts beside the program: its manual pages, and what shells need to complete its commands.
//!
//! All of it comes from the lists that the program itself goes by: the command line's definition and the table of keys.
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

/// Writes all of it below `directory`.
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
