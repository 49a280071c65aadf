//! Scenarios in a steady state, after all listeners have joined: CPU time and latency per page.

use std::time::Duration;

use crate::load::{Figures, Load};
use crate::server::{Contender, Server};
use crate::table::{Row, ms, print, print_target, row, us};
use crate::{Effort, Outcome};

/// Pause between the last join and the measurement.
const SETTLE: Duration = Duration::from_secs(1);

/// A steady scenario.
pub(crate) struct Steady {
    /// The name on the command line and in the output.
    pub(crate) name: &'static str,
    /// Listeners of all mounts together.
    pub(crate) listeners: usize,
    /// Mounts, each with one source.
    pub(crate) mounts: usize,
    /// Packets of 20 ms on each page.
    pub(crate) packets: usize,
    /// The servers that are compared.
    pub(crate) contenders: &'static [Contender],
    /// The targets for silvacast.
    pub(crate) goals: &'static [Goal],
}

/// A target for silvacast.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// CPU per page: at most 1.10 × the floor's.
    CostOfFloor,
    /// CPU per page: below Icecast's.
    CostBelowIcecast,
    /// Latency, 99th percentile: at most 1.25 × the floor's.
    LatencyOfFloor,
    /// CPU per page with `coalesce`: below 1.5 µs.
    CoalescedCost,
}

impl Steady {
    /// Measures and prints the results.
    pub(crate) fn run(&self, effort: Effort) -> Outcome<()> {
        let rows = interleaved(self.contenders, effort, |contender| {
            let server = Server::start(contender)?;
            let mut load = Load::start(&server, self.mounts, self.packets)?;
            load.run(SETTLE)?;
            load.join(self.listeners)?;
            load.run(SETTLE)?;
            load.measure(&server, effort.window)
        })?;
        println!(
            "\n{}: listeners {}, mounts {}, a page every {} ms; {} rounds of {:?}",
            self.name,
            self.listeners,
            self.mounts,
            self.packets * 20,
            effort.rounds,
            effort.window
        );
        let floor = &rows[0];
        let lines: Vec<_> = rows.iter().map(|row| line(row, floor)).collect();
        print(
            [
                "server",
                "CPU µs/page",
                "× floor",
                "p50 ms",
                "p99 ms",
                "p99 × floor",
                "gaps",
                "pages",
                "waited",
            ],
            &lines,
        );
        self.goals.iter().for_each(|goal| goal.print(&rows));
        Ok(())
    }
}

/// Measures all contenders once per round.
pub(crate) fn interleaved<T>(
    contenders: &[Contender],
    effort: Effort,
    mut measure: impl FnMut(Contender) -> Outcome<T>,
) -> Outcome<Vec<Row<T>>> {
    let contenders = Contender::installed(contenders).into_iter();
    let mut rows: Vec<_> =
        contenders.map(|contender| Row { contender, rounds: Vec::new() }).collect();
    for _ in 0..effort.rounds {
        for row in &mut rows {
            let name = row.contender.name();
            row.rounds.push(measure(row.contender).map_err(|error| format!("{name}: {error}"))?);
        }
    }
    Ok(rows)
}

fn cost(figures: &Figures) -> f64 {
    us(figures.cost)
}

fn p99(figures: &Figures) -> f64 {
    ms(figures.p99)
}

fn line(row: &Row<Figures>, floor: &Row<Figures>) -> [String; 9] {
    [
        row.contender.name().to_owned(),
        format!("{:.2}", row.median(cost)),
        row.ratio_to(floor, cost).to_string(),
        format!("{:.2}", row.median(|figures| ms(figures.p50))),
        format!("{:.2}", row.median(p99)),
        row.ratio_to(floor, p99).to_string(),
        row.rounds.iter().map(|figures| figures.gaps).sum::<u64>().to_string(),
        row.rounds.iter().map(|figures| figures.pages).sum::<usize>().to_string(),
        format!("{:.0} %", row.median(|figures| figures.waited * 100.0)),
    ]
}

impl Goal {
    fn print(self, rows: &[Row<Figures>]) {
        let of = |contender| row(rows, contender);
        let (floor, silvacast) = (of(Contender::Floor), of(Contender::Silvacast));
        let (Some(floor), Some(silvacast)) = (floor, silvacast) else { return };
        match self {
            Self::CostOfFloor => {
                let times = silvacast.ratio_to(floor, cost).median;
                print_target("CPU per page at most 1.10 × the floor's", times, 1.10, " ×");
            }
            Self::CostBelowIcecast => match of(Contender::Icecast) {
                Some(icecast) => {
                    let times = silvacast.ratio_to(icecast, cost).median;
                    print_target("CPU per page below Icecast's", times, 1.0, " ×");
                }
                None => println!("  target: CPU per page below Icecast's: not measured"),
            },
            Self::LatencyOfFloor => {
                let times = silvacast.ratio_to(floor, p99).median;
                print_target("latency p99 at most 1.25 × the floor's", times, 1.25, " ×");
            }
            Self::CoalescedCost => {
                let Some(coalescing) = of(Contender::Coalescing) else { return };
                let figure = coalescing.median(cost);
                print_target("CPU per page with coalesce below 1.5 µs", figure, 1.5, " µs");
            }
        }
    }
}
