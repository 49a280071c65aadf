//! Compares the cost of relaying in one run: a minimal relay (the floor), silvacast, silvacast with
//! `coalesce`, and Icecast if it is installed.
//!
//! `cargo bench --bench fanout -- [--quick] [SCENARIO…]`. The servers are child processes. This
//! process is the load: it runs the sources and the listeners on a separate core, so that the CPU
//! time of a server contains nothing else. A figure is compared with the floor's figure of the same
//! round, because the speed of a machine varies. `waited` is the part of the window in which server
//! and load waited for a core. The higher it is, the less reliable are the figures.
//!
//! A failed measurement (a listener receives nothing, a source is refused) is an error and gives no
//! figures. A missed target is not an error.

#![allow(clippy::print_stdout, reason = "this program prints tables")]

mod cores;
mod floor;
mod join;
mod listener;
mod load;
mod memory;
mod server;
mod source;
mod stalled;
mod steady;
mod table;

use std::env;
use std::error::Error;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use server::Contender::{self, Coalescing, Floor, Icecast, Silvacast};
use steady::{Goal, Steady};

/// The result of a step, or why there are no figures.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// The length of a measurement window, and the number of rounds.
#[derive(Clone, Copy)]
struct Effort {
    window: Duration,
    rounds: usize,
}

const FULL: Effort = Effort { window: Duration::from_secs(3), rounds: 5 };
const QUICK: Effort = Effort { window: Duration::from_secs(2), rounds: 1 };

const GOALS: &[Goal] = &[Goal::CostOfFloor, Goal::CostBelowIcecast, Goal::LatencyOfFloor];
const ALL: &[Contender] = &[Floor, Silvacast, Icecast];

const STEADY: [Steady; 4] = [
    Steady {
        name: "1000x1",
        listeners: 1000,
        mounts: 1,
        packets: 1,
        contenders: ALL,
        goals: GOALS,
    },
    Steady {
        name: "100x10",
        listeners: 100,
        mounts: 10,
        packets: 1,
        contenders: ALL,
        goals: GOALS,
    },
    Steady {
        name: "1000x1-1s",
        listeners: 1000,
        mounts: 1,
        packets: 50,
        contenders: ALL,
        goals: &[Goal::LatencyOfFloor],
    },
    Steady {
        name: "coalesce",
        listeners: 1000,
        mounts: 1,
        packets: 1,
        contenders: &[Floor, Silvacast, Coalescing, Icecast],
        goals: &[Goal::CoalescedCost],
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [server::FLOOR, port] => exit_code(port.parse().map_err(Into::into).and_then(floor::serve)),
        // `cargo test --all-targets` also runs this program, without `--bench`.
        _ if !arguments.iter().any(|argument| argument == "--bench") => ExitCode::SUCCESS,
        _ => exit_code(bench(&arguments)),
    }
}

fn exit_code(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &[String]) -> Outcome<()> {
    let known: Vec<&str> =
        STEADY.iter().map(|steady| steady.name).chain(["join", "stalled", "memory"]).collect();
    let (mut effort, mut wanted) = (FULL, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => effort = QUICK,
            name if known.contains(&name) => wanted.push(name),
            other => {
                return Err(format!(
                    "unknown scenario {other}; it takes {}, and the option --quick",
                    known.join(", ")
                )
                .into());
            }
        }
    }
    raise_descriptor_limit()?;
    println!("{}", machine());
    println!("{}", icecast_version());
    let wanted = if wanted.is_empty() { known } else { wanted };
    let mut failed = Vec::new();
    for name in wanted {
        let done = match name {
            "join" => join::run(effort),
            "stalled" => stalled::run(effort),
            "memory" => memory::run(),
            _ => STEADY.iter().filter(|s| s.name == name).try_for_each(|s| s.run(effort)),
        };
        if let Err(error) = done {
            println!("\n{name}: no figures: {error}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not measured: {}", failed.join(", ")).into())
    }
}

/// Raises the soft limit to the hard limit, because each listener needs a descriptor. The servers
/// inherit the limit.
fn raise_descriptor_limit() -> Outcome<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Processor, cores and kernel, in one line.
fn machine() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |key: &str| about.lines().find(|line| line.starts_with(key));
    let model = named("model name").or_else(|| named("Model")).and_then(|l| l.split(": ").nth(1));
    let cores = cores::count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cores} cores, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}

fn icecast_version() -> String {
    let version = Command::new(server::ICECAST).arg("-v").output();
    version.map_or_else(
        |_| "icecast2 is not installed and is not measured".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
