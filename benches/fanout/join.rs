//! A thousand listeners join at once: the time until each of them receives audio, with the server's
//! default burst.

use std::time::Duration;

use crate::load::{FIRST_PAGE_TIMEOUT, Load};
use crate::server::{Contender, Server};
use crate::steady::interleaved;
use crate::table::{ms, percentile, print, print_target, row};
use crate::{Effort, Outcome};

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
pub(crate) fn run(effort: Effort) -> Outcome<()> {
    let rows = interleaved(&[Contender::Silvacast, Contender::Icecast], effort, |contender| {
        let server = Server::start(contender)?;
        let mut load = Load::start(&server, 1, 1)?;
        // The server needs some audio for the burst.
        load.run(effort.window * 2)?;
        let (joining, mut times) = load.join_at_once(LISTENERS)?;
        let heard = times.len();
        if heard < LISTENERS && contender == Contender::Silvacast {
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
        "\njoin: {LISTENERS} listeners join one mount at full speed, a page every 20 ms; {} rounds; heard: within {:?}",
        effort.rounds, FIRST_PAGE_TIMEOUT
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
    print(["server", "joining ms", "heard", "first page p50 ms", "p99 ms", "max ms"], &lines);
    if let Some(silvacast) = row(&rows, Contender::Silvacast) {
        let figure = silvacast.median(|times| ms(times.p99));
        print_target("first page p99 within 10 ms", figure, 10.0, " ms");
    }
    Ok(())
}
