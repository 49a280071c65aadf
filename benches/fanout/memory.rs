//! Resident memory of a server: after its start, with one source, and with a thousand listeners.

use std::thread::sleep;
use std::time::Duration;

use crate::load::Load;
use crate::server::{Contender, Server};
use crate::steady::interleaved;
use crate::table::{print, print_target, row};
use crate::{Effort, Outcome};

const LISTENERS: usize = 1000;
const SETTLE: Duration = Duration::from_secs(1);
/// Memory varies less than time, so one round is enough.
const ONCE: Effort = Effort { window: Duration::ZERO, rounds: 1 };

/// Resident memory, in bytes.
struct Sizes {
    idle: u64,
    with_source: u64,
    with_listeners: u64,
}

/// Measures and prints the results.
pub(crate) fn run() -> Outcome<()> {
    let contenders = [Contender::Floor, Contender::Silvacast, Contender::Icecast];
    let rows = interleaved(&contenders, ONCE, |contender| {
        let server = Server::start(contender)?;
        sleep(SETTLE);
        let idle = server.resident()?;
        let mut load = Load::start(&server, 1, 1)?;
        load.run(SETTLE)?;
        let with_source = server.resident()?;
        load.join(LISTENERS)?;
        load.run(SETTLE)?;
        Ok(Sizes { idle, with_source, with_listeners: server.resident()? })
    })?;
    println!("\nmemory: resident, idle, with one source, and with {LISTENERS} listeners to it");
    let per_listener =
        |sizes: &Sizes| (sizes.with_listeners as f64 - sizes.with_source as f64) / LISTENERS as f64;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.contender.name().to_owned(),
                format!("{:.2}", row.median(|sizes| mb(sizes.idle))),
                format!("{:.2}", row.median(|sizes| mb(sizes.with_source))),
                format!("{:.2}", row.median(|sizes| mb(sizes.with_listeners))),
                format!("{:.0}", row.median(per_listener)),
            ]
        })
        .collect();
    print(["server", "idle MB", "source MB", "listeners MB", "bytes per listener"], &lines);
    if let Some(silvacast) = row(&rows, Contender::Silvacast) {
        print_target("idle at most 4 MB", silvacast.median(|sizes| mb(sizes.idle)), 4.0, " MB");
        print_target(
            "at most 2 KiB per listener",
            silvacast.median(per_listener) / 1024.0,
            2.0,
            " KiB",
        );
    }
    Ok(())
}
