//! What those who do not read cost those who do: a hundred listeners alone, and the same hundred
//! beside five hundred that ask and never read.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::load::{Figures, Load};
use crate::server::{Contender, Server};
use crate::steady::interleaved;
use crate::table::{judge, median, ms, print, row, us};
use crate::{Effort, Outcome};

const READING: usize = 100;
const STALLED: usize = 500;

const SETTLE: Duration = Duration::from_secs(1);
/// How long it may take until those that do not read have stalled.
const FILL: Duration = Duration::from_secs(25);

struct Pair {
    alone: Figures,
    beside: Figures,
}

/// Measures and prints.
pub(crate) fn run(effort: Effort) -> Outcome<()> {
    let contenders = [Contender::Floor, Contender::Silvacast, Contender::Icecast];
    let rows = interleaved(&contenders, effort, |contender| {
        let server = Server::start(contender)?;
        let mut load = Load::on_air(&server, 1, 1)?;
        load.run(SETTLE)?;
        load.join(READING)?;
        load.run(SETTLE)?;
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
                cell(&row.rounds, &|pair| us(pair.alone.cost)),
                cell(&row.rounds, &|pair| us(pair.beside.cost)),
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
    if let Some(silvacast) = row(&rows, Contender::Silvacast) {
        let cost = silvacast.median(|pair| us(pair.beside.cost) / us(pair.alone.cost));
        let p99 = silvacast.median(|pair| ms(pair.beside.p99) / ms(pair.alone.p99));
        judge("CPU per page at most 1.10 × that alone", cost, 1.10, " ×");
        judge("latency p99 at most 1.25 × that alone", p99, 1.25, " ×");
    }
    Ok(())
}

/// Measures until there was a window in which the stalled listeners took nothing at all: it takes
/// a while until the kernel holds all that it will hold for them.
fn beside_stalled(load: &mut Load, server: &Server, window: Duration) -> Outcome<Figures> {
    let until = Instant::now() + FILL;
    while Instant::now() < until {
        let before = unsent(load.stalled())?;
        let figures = load.measure(server, window)?;
        if unsent(load.stalled())? == before {
            return Ok(figures);
        }
    }
    Err("the listeners that were to stall still take something".into())
}

/// What the kernel holds for each of these connections on the server's side, as it tells it in
/// `/proc/net/tcp`: number, local and remote address, state, and the queues. An error if one is
/// gone.
fn unsent(sockets: &[TcpStream]) -> Outcome<Vec<u32>> {
    let text = fs::read_to_string("/proc/net/tcp")?;
    let mut queues = HashMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = fields[2].split_once(':').ok_or("an address without a port")?.1;
        let queue = fields[4].split_once(':').ok_or("a queue without another")?.0;
        queues.insert(u16::from_str_radix(port, 16)?, u32::from_str_radix(queue, 16)?);
    }
    sockets
        .iter()
        .map(|socket| {
            let queue = queues.get(&socket.local_addr()?.port()).copied();
            queue.ok_or_else(|| "a stalled listener is gone".into())
        })
        .collect()
}
