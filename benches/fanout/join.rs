//! A thousand listeners join at once: the time until each of them receives audio. silvacast and
//! Icecast send their default burst. The floor has none, so that its listeners wait for the next
//! page.

use std::time::Duration;

use crate::Outcome;
use crate::contender::Contender::{Floor, Icecast, Silvacast};
use crate::load::{FIRST_PAGE_TIMEOUT, Load};
use crate::report::{Limit::AtMost, Report};
use crate::rounds::{Effort, interleaved};
use crate::server::Server;
use crate::table::{ms, percentile, print, row};

const LISTENERS: usize = 1000;

struct Times {
    /// Until all listeners had started to connect.
    joining: Duration,
    /// How many listeners received audio.
    heard: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    let rows = interleaved(&[Floor, Silvacast, Icecast], effort, |contender| {
        let server = Server::start(contender)?;
        let mut load = Load::start(&server, 1, 1)?;
        // The server needs some audio for the burst.
        load.run(effort.window * 2)?;
        let (joining, mut times) = load.join_at_once(LISTENERS)?;
        let heard = times.len();
        if heard < LISTENERS && contender != Icecast {
            return Err(format!("only {heard} of {LISTENERS} listeners receive audio").into());
        }
        // Icecast loses listeners when its backlog overflows. They count with the whole timeout.
        times.resize(LISTENERS, FIRST_PAGE_TIMEOUT);
        Ok(Times {
            joining,
            heard,
            p50: percentile(&times, 0.50),
            p99: percentile(&times, 0.99),
            max: percentile(&times, 1.0),
        })
    })?;
    println!(
        "\njoin: {LISTENERS} listeners join one mount at full speed, a page every 20 ms; \
         {} rounds; heard: within {FIRST_PAGE_TIMEOUT:?}",
        effort.rounds
    );
    let p99 = |times: &Times| ms(times.p99);
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.contender.name().to_owned(),
                format!("{:.0}", row.median(|times| ms(times.joining))),
                format!("{:.0}", row.median(|times| times.heard as f64)),
                format!("{:.2}", row.median(|times| ms(times.p50))),
                format!("{:.2}", row.median(p99)),
                row.ratio_to(&rows[0], p99).to_string(),
                format!("{:.2}", row.median(|times| ms(times.max))),
            ]
        })
        .collect();
    print(
        ["server", "joining ms", "heard", "first page p50 ms", "p99 ms", "p99 × floor", "max ms"],
        &lines,
    );
    report.record(&rows, "first page p50 ms", |times| ms(times.p50));
    report.record(&rows, "first page p99 ms", p99);
    let times = row(&rows, Silvacast).map(|silvacast| silvacast.ratio_to(&rows[0], p99).median);
    report.target("first page p99 ÷ floor's", times, AtMost(1.0), " ×");
    Ok(())
}
