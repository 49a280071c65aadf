//! The command line: run (the default), check, health, push, demo.
//!
//! Each command ends in an [`Exit`], which is a process exit code and, unless all went well,
//! a sentence on stderr.

mod demo;
mod run;
mod share;

use std::io::{IsTerminal, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Parser, Subcommand};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::auth::Secret;
use crate::config::{Budget, Config, Environment, PORT, Problem};
use crate::push::{Clip, PushProgress, Target, push};

/// How a command ended.
#[derive(Debug)]
pub enum Exit {
    /// Code 0.
    Fine,
    /// Code 1: something outside failed.
    Failed(String),
    /// Code 2: the arguments or the configuration are wrong.
    Wrong(String),
}

const EXAMPLES: &str = "\
Examples:
  silvacast                                      try it: loopback only, passwords made for this run
  silvacast --config /etc/silvacast.toml         serve
  silvacast check --config /etc/silvacast.toml   every error of the file, and the worst-case memory
  silvacast health                               is the server on this machine well?
  silvacast push --loop dawn.opus icecast://source:PW@host:8080/mic-dawn.opus
  silvacast share --config /etc/silvacast.toml --mount /mic-dawn.opus --for 2h
  silvacast demo                                 a server with two microphones built in

Exit codes: 0 all is well; 1 something failed; 2 the arguments or the configuration are wrong.";

/// Takes live Ogg/Opus from field recorders and lets people hear it as it happens.
#[derive(Debug, Parser)]
#[command(name = "silvacast", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (what happens without a command).
    Run(RunArgs),
    /// Say every error of a configuration, and the most memory it can take.
    Check {
        /// The configuration file (TOML, or Icecast's XML).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print the configuration as TOML instead: what an icecast.xml comes to here.
        #[arg(long)]
        print_toml: bool,
    },
    /// Ask a running server whether it is well: exit code 0 if so, else 1.
    Health {
        /// Where to ask; without it, the server on this machine.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Play an Ogg file to a mount in real time, reconnecting as needed.
    Push(PushArgs),
    /// Print a link that opens one mount for a while, whoever has it.
    Share(ShareArgs),
    /// Serve on loopback, with two built-in microphones to listen to.
    Demo,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The configuration file (TOML, or Icecast's XML); without it, loopback only and passwords made for this run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ShareArgs {
    /// The server's configuration file: it has the key.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What the link opens.
    #[arg(long)]
    mount: String,
    /// For how long, such as 30m or 2h.
    #[arg(long = "for", value_name = "TIME")]
    time: String,
    /// How the server is reached from outside, such as <https://birds.example/stream>; without it, by
    /// the configuration's hostname and port.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Debug, Args)]
struct PushArgs {
    /// An Ogg file with Opus, FLAC or Vorbis in it.
    file: PathBuf,
    /// Where to, as `FFmpeg` writes it: `icecast://source:PASSWORD@host:8080/mic.opus`.
    url: String,
    /// Begin again at the end, without a break for listeners.
    #[arg(long = "loop")]
    looped: bool,
    /// A file with the password, so that it stands in no process list.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Does what the command line says.
pub fn main(cli: Cli) -> Exit {
    let outcome = match cli.command {
        None => run::run(cli.run.config.as_deref()),
        Some(Command::Run(args)) => run::run(args.config.as_deref()),
        Some(Command::Check { config, print_toml: true }) => print_toml(&config),
        Some(Command::Check { config, .. }) => check(&config),
        Some(Command::Share(args)) => share::run(&args),
        Some(Command::Health { url }) => health(url),
        Some(Command::Push(args)) => push_file(&args),
        Some(Command::Demo) => demo::run(),
    };
    outcome.err().unwrap_or(Exit::Fine)
}

fn load(file: &Path, environment: &Environment) -> Result<Config, Exit> {
    Config::load(file, environment).map_err(|problems| wrong(file, &problems))
}

fn wrong(file: &Path, problems: &[Problem]) -> Exit {
    let lines = problems.iter().map(|problem| format!("{}: {problem}", file.display()));
    Exit::Wrong(lines.collect::<Vec<_>>().join("\n"))
}

fn check(file: &Path) -> Result<(), Exit> {
    let config = load(file, &Environment::of_process())?;
    for ignored in &config.ignored {
        eprintln!("silvacast: {}: {ignored}", file.display());
    }
    say(&format!("{}: no errors\n{}", file.display(), Budget::of(&config)));
    Ok(())
}

fn print_toml(file: &Path) -> Result<(), Exit> {
    let text = Config::toml(file).map_err(|problems| wrong(file, &problems))?;
    say(text.trim_end());
    Ok(())
}

/// A password that nobody has chosen: 144 random bits.
fn random_secret() -> Result<Secret, Exit> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes)
        .map_err(|error| Exit::Failed(format!("no random numbers: {error}")))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// What a person asked for goes to stdout; a reader that has gone away is no failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn on_a_runtime<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::Failed(error.to_string()))?.block_on(work)
}

#[allow(clippy::disallowed_methods, reason = "a client of its own, which runs no server's clock")]
fn health(url: Option<String>) -> Result<(), Exit> {
    let port =
        Environment::of_process().port().map_err(|problem| Exit::Wrong(problem.to_string()))?;
    let here = || format!("http://{}:{}/healthz", Ipv4Addr::LOCALHOST, port.unwrap_or(PORT));
    let url = url.unwrap_or_else(here);
    let uri: hyper::Uri = url
        .parse()
        .map_err(|_| Exit::Wrong(format!("{url} is no URL; it takes one such as {}", here())))?;
    let Some(host) = uri.host().filter(|_| uri.scheme_str() == Some("http")) else {
        return Err(Exit::Wrong(format!("{url} is no http URL; it takes one such as {}", here())));
    };
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/healthz", |path| path.as_str()).to_owned();
    let ask = async {
        let socket = TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
        let shake = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
        let (mut sender, connection) = shake.map_err(|error| error.to_string())?;
        let request =
            hyper::Request::get(path).header("host", &address).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
        };
        // The connection does the work; the answer ends it.
        tokio::select! {
            answer = answer => answer,
            Err(error) = connection => Err(error.to_string()),
        }
    };
    on_a_runtime(async {
        match timeout(Duration::from_secs(5), ask).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(Exit::Failed(format!("{url} is not well: {why}"))),
            Err(_) => Err(Exit::Failed(format!("{url} is not well: no answer within 5 s"))),
        }
    })
}

fn push_file(args: &PushArgs) -> Result<(), Exit> {
    let target = Target::parse(&args.url).map_err(Exit::Wrong)?;
    let from_file = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Exit::Wrong(format!("cannot read the password from {}: {error}", path.display()))
        });
        text.map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
    };
    let password = match (&args.password_file, &target.password) {
        (Some(path), _) => from_file(path)?,
        (None, Some(password)) => password.clone(),
        (None, None) => {
            return Err(Exit::Wrong(
                "there is no password: put it into the URL or give --password-file".into(),
            ));
        }
    };
    let mut clip = Clip::open(&args.file, args.looped)
        .map_err(|error| Exit::Wrong(format!("{}: {error}", args.file.display())))?;
    let mut reporter = ProgressReporter::new(&target);
    let pushed = on_a_runtime(async {
        push(&mut clip, &target, &password, |progress| reporter.tell(&progress))
            .await
            .map_err(|error| Exit::Failed(format!("{target}: {error}")))
    });
    reporter.finish();
    pushed
}

/// Tells on stderr how pushing goes: on a terminal in one line that is written over, else every
/// ten seconds.
struct ProgressReporter {
    target: String,
    terminal: bool,
    last: Option<Instant>,
}

impl ProgressReporter {
    fn new(target: &Target) -> Self {
        Self { target: target.to_string(), terminal: std::io::stderr().is_terminal(), last: None }
    }

    fn tell(&mut self, progress: &PushProgress) {
        match progress {
            PushProgress::Connected => eprintln!("pushing to {}", self.target),
            PushProgress::Lost(why, wait) => {
                self.finish();
                eprintln!("{}: {why}; trying again in {:.1} s", self.target, wait.as_secs_f32());
            }
            PushProgress::Sent(time) => {
                let pause = Duration::from_millis(if self.terminal { 500 } else { 10_000 });
                if self.last.is_none_or(|last| last.elapsed() >= pause) {
                    self.last = Some(Instant::now());
                    let seconds = time.as_secs();
                    let text = format!(
                        "{:02}:{:02}:{:02} sent",
                        seconds / 3600,
                        seconds / 60 % 60,
                        seconds % 60
                    );
                    if self.terminal { eprint!("\r{text}") } else { eprintln!("{text}") }
                }
            }
        }
    }

    /// Ends the line that is written over.
    fn finish(&mut self) {
        if self.terminal && self.last.take().is_some() {
            eprintln!();
        }
    }
}
