//! Attacks and faults against the real server, each of which measures the promise that it puts to the test.
//!
//! ```text
//! cargo test --test hostile                          all of it, in under four minutes
//! cargo test --test hostile -- memory standstill     only what has one of these in its name
//! cargo test --test hostile -- --long                ten minutes for readers, a minute for standstills
//! SILVACAST_BINARY=… cargo test --test hostile       against another binary, such as the static one
//! ```
//!
//! It prints what was promised and what was seen, and fails if they differ.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "the report is what this program is for")]

#[allow(dead_code, reason = "shared with the tests of the whole server")]
#[path = "../whole/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests of the whole server")]
#[path = "../whole/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of the whole server")]
#[path = "../whole/needs.rs"]
mod needs;

mod accounting;
mod crowds;
mod floods;
mod memory;
mod network;
mod readers;
mod report;
mod secrets;
mod standstill;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ogg_splice::testing as ogg;
use report::Report;

/// One attack: its name, and what carries it out.
type Attack = (&'static str, fn(&mut Report, Effort));

/// How long attacks may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Seconds each.
    Short,
    /// As long as the promise says, minutes where it does.
    Long,
}

/// Attacks side by side; most of them wait.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(done) = network::act_as_client(&arguments) {
        return done;
    }
    // Clients by the thousand.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let long = arguments.iter().any(|argument| argument == "--long");
    let effort = if long { Effort::Long } else { Effort::Short };
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let attacks = [
        memory::ATTACKS,
        readers::ATTACKS,
        standstill::ATTACKS,
        secrets::ATTACKS,
        crowds::ATTACKS,
        floods::ATTACKS,
    ];
    let chosen: Vec<Attack> = attacks
        .concat()
        .into_iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(&**part)))
        .collect();
    if chosen.is_empty() {
        // As with other tests: `cargo test NAME` asks all of them, and most have none of that name.
        println!("hostile: no attack has {wanted:?} in its name");
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    let all = run(&chosen, effort);
    println!(
        "\nattacked {} in {} s, and what was seen:",
        daemon::binary().display(),
        seconds(began.elapsed())
    );
    all.print();
    if all.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Carries the attacks out, some at a time, in their order.
fn run(attacks: &[Attack], effort: Effort) -> Report {
    let (next, all) = (Mutex::new(attacks.iter()), Mutex::new(Report::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some((name, attack)) = next.lock().unwrap().next() else { return };
                    let (mut report, began) = (Report::of(name), Instant::now());
                    if catch_unwind(AssertUnwindSafe(|| attack(&mut report, effort))).is_err() {
                        report.broken("it ends");
                    }
                    eprintln!("hostile: {name} took {} s", seconds(began.elapsed()));
                    all.lock().unwrap().add(report);
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// A number of seconds, to the tenth.
fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}
