//! What a page costs that nobody listens to: ten sources without listeners.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::contender::Contender::{Floor, Icecast, Silvacast};
use crate::load::Load;
use crate::process::CpuTime;
use crate::report::{Limit::AtMost, Report};
use crate::rounds::{Effort, interleaved};
use crate::server::Server;
use crate::table::{Row, print, row, us};

const MOUNTS: usize = 10;
const SETTLE: Duration = Duration::from_secs(1);
/// So many times longer than others is the window: the server does little.
const WINDOWS: u32 = 7;
/// Together some minutes.
const ROUNDS: usize = 3;

struct Cost {
    cpu: CpuTime,
    pages: u64,
    window: Duration,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    let effort = effort.at_most(ROUNDS);
    let rows = interleaved(&[Floor, Silvacast, Icecast], effort, |contender| {
        let server = Server::start(contender)?;
        let mut load = Load::start(&server, MOUNTS, 1)?;
        load.run(SETTLE)?;
        let (began, sent, before) = (Instant::now(), load.sent(), server.process.cpu()?);
        load.run(effort.window * WINDOWS)?;
        let cpu = server.process.cpu()? - before;
        Ok(Cost { cpu, pages: load.sent() - sent, window: began.elapsed() })
    })?;
    println!(
        "\nsource: mounts {MOUNTS}, no listeners, a page every 20 ms; {} rounds of {:?}",
        effort.rounds,
        effort.window * WINDOWS
    );
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.contender.name().to_owned(),
                format!("{:.2}", user(row)),
                format!("{:.2}", row.median(total)),
                row.ratio_to(&rows[0], total).to_string(),
                format!("{:.2} %", row.median(share)),
            ]
        })
        .collect();
    print(["server", "user µs/page", "CPU µs/page", "× floor", "of a core"], &lines);
    report.record(&rows, "CPU µs/page", total);
    for row in &rows {
        report.figure(row.contender.name(), "user µs/page", user(row));
    }
    let silvacast = row(&rows, Silvacast);
    report.target("user CPU per page", silvacast.map(user), AtMost(5.0), " µs");
    let share = silvacast.map(|row| row.median(share));
    report.target("share of a core", share, AtMost(0.5), " %");
    Ok(())
}

fn total(cost: &Cost) -> f64 {
    us(cost.cpu.total) / cost.pages as f64
}

/// The share of a core, in per cent.
fn share(cost: &Cost) -> f64 {
    100.0 * cost.cpu.total.div_duration_f64(cost.window)
}

/// User-space CPU for each page, over all rounds.
fn user(row: &Row<Cost>) -> f64 {
    row.quotient(|cost| us(cost.cpu.user), |cost| cost.pages as f64)
}
