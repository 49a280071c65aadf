//! The command line: run (the default), check, health, push, on-demand, share, demo.
//!
//! Each command has a file. It ends in an [`Exit`]: the exit code of the process, and a sentence
//! for standard error unless the command succeeded.

mod check;
mod demo;
mod health;
mod on_demand;
mod push;
mod run;
mod share;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Parser, Subcommand};

use crate::auth::Secret;
use crate::config::{Config, Environment, Problem};

/// How a command ended.
#[derive(Debug)]
pub enum Exit {
    /// Exit code 0.
    Success,
    /// Exit code 1: something failed, for the reason in the text.
    Failed(String),
    /// Exit code 2: the arguments or the configuration are wrong, as the text says. One line for
    /// each error.
    Invalid(String),
}

const EXAMPLES: &str = "\
Examples:
  silvacast                                      try it: loopback only, passwords made for this run
  silvacast --config /etc/silvacast.toml         serve
  silvacast check --config /etc/silvacast.toml   report every error, and the worst-case memory
  silvacast health                               is the server on this machine healthy?
  silvacast push --loop dawn.opus icecast://source:PW@host:8080/mic-dawn.opus
  silvacast on-demand --url http://host:8080 --mount /mic-dawn.opus -- ffmpeg …
                                                 encode while somebody listens, and only then
  silvacast share --config /etc/silvacast.toml --mount /mic-dawn.opus --for 2h
  silvacast demo                                 a server with two built-in microphones

Exit codes: 0 success; 1 something failed; 2 the arguments or the configuration are wrong.";

/// Takes live Ogg/Opus from field recorders and lets people hear it as it happens.
#[derive(Debug, Parser)]
#[command(name = "silvacast", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Serve (the default command).
    Run(RunArgs),
    /// Report every error of a configuration, or its maximum memory use.
    Check(CheckArgs),
    /// Ask a running server whether it is healthy: exit code 0 if it is, otherwise 1.
    Health(HealthArgs),
    /// Play an Ogg file to a mount in real time, reconnecting as needed.
    Push(PushArgs),
    /// Run an encoder while somebody listens to its mount, and only then.
    OnDemand(OnDemandArgs),
    /// Print links that let anyone who has them listen to one mount for a limited time.
    Share(ShareArgs),
    /// Serve on loopback, with two built-in microphones to listen to.
    Demo,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The configuration file (TOML, or Icecast's XML); without it, loopback only and passwords
    /// made for this run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The configuration file (TOML, or Icecast's XML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the configuration as TOML instead, for example to convert an icecast.xml.
    #[arg(long)]
    print_toml: bool,
}

#[derive(Debug, Args)]
struct HealthArgs {
    /// The URL to ask; without it, the server on this machine.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Fail also if a mount with `expected = true` has no stream.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct PushArgs {
    /// An Ogg file with Opus, FLAC or Vorbis.
    file: PathBuf,
    /// Where to push it, as `FFmpeg` writes it: `icecast://source:PASSWORD@host:8080/mic.opus`.
    url: String,
    /// Start again at the end of the file, without a break for listeners.
    #[arg(long = "loop")]
    looped: bool,
    /// A file with the password, so that the password is not visible in the process list.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct OnDemandArgs {
    /// The server, such as <http://host:8080>.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The mount to which the encoder sends. The server has it with `on_demand = true`.
    #[arg(long)]
    mount: String,
    /// How much longer the encoder runs when the mount is wanted no more, besides the server's linger.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    linger: String,
    /// The user of the mount's source.
    #[arg(long, default_value = "source")]
    user: String,
    /// A file with the password of the mount's source: with it, the server lists a mount that its
    /// configuration does not name.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The encoder and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct ShareArgs {
    /// The server's configuration file, which has the key.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The mount that the link opens.
    #[arg(long)]
    mount: String,
    /// How long the link is valid, such as 30m or 2h.
    #[arg(long = "for", value_name = "TIME")]
    time: String,
    /// The server's URL from outside, such as <https://birds.example/stream>; without it, made from
    /// the configuration's hostname and port.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Runs the command.
pub fn main(cli: Cli) -> Exit {
    let outcome = match cli.command {
        None => run::run(&cli.run),
        Some(CliCommand::Run(args)) => run::run(&args),
        Some(CliCommand::Check(args)) => check::run(&args),
        Some(CliCommand::Health(args)) => health::run(args),
        Some(CliCommand::Push(args)) => push::run(&args),
        Some(CliCommand::OnDemand(args)) => on_demand::run(args),
        Some(CliCommand::Share(args)) => share::run(&args),
        Some(CliCommand::Demo) => demo::run(),
    };
    outcome.err().unwrap_or(Exit::Success)
}

/// An [`Exit::Failed`] with this error.
fn failed(error: impl std::fmt::Display) -> Exit {
    Exit::Failed(error.to_string())
}

fn load(file: &Path, environment: &Environment) -> Result<Config, Exit> {
    Config::load(file, environment).map_err(|problems| invalid_config(file, &problems))
}

fn invalid_config(file: &Path, problems: &[Problem]) -> Exit {
    let lines = problems.iter().map(|problem| format!("{}: {problem}", file.display()));
    Exit::Invalid(lines.collect::<Vec<_>>().join("\n"))
}

/// The password in a file, in its only line.
fn password_in(file: &Path) -> Result<Secret, Exit> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Exit::Invalid(format!("cannot read the password from {}: {error}", file.display()))
    })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// A random password of 144 bits.
fn random_secret() -> Result<Secret, Exit> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes)
        .map_err(|error| failed(format!("cannot get random numbers: {error}")))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// Prints the output of a command. It is not an error if the reader of standard output is gone.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Runs a future on a new single-threaded runtime.
fn block_on<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed)?.block_on(work)
}
