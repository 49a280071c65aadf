//! A thousand people open the page at once: how long until each of them hears something, with
//! what a server gives of the past by default.

use std::time::Duration;

use crate::load::{Load, PATIENCE};
use crate::server::{Contender, Server};
use crate::steady::interleaved;
use crate::table::{judge, ms, percentile, print, row};
use crate::{Effort, Outcome};

const LISTENERS: usize = 1000;

struct Times {
    joining: Duration,
    heard: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

/// Measures and prints.
pub(crate) fn run(effort: Effort) -> Outcome<()> {
    let rows = interleaved(&[Contender::Silvacast, Contender::Icecast], effort, |contender| {
        let server = Server::start(contender)?;
        let mut load = Load::on_air(&server, 1, 1)?;
        // So that there is a past to give.
        load.run(effort.window * 2)?;
        let (joining, mut times) = load.rush(LISTENERS)?;
        let heard = times.len();
        if heard < LISTENERS && contender == Contender::Silvacast {
            return Err(format!("only {heard} of {LISTENERS} listeners hear something").into());
        }
        // Icecast loses some where its queue of connections overflows: they count as waiting still.
        times.resize(LISTENERS, PATIENCE);
        Ok(Times {
            joining,
            heard,
            p50: percentile(&times, 0.50),
            p99: percentile(&times, 0.99),
            max: percentile(&times, 1.0),
        })
    })?;
    println!(
        "\njoin: {LISTENERS} listeners join one mount at full speed, a page every 20 ms; {} rounds; heard: within {:?}",
        effort.rounds, PATIENCE
    );
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.contender.name().to_owned(),
                format!("{:.0}", row.median(|times| ms(times.joining))),
                format!("{:.0}", row.median(|times| times.heard as f64)),
                format!("{:.2}", row.median(|times| ms(times.p50))),
                format!("{:.2}", row.median(|times| ms(times.p99))),
                format!("{:.2}", row.median(|times| ms(times.max))),
            ]
        })
        .collect();
    print(["server", "all asked ms", "heard", "first page p50 ms", "p99 ms", "max ms"], &lines);
    if let Some(silvacast) = row(&rows, Contender::Silvacast) {
        let figure = silvacast.median(|times| ms(times.p99));
        judge("first page p99 within 10 ms", figure, 10.0, " ms");
    }
    Ok(())
}
