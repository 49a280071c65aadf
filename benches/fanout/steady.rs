//! Scenarios in a steady state, after all listeners have joined: CPU time and latency per page.

use crate::Outcome;
use crate::contender::Contender::{self, Coalescing, Floor, Icecast, Silvacast};
use crate::load::{Figures, Load};
use crate::report::Limit::{AtMost, Below};
use crate::report::Report;
use crate::rounds::{Effort, interleaved};
use crate::server::Server;
use crate::table::{Row, ms, print, row, us};

/// A steady scenario.
pub(crate) struct Steady {
    /// The name on the command line and in the output.
    pub(crate) name: &'static str,
    /// Listeners of all mounts together.
    listeners: usize,
    /// Mounts, each with one source.
    mounts: usize,
    /// Packets of 20 ms on each page.
    packets: usize,
    /// How many times longer than others the window is: few pages scatter more.
    windows: u32,
    /// The servers that are compared. The first one is the floor.
    contenders: &'static [Contender],
    /// The targets for silvacast.
    goals: &'static [Goal],
}

/// A target for silvacast.
#[derive(Clone, Copy)]
enum Goal {
    /// CPU per page, as a multiple of the floor's.
    CostOfFloor(f64),
    /// CPU per page: below Icecast's.
    CostBelowIcecast,
    /// User-space CPU per page, in microseconds.
    UserCost(f64),
    /// CPU per page with `coalesce`, in microseconds.
    CoalescedCost(f64),
    /// Latency, 99th percentile, as a multiple of the floor's.
    LatencyOfFloor(f64),
    /// No page is lost.
    NoGaps,
}

use Goal::{CoalescedCost, CostBelowIcecast, CostOfFloor, LatencyOfFloor, NoGaps, UserCost};

const COMPARED: &[Contender] = &[Floor, Silvacast, Icecast];
const WITH_COALESCING: &[Contender] = &[Floor, Silvacast, Coalescing, Icecast];
const MANY: &[Goal] = &[CostOfFloor(1.05), CostBelowIcecast, LatencyOfFloor(1.1), NoGaps];

/// A scenario whose other values are as in `1000x1`.
const THOUSAND: Steady = Steady {
    name: "1000x1",
    listeners: 1000,
    mounts: 1,
    packets: 1,
    windows: 1,
    contenders: COMPARED,
    goals: &[CostOfFloor(1.05), CostBelowIcecast, UserCost(0.4), LatencyOfFloor(1.1)],
};

/// All steady scenarios.
pub(crate) const ALL: [Steady; 7] = [
    THOUSAND,
    Steady {
        name: "100x10",
        listeners: 100,
        mounts: 10,
        goals: &[CostOfFloor(1.05), CostBelowIcecast, LatencyOfFloor(1.1)],
        ..THOUSAND
    },
    // A station's everyday load: 500 pages a second.
    Steady {
        name: "10x10",
        listeners: 10,
        mounts: 10,
        windows: 4,
        goals: &[CostOfFloor(1.15), CostBelowIcecast, LatencyOfFloor(1.1)],
        ..THOUSAND
    },
    Steady {
        name: "5000x1",
        listeners: 5000,
        packets: 5,
        contenders: WITH_COALESCING,
        goals: MANY,
        ..THOUSAND
    },
    Steady {
        name: "10000x1",
        listeners: 10_000,
        packets: 5,
        contenders: WITH_COALESCING,
        goals: MANY,
        ..THOUSAND
    },
    Steady {
        name: "1000x1-1s",
        packets: 50,
        goals: &[CostBelowIcecast, LatencyOfFloor(1.1)],
        ..THOUSAND
    },
    Steady {
        name: "coalesce",
        contenders: WITH_COALESCING,
        goals: &[CoalescedCost(0.6)],
        ..THOUSAND
    },
];

impl Steady {
    /// Measures and prints the results.
    pub(crate) fn run(&self, effort: Effort, report: &mut Report) -> Outcome<()> {
        let window = effort.window * self.windows;
        let rows = interleaved(self.contenders, effort, |contender| {
            let server = Server::start(contender)?;
            let mut load =
                Load::with_listeners(&server, self.mounts, self.packets, self.listeners)?;
            load.measure(&server, window)
        })?;
        println!(
            "\n{}: listeners {}, mounts {}, a page every {} ms; {} rounds of {window:?}",
            self.name,
            self.listeners,
            self.mounts,
            self.packets * 20,
            effort.rounds,
        );
        let lines: Vec<_> = rows.iter().map(|row| line(row, &rows[0])).collect();
        print(
            [
                "server",
                "CPU µs/page",
                "× floor",
                "user µs/page",
                "p50 ms",
                "p99 ms",
                "p99 × floor",
                "gaps",
                "pages",
                "waited",
            ],
            &lines,
        );
        report.record(&rows, "CPU µs/page", cost);
        report.record(&rows, "p50 ms", |figures| ms(figures.p50));
        report.record(&rows, "p99 ms", p99);
        for row in &rows {
            report.figure(row.contender.name(), "user µs/page", user_cost(row));
            report.figure(row.contender.name(), "gaps", gaps(row) as f64);
        }
        self.goals.iter().for_each(|goal| goal.print(&rows, report));
        Ok(())
    }
}

fn cost(figures: &Figures) -> f64 {
    us(figures.cost())
}

/// User-space CPU for each page, over all rounds: one window has too few clock ticks.
fn user_cost(row: &Row<Figures>) -> f64 {
    row.quotient(|figures| us(figures.cpu.user), |figures| figures.pages as f64)
}

fn p99(figures: &Figures) -> f64 {
    ms(figures.p99)
}

fn gaps(row: &Row<Figures>) -> u64 {
    row.rounds.iter().map(|figures| figures.gaps).sum()
}

fn pages(row: &Row<Figures>) -> usize {
    row.rounds.iter().map(|figures| figures.pages).sum()
}

fn line(row: &Row<Figures>, floor: &Row<Figures>) -> [String; 10] {
    [
        row.contender.name().to_owned(),
        format!("{:.2}", row.median(cost)),
        row.ratio_to(floor, cost).to_string(),
        format!("{:.2}", user_cost(row)),
        format!("{:.2}", row.median(|figures| ms(figures.p50))),
        format!("{:.2}", row.median(p99)),
        row.ratio_to(floor, p99).to_string(),
        gaps(row).to_string(),
        pages(row).to_string(),
        format!("{:.0} %", row.median(|figures| figures.waited * 100.0)),
    ]
}

impl Goal {
    fn print(self, rows: &[Row<Figures>], report: &mut Report) {
        let silvacast = row(rows, Silvacast);
        let ratio = |other, figure: fn(&Figures) -> f64| {
            Some(silvacast?.ratio_to(row(rows, other)?, figure).median)
        };
        match self {
            CostOfFloor(most) => {
                report.target("CPU per page ÷ floor's", ratio(Floor, cost), AtMost(most), " ×");
            }
            CostBelowIcecast => {
                let times = ratio(Icecast, cost);
                report.target("CPU per page ÷ Icecast's", times, Below(1.0), " ×");
            }
            UserCost(most) => {
                let figure = silvacast.map(user_cost);
                report.target("user CPU per page", figure, AtMost(most), " µs");
            }
            CoalescedCost(most) => {
                let figure = row(rows, Coalescing).map(|row| row.median(cost));
                report.target("CPU per page with coalesce", figure, AtMost(most), " µs");
            }
            LatencyOfFloor(most) => {
                report.target("latency p99 ÷ floor's", ratio(Floor, p99), AtMost(most), " ×");
            }
            NoGaps => {
                let lost = silvacast.map(|row| gaps(row) as f64);
                report.target("packets lost", lost, AtMost(0.0), "");
            }
        }
    }
}
