//! Memory of a server: after its start, with one source, and with a thousand listeners. Also how
//! long silvacast takes until it is ready, because both decide what fits on a small machine.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::contender::Contender::{Floor, Icecast, Silvacast};
use crate::load::Load;
use crate::notify::NotifySocket;
use crate::process::Memory;
use crate::report::{Limit::AtMost, Report};
use crate::rounds::{Effort, interleaved};
use crate::server::Server;
use crate::table::{median, ms, print, row};
use crate::{Outcome, cores, machine};

const LISTENERS: usize = 1000;
const SETTLE: Duration = Duration::from_secs(1);
/// Memory varies less than time.
const ROUNDS: usize = 3;
/// The median of how many starts.
const STARTS: usize = 15;

struct Sizes {
    idle: Memory,
    with_source: Memory,
    with_listeners: Memory,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    let effort = effort.at_most(ROUNDS);
    let rows = interleaved(&[Floor, Silvacast, Icecast], effort, |contender| {
        let server = Server::start(contender)?;
        sleep(SETTLE);
        let idle = server.process.memory()?;
        let mut load = Load::start(&server, 1, 1)?;
        load.run(SETTLE)?;
        let with_source = server.process.memory()?;
        load.join(LISTENERS)?;
        load.run(SETTLE)?;
        Ok(Sizes { idle, with_source, with_listeners: server.process.memory()? })
    })?;
    let starts = (0..STARTS).map(|_| start()).collect::<Outcome<Vec<_>>>()?;
    let start = median(starts.into_iter().map(ms));
    println!(
        "\nmemory: resident, idle, with one source, and with {LISTENERS} listeners to it; \
         {} rounds",
        effort.rounds
    );
    println!("  {}", machine::silvacast());
    let idle = |sizes: &Sizes| mb(sizes.idle.resident);
    let anonymous = |sizes: &Sizes| mb(sizes.idle.anonymous);
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.contender.name().to_owned(),
                format!("{:.2}", row.median(idle)),
                format!("{:.2}", row.median(anonymous)),
                format!("{:.2}", row.median(|sizes| mb(sizes.with_source.resident))),
                format!("{:.2}", row.median(|sizes| mb(sizes.with_listeners.resident))),
                format!("{:.0}", row.median(per_listener)),
            ]
        })
        .collect();
    print(
        ["server", "idle MB", "anonymous MB", "source MB", "listeners MB", "bytes per listener"],
        &lines,
    );
    println!("  silvacast is ready after {start:.2} ms, median of {STARTS} starts");
    report.record(&rows, "idle MB", idle);
    report.record(&rows, "anonymous MB", anonymous);
    report.record(&rows, "bytes per listener", per_listener);
    report.figure(Silvacast.name(), "ms until READY=1", start);
    let of = |figure: &dyn Fn(&Sizes) -> f64| row(&rows, Silvacast).map(|row| row.median(figure));
    report.target("idle", of(&idle), AtMost(3.0), " MB");
    report.target("idle, anonymous", of(&anonymous), AtMost(0.7), " MB");
    report.target("for each listener", of(&per_listener), AtMost(512.0), " bytes");
    report.target("until READY=1", Some(start), AtMost(20.0), " ms");
    Ok(())
}

/// The time from the spawn of silvacast until it is ready.
fn start() -> Outcome<Duration> {
    let socket = NotifySocket::new()?;
    let began = Instant::now();
    let variables = [("NOTIFY_SOCKET", socket.path())];
    let _server = Server::spawn_on(cores::servers(), Silvacast, &variables)?;
    socket.wait_for_ready()?;
    Ok(began.elapsed())
}

fn per_listener(sizes: &Sizes) -> f64 {
    (sizes.with_listeners.resident as f64 - sizes.with_source.resident as f64) / LISTENERS as f64
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
