//! The effect of stalled listeners on others: a hundred listeners alone, and the same hundred
//! beside five hundred that send a request and never read.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::contender::Contender;
use crate::load::{Figures, Load};
use crate::report::{Limit::AtMost, Report};
use crate::rounds::{Effort, interleaved};
use crate::server::Server;
use crate::table::{median, ms, print, row, us};

const READING: usize = 100;
const STALLED: usize = 500;

/// How long it may take until the buffers of the stalled listeners are full.
const FILL_TIMEOUT: Duration = Duration::from_secs(25);

struct Pair {
    alone: Figures,
    beside: Figures,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    let contenders = [Contender::Floor, Contender::Silvacast, Contender::Icecast];
    let rows = interleaved(&contenders, effort, |contender| {
        let server = Server::start(contender)?;
        let mut load = Load::with_listeners(&server, 1, 1, READING)?;
        let alone = load.measure(&server, effort.window)?;
        load.stall(STALLED)?;
        Ok(Pair { alone, beside: beside_stalled(&mut load, &server, effort.window)? })
    })?;
    println!(
        "\nstalled: {READING} listeners read, alone and beside {STALLED} that never do; {} rounds of {:?}",
        effort.rounds, effort.window
    );
    let cell = |rounds: &[Pair], figure: &dyn Fn(&Pair) -> f64| {
        format!("{:.2}", median(rounds.iter().map(figure)))
    };
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.contender.name().to_owned(),
                cell(&row.rounds, &|pair| us(pair.alone.cost())),
                cell(&row.rounds, &|pair| us(pair.beside.cost())),
                cell(&row.rounds, &|pair| ms(pair.alone.p50)),
                cell(&row.rounds, &|pair| ms(pair.beside.p50)),
                cell(&row.rounds, &|pair| ms(pair.alone.p99)),
                cell(&row.rounds, &|pair| ms(pair.beside.p99)),
                row.rounds.iter().map(|pair| pair.beside.gaps).sum::<u64>().to_string(),
            ]
        })
        .collect();
    print(
        [
            "server",
            "CPU µs/page alone",
            "beside",
            "p50 ms alone",
            "beside",
            "p99 ms alone",
            "beside",
            "gaps",
        ],
        &lines,
    );
    report.record(&rows, "CPU µs/page beside stalled listeners", |pair| us(pair.beside.cost()));
    report.record(&rows, "p99 ms beside stalled listeners", |pair| ms(pair.beside.p99));
    if let Some(silvacast) = row(&rows, Contender::Silvacast) {
        let cost = silvacast.median(|pair| us(pair.beside.cost()) / us(pair.alone.cost()));
        let p99 = silvacast.median(|pair| ms(pair.beside.p99) / ms(pair.alone.p99));
        report.target("CPU per page beside ÷ alone", Some(cost), AtMost(1.10), " ×");
        report.target("latency p99 beside ÷ alone", Some(p99), AtMost(1.25), " ×");
    }
    Ok(())
}

/// Measures until the stalled listeners receive nothing during a whole window, because their
/// buffers in the kernel are full.
fn beside_stalled(load: &mut Load, server: &Server, window: Duration) -> Outcome<Figures> {
    let until = Instant::now() + FILL_TIMEOUT;
    while Instant::now() < until {
        let before = unsent(load.stalled())?;
        let figures = load.measure(server, window)?;
        if unsent(load.stalled())? == before {
            return Ok(figures);
        }
    }
    Err("the stalled listeners still receive data".into())
}

/// The size of the send queue of each connection on the server's side, in bytes, from
/// `/proc/net/tcp` (number, local address, remote address, state, queues). An error if a connection
/// is closed.
fn unsent(sockets: &[TcpStream]) -> Outcome<Vec<u32>> {
    let text = fs::read_to_string("/proc/net/tcp")?;
    let mut queues = HashMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = fields[2].split_once(':').ok_or("/proc/net/tcp: an address without a port")?.1;
        let queue = fields[4].split_once(':').ok_or("/proc/net/tcp: only one queue")?.0;
        queues.insert(u16::from_str_radix(port, 16)?, u32::from_str_radix(queue, 16)?);
    }
    sockets
        .iter()
        .map(|socket| {
            let queue = queues.get(&socket.local_addr()?.port()).copied();
            queue.ok_or_else(|| "a stalled listener was disconnected".into())
        })
        .collect()
}
