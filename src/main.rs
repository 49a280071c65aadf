//! `silvacast`: reads the command line, calls the library, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use silvacast::cli::{self, Cli, Exit};

fn main() -> ExitCode {
    match cli::main(Cli::parse()) {
        Exit::Fine => ExitCode::SUCCESS,
        Exit::Failed(sentence) => end(1, &sentence),
        Exit::Wrong(sentence) => end(2, &sentence),
    }
}

fn end(code: u8, sentence: &str) -> ExitCode {
    for line in sentence.lines() {
        eprintln!("silvacast: {line}");
    }
    ExitCode::from(code)
}
