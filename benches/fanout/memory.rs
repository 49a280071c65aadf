//! Resident memory: of a server that has just started, and of one with a thousand listeners.

use std::thread::sleep;
use std::time::Duration;

use crate::load::Load;
use crate::server::{Contender, Server};
use crate::steady::interleaved;
use crate::table::{judge, print, row};
use crate::{Effort, Outcome};

const LISTENERS: usize = 1000;
const SETTLE: Duration = Duration::from_secs(1);
/// Memory does not vary as times do.
const ONCE: Effort = Effort { window: Duration::ZERO, rounds: 1 };

/// In bytes.
struct Sizes {
    idle: u64,
    source: u64,
    full: u64,
}

/// Measures and prints.
pub(crate) fn run() -> Outcome<()> {
    let contenders = [Contender::Floor, Contender::Silvacast, Contender::Icecast];
    let rows = interleaved(&contenders, ONCE, |contender| {
        let server = Server::start(contender)?;
        sleep(SETTLE);
        let idle = server.resident()?;
        let mut load = Load::on_air(&server, 1, 1)?;
        load.run(SETTLE)?;
        let source = server.resident()?;
        load.join(LISTENERS)?;
        load.run(SETTLE)?;
        Ok(Sizes { idle, source, full: server.resident()? })
    })?;
    println!("\nmemory: resident, idle, with one source, and with {LISTENERS} listeners to it");
    let per_listener = |sizes: &Sizes| (sizes.full as f64 - sizes.source as f64) / LISTENERS as f64;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.contender.name().to_owned(),
                format!("{:.2}", row.median(|sizes| mb(sizes.idle))),
                format!("{:.2}", row.median(|sizes| mb(sizes.source))),
                format!("{:.2}", row.median(|sizes| mb(sizes.full))),
                format!("{:.0}", row.median(per_listener)),
            ]
        })
        .collect();
    print(["server", "idle MB", "source MB", "listeners MB", "bytes per listener"], &lines);
    if let Some(silvacast) = row(&rows, Contender::Silvacast) {
        judge("idle at most 4 MB", silvacast.median(|sizes| mb(sizes.idle)), 4.0, " MB");
        judge("at most 2 KiB per listener", silvacast.median(per_listener) / 1024.0, 2.0, " KiB");
    }
    Ok(())
}
