//! Whether two workers on two cores deliver more than one: deliveries a second while a page goes to
//! five thousand listeners, with all cores for the server. The load sleeps meanwhile
//! ([`crate::arrivals`]).

use std::time::Duration;

use crate::arrivals::{Audience, deliver};
use crate::contender::Contender::{Floor, Silvacast, TwoWorkers};
use crate::report::{Limit::AtLeast, Report};
use crate::rounds::Effort;
use crate::server::Server;
use crate::table::{Row, median, print};
use crate::{Outcome, cores};

const LISTENERS: usize = 5000;
/// Pages for each round. The first ones are not counted: queues and caches must settle.
const PAGES: usize = 30;
const SETTLE: usize = 5;
/// What all cores can give together: a floor on each of two cores, with half of the listeners.
const TWO_FLOORS: &str = "two floors";

/// The figures of one round.
struct Rate {
    /// Deliveries a second.
    deliveries: f64,
    /// CPU time of the load during a delivery, in milliseconds.
    load: f64,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    if cores::all().len() < 2 {
        println!("\nworkers: not measured: there is only one core");
        return Ok(());
    }
    let mut rows = [Floor, Silvacast, TwoWorkers]
        .map(|contender| Row { contender, rounds: Vec::<Rate>::new() });
    let mut two_floors = Vec::new();
    for _ in 0..effort.rounds {
        for row in &mut rows {
            let server = Server::start_on(cores::all(), row.contender, &[])?;
            row.rounds.push(measure(&[server], row.contender.name())?);
        }
        let floors = [
            Server::start_on(&cores::all()[..1], Floor, &[])?,
            Server::start_on(&cores::all()[1..2], Floor, &[])?,
        ];
        two_floors.push(measure(&floors, TWO_FLOORS)?);
    }
    println!(
        "\nworkers: listeners {LISTENERS}, mounts 1, a page every 100 ms, {} cores for the server; \
         {} rounds of {} pages",
        cores::all().len(),
        effort.rounds,
        PAGES - SETTLE
    );
    let rate = |rate: &Rate| rate.deliveries;
    let [floor, one, two] = &rows;
    let two_floors = Row { contender: Floor, rounds: two_floors };
    let named = [
        (floor.contender.name(), floor),
        (one.contender.name(), one),
        (two.contender.name(), two),
        (TWO_FLOORS, &two_floors),
    ];
    let lines = named.map(|(name, row)| {
        [
            name.to_owned(),
            format!("{:.0}", row.median(rate)),
            row.ratio_to(floor, rate).to_string(),
            row.ratio_to(one, rate).to_string(),
            format!("{:.2}", row.median(|rate| rate.load)),
        ]
    });
    print(["server", "deliveries/s", "× floor", "× workers 1", "load's CPU ms/page"], &lines);
    for (name, row) in named {
        let times_floor = row.ratio_to(floor, rate).median;
        report.rate(name, "deliveries/s", row.median(rate), times_floor);
    }
    let times = two.ratio_to(one, rate).median;
    report.target("workers = 2 ÷ workers = 1", Some(times), AtLeast(1.6), " ×");
    Ok(())
}

/// Lets the listeners join, evenly over the servers, and delivers some pages to them.
fn measure(servers: &[Server], name: &str) -> Outcome<Rate> {
    let listeners = LISTENERS / servers.len();
    let measure = || -> Outcome<Rate> {
        let audiences = servers.iter().map(|server| Audience::start(server.address, listeners));
        let mut audiences = audiences.collect::<Outcome<Vec<_>>>()?;
        let mut deliveries = Vec::new();
        for page in 0..PAGES {
            let delivery = deliver(&mut audiences)?;
            if page >= SETTLE {
                deliveries.push(delivery);
            }
        }
        let seconds = |time: Duration| time.as_secs_f64();
        Ok(Rate {
            deliveries: LISTENERS as f64 / median(deliveries.iter().map(|d| seconds(d.time))),
            load: 1e3 * median(deliveries.iter().map(|d| seconds(d.load))),
        })
    };
    measure().map_err(|error| format!("{name}: {error}").into())
}
