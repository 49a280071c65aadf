//! `silvacast`: parses the command line, calls the library, and maps the outcome to an exit code.

use std::process::ExitCode;

use clap::Parser;
use silvacast::cli::{self, Cli, Exit};

fn main() -> ExitCode {
    match cli::main(Cli::parse()) {
        Exit::Success => ExitCode::SUCCESS,
        Exit::Failed(message) => exit(1, &message),
        Exit::Invalid(message) => exit(2, &message),
    }
}

/// Prints the message on standard error and returns the exit code.
fn exit(code: u8, message: &str) -> ExitCode {
    for line in message.lines() {
        eprintln!("silvacast: {line}");
    }
    ExitCode::from(code)
}
