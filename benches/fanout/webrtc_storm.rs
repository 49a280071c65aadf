//! Whether listeners by HTTP notice that many sessions of WebRTC begin at once: when the last of them has a page, before
//! that and meanwhile. The kernel notes when a page arrives, so that it does not matter what the load does then.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::arrivals::{Audience, deliver};
use crate::contender::Contender;
use crate::report::{Limit::AtMost, Report};
use crate::rounds::Effort;
use crate::server::Server;
use crate::source::path;
use crate::table::{median, ms, percentile, print};
use crate::webrtc::{Clients, connect, join};

const LISTENERS: usize = 10;
const SESSIONS: usize = 200;
/// Pages before the sessions begin.
const PAGES: usize = 50;

/// How long pages took to reach all listeners, in ascending order.
struct Latencies {
    before: Vec<Duration>,
    meanwhile: Vec<Duration>,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    let rounds = (0..effort.rounds).map(|_| measure()).collect::<Outcome<Vec<_>>>()?;
    println!(
        "\nwebrtc-storm: {SESSIONS} sessions begin at once; {LISTENERS} listeners by HTTP, a page every 100 ms; \
         medians of {} rounds",
        rounds.len()
    );
    let times = |of: fn(&Latencies) -> &[Duration], part: f64| {
        median(rounds.iter().map(|round| ms(percentile(of(round), part))))
    };
    let line = |name: &str, of: fn(&Latencies) -> &[Duration]| {
        let pages = rounds.iter().map(|round| of(round).len()).sum::<usize>();
        let figures = [0.5, 0.9, 1.0].map(|part| format!("{:.2}", times(of, part)));
        let [half, most, last] = figures;
        [name.to_owned(), half, most, last, pages.to_string()]
    };
    let lines =
        [line("before", |round| &round.before), line("meanwhile", |round| &round.meanwhile)];
    print(["", "p50 ms", "p90 ms", "latest ms", "pages"], &lines);
    let ratio = times(|round| &round.meanwhile, 0.9) / times(|round| &round.before, 0.9);
    report.target("latency p90 while sessions begin ÷ before", Some(ratio), AtMost(1.1), " ×");
    Ok(())
}

fn measure() -> Outcome<Latencies> {
    let server = Server::start(Contender::WebRtc)?;
    let mut audience = [Audience::start(server.address, LISTENERS)?];
    let mut before = Vec::new();
    for _ in 0..PAGES {
        before.push(deliver(&mut audience)?.time);
    }
    let mut meanwhile = Vec::new();
    thread::scope(|scope| -> Outcome<()> {
        let storm = scope.spawn(|| begin(server.address).map_err(|error| error.to_string()));
        while !storm.is_finished() {
            meanwhile.push(deliver(&mut audience)?.time);
        }
        Ok(storm.join().map_err(|_| "the load has panicked")??)
    })?;
    before.sort();
    meanwhile.sort();
    Ok(Latencies { before, meanwhile })
}

/// Makes all offers, and then all handshakes at once.
fn begin(server: SocketAddr) -> Outcome<()> {
    let clients = Clients::new();
    let all = (0..SESSIONS).map(|_| join(&clients, server, &path(0)));
    connect(&mut all.collect::<Outcome<Vec<_>>>()?, || Ok(()))
}
