//! Compares the cost of relaying in one run: a minimal relay (the floor), silvacast, silvacast with
//! `coalesce`, and Icecast if it is installed.
//!
//! `cargo bench --bench fanout -- [OPTION…] [SCENARIO…]`; without scenarios, all.
//!
//! - `--quick`: one short round instead of seven.
//! - `--binary PATH`: the binary of silvacast, such as the static one, which is what releases
//!   contain (`just bench` builds it). Without the option it is the one that Cargo builds for
//!   benchmarks, which is larger.
//! - `--save NAME`: writes the medians of all figures to `target/bench/NAME.json`, with the
//!   machine, the kernel, the date and the revision.
//! - `--against NAME`: prints the figures beside the saved ones, and marks those of silvacast that
//!   are worse by more than 10 %. Where there are ratios to the floor, it compares these, because
//!   the speed of a machine varies.
//!
//! The servers are child processes. This process is the load: it runs the sources and the listeners
//! on a separate core, so that the CPU time of a server contains nothing else. A figure is compared
//! with the floor's figure of the same round. `waited` is the part of the window in which server
//! and load waited for a core. The higher it is, the less reliable are the figures.
//!
//! CPU time is exact: it comes from the CPU clock of the process. Its share outside the kernel
//! (`user`) is an estimate. Most kernels only look at each clock tick, 100 to 1000 times a second,
//! where the server is, divide the exact time in this proportion, and give the result in steps of
//! 10 ms. So `user` is the sum over all rounds. With 1000 ticks on a busy server (4 s of its time
//! at 250 Hz), a tenth of them in user space, its standard error is a tenth of the figure. With
//! `--quick`, with few pages, or of a server that is mostly asleep, the figure is rough. The pages
//! drift against the tick (`source.rs`); otherwise all ticks of a window would hit the same moment
//! of a delivery.
//!
//! The scenarios of HLS have one round. `hls-cache` puts nginx (Debian's `nginx-light`) in front,
//! with the configuration of `docs/scale.md`, on the core of the load, which sleeps there. The
//! servers of `tree` share their core: the time of a hop contains the change from one to the next.
//!
//! `webrtc` has a floor of its own: a program that sends datagrams of the same length to as many sockets.
//!
//! A failed measurement (a listener receives nothing, a source is refused) is an error and gives no
//! figures. A missed target is not an error. A table at the end lists all targets.

#![allow(clippy::print_stdout, reason = "this program prints tables")]

mod arrivals;
mod cache;
mod contender;
mod cores;
mod floor;
mod hls;
mod hls_listener;
mod hls_load;
mod hls_player;
mod http_response;
mod idle;
mod join;
mod listener;
mod load;
mod machine;
mod memory;
mod notify;
mod options;
mod perf;
mod process;
mod report;
mod rounds;
mod saved;
mod server;
mod source;
mod sources;
mod stalled;
mod steady;
mod syscalls;
mod table;
mod tree;
mod webrtc;
mod webrtc_storm;
mod workers;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Uid;

use options::Options;
use report::Report;
use rounds::Effort;
use saved::Saved;

/// The result of a step, or why there are no figures.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Descriptors of this process and of each server: one for each of 10,000 listeners, and some.
const DESCRIPTORS: u64 = 20_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [contender::FLOOR, port] => {
            exit_code(port.parse().map_err(Into::into).and_then(floor::serve))
        }
        [contender::WEBRTC_FLOOR, ports] => exit_code(webrtc::send_forever(ports)),
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
    let options = Options::read(arguments)?;
    let against = options.against.as_deref().map(Saved::read).transpose()?;
    raise_descriptor_limit()?;
    println!("{}, Linux {}", machine::processor(), machine::kernel());
    println!("{}", machine::silvacast());
    println!("{}", machine::icecast());
    let mut report = Report::default();
    let mut failed = Vec::new();
    for &name in &options.scenarios {
        report.begin(name);
        if let Err(error) = run(name, options.effort, &mut report) {
            println!("\n{name}: no figures: {error}");
            report.failed();
            failed.push(name);
        }
    }
    report.print_targets();
    let now = Saved::of_this_run(options.effort.rounds, report.figures)?;
    if let (Some(saved), Some(name)) = (against, &options.against) {
        saved.print_beside(name, &now);
    }
    if let Some(name) = &options.save {
        now.write(name)?;
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not measured: {}", failed.join(", ")).into())
    }
}

fn run(name: &str, effort: Effort, report: &mut Report) -> Outcome<()> {
    match name {
        "join" => join::run(effort, report),
        "stalled" => stalled::run(effort, report),
        "source" => sources::run(effort, report),
        "workers" => workers::run(effort, report),
        "syscalls" => syscalls::run(effort, report),
        "memory" => memory::run(effort, report),
        "idle" => idle::run(report),
        "hls-cache" => hls::behind_a_cache(effort, report),
        "hls-direct" => hls::direct(effort, report),
        "tree" => tree::run(effort, report),
        "webrtc" => webrtc::run(effort, report),
        "webrtc-storm" => webrtc_storm::run(effort, report),
        _ => {
            let mut steady = steady::ALL.iter().filter(|steady| steady.name == name);
            steady.try_for_each(|steady| steady.run(effort, report))
        }
    }
}

/// Raises the limits, because each listener needs a descriptor; the hard limit only as root. The
/// servers inherit the limits.
fn raise_descriptor_limit() -> Outcome<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = if Uid::effective().is_root() { hard.max(DESCRIPTORS) } else { hard };
    if limit < DESCRIPTORS {
        println!("the limit of {limit} descriptors is too low for scenarios with more listeners");
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?)
}
