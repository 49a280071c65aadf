//! Attacks and faults against the real server. Each one measures the promise that it tests.
//!
//! ```text
//! cargo test --test hostile                          all of it, in under four minutes
//! cargo test --test hostile -- memory standstill     only what has one of these in its name
//! cargo test --test hostile -- --long                ten minutes for readers, a minute for standstills
//! SILVACAST_BINARY=… cargo test --test hostile       against another binary, such as the static one
//! ```
//!
//! It prints what was promised and what was seen, and fails if they differ. An attack that does not end in time counts
//! as failed, and the others go on.

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
#[allow(dead_code, reason = "shared with the tests of the whole server")]
#[path = "../whole/port.rs"]
mod port;
#[allow(dead_code, reason = "shared with the tests of the whole server")]
#[path = "../whole/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with the tests of the whole server")]
#[path = "../whole/wait.rs"]
mod wait;

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
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ogg_splice::testing as ogg;
use report::Report;

/// One attack: its name, which no other has, and its function.
type Attack = (&'static str, fn(&mut Report, Effort));

/// How long attacks may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Seconds for each attack.
    Short,
    /// As long as the promise says, which may be minutes.
    Long,
}

impl Effort {
    /// When an attack that has not ended counts as failed.
    fn limit(self) -> Duration {
        match self {
            Self::Short => Duration::from_mins(4),
            Self::Long => Duration::from_mins(30),
        }
    }
}

/// How many attacks run at the same time; most of them wait.
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
        // No failure, as with other test programs: `cargo test NAME` runs them all with that filter.
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

/// Runs the attacks in their order, some at a time. Returns when each of them has ended or has exceeded its limit.
fn run(attacks: &[Attack], effort: Effort) -> Report {
    let (limit, mut all) = (effort.limit(), Report::default());
    let (sender, ended) = sync_channel(attacks.len());
    let (mut waiting, mut running, mut hung) = (attacks.iter(), Vec::new(), 0);
    loop {
        while running.len() < THREADS
            && let Some(&(name, attack)) = waiting.next()
        {
            let sender = sender.clone();
            running.push((name, Instant::now()));
            // Not scoped: a thread that hangs must not keep this one from returning.
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                let mut report = Report::of(name);
                if catch_unwind(AssertUnwindSafe(|| attack(&mut report, effort))).is_err() {
                    report.broken("it ends");
                }
                let _ = sender.send((name, report));
            });
            thread.unwrap();
        }
        if running.is_empty() {
            break;
        }
        if let Ok((name, report)) = ended.recv_timeout(Duration::from_secs(1))
            && let Some(at) = running.iter().position(|(other, _)| *other == name)
        {
            let (_, began) = running.swap_remove(at);
            eprintln!("hostile: {name} took {} s", seconds(began.elapsed()));
            all.add(report);
        }
        running.retain(|(name, began)| {
            let in_time = began.elapsed() < limit;
            if !in_time {
                let mut report = Report::of(name);
                report.broken(&format!("it ends within {} s", seconds(limit)));
                all.add(report);
                hung += 1;
            }
            in_time
        });
    }
    if hung > 0 {
        kill_children();
        // Most attacks end now that their processes have ended, and remove what else they have made.
        let end = Instant::now() + Duration::from_secs(10);
        while hung > 0 && ended.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok()
        {
            hung -= 1;
        }
    }
    all
}

/// Kills all processes that this one has started.
fn kill_children() {
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let _ = kill(Pid::from_raw(child.parse().unwrap()), Signal::SIGKILL);
        }
    }
}

/// A number of seconds, rounded to a tenth.
fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}
