//! Relays in a row: how much later a page is at the last one, and what each of them costs.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::contender::Contender::{Relay, Silvacast};
use crate::load::{Figures, Load};
use crate::process::CpuTime;
use crate::report::{Limit::AtMost, Report};
use crate::rounds::Effort;
use crate::server::Server;
use crate::table::{median, ms, print};

/// Listeners, all at the last server.
const LISTENERS: [usize; 2] = [1, 1000];
/// The most relays between the first server and the listeners.
const MOST_HOPS: usize = 2;

/// One measurement.
struct Measured {
    figures: Figures,
    /// The part of a core that each server used, from the first one on.
    cpu: Vec<f64>,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    println!(
        "\ntree: a source at the first server, all listeners at the last one; {} rounds of {:?}",
        effort.rounds, effort.window
    );
    let mut lines = Vec::new();
    for listeners in LISTENERS {
        let mut rounds = Vec::new();
        for _ in 0..effort.rounds {
            let hops = 0..=MOST_HOPS;
            let round: Outcome<Vec<_>> =
                hops.map(|hops| measure(hops, listeners, effort.window)).collect();
            rounds.push(round?);
        }
        for hops in 0..=MOST_HOPS {
            let of = |figure: &dyn Fn(&Measured) -> f64| {
                median(rounds.iter().map(|round| figure(&round[hops])))
            };
            let cpu = |server: usize| {
                let cpu = (server <= hops).then(|| of(&|it| it.cpu[server]));
                cpu.map_or_else(String::new, |cpu| format!("{:.1} %", 100.0 * cpu))
            };
            lines.push([
                format!("{listeners}, {hops} hops"),
                format!("{:.3}", of(&|it| ms(it.figures.p50))),
                format!("{:.3}", of(&|it| ms(it.figures.p99))),
                cpu(0),
                cpu(1),
                cpu(2),
                rounds.iter().map(|round| round[hops].figures.gaps).sum::<u64>().to_string(),
                format!("{:.1} %", 100.0 * of(&|it| it.figures.waited)),
            ]);
        }
        // In the same round, because the speed of a machine varies.
        let added = |figure: &dyn Fn(&Figures) -> Duration| {
            let times = rounds.iter().map(|round| {
                let [first, last] = [&round[0], &round[MOST_HOPS]].map(|it| figure(&it.figures));
                (ms(last) - ms(first)) / MOST_HOPS as f64
            });
            median(times)
        };
        for (name, figure) in
            [("median", added(&|figures| figures.p50)), ("p99", added(&|figures| figures.p99))]
        {
            let name = format!("ms per hop, {name}, listeners {listeners}");
            report.figure("silvacast", &name, figure);
            report.target(&name, Some(figure), AtMost(1.0), " ms");
        }
    }
    print(
        ["listeners", "p50 ms", "p99 ms", "CPU, first", "second", "third", "gaps", "waited"],
        &lines,
    );
    Ok(())
}

/// Listeners behind so many relays.
fn measure(hops: usize, listeners: usize, window: Duration) -> Outcome<Measured> {
    let mut servers = vec![Server::start(Silvacast)?];
    for hop in 0..hops {
        servers.push(Server::start(Relay(servers[hop].address.port()))?);
    }
    let [first, last] = [&servers[0], &servers[hops]];
    let mut load = Load::through(first, last)?;
    load.join_after_a_pause(listeners)?;
    let cpu = || servers.iter().map(|server| server.process.cpu()).collect::<Outcome<Vec<_>>>();
    let (began, before) = (Instant::now(), cpu()?);
    let figures = load.measure(last, window)?;
    let (elapsed, after) = (began.elapsed(), cpu()?);
    let part =
        |(after, before): (CpuTime, CpuTime)| (after - before).total.div_duration_f64(elapsed);
    Ok(Measured { figures, cpu: after.into_iter().zip(before).map(part).collect() })
}
