//! HLS: thousands of listeners behind a cache, and listeners that connect directly.

use std::time::Duration;

use crate::Outcome;
use crate::cache::Cache;
use crate::contender::Contender::Silvacast;
use crate::hls_listener::Manner;
use crate::hls_load::{HlsFigures, HlsLoad, Wait};
use crate::load::Load;
use crate::report::{Limit::AtMost, Report};
use crate::rounds::Effort;
use crate::server::Server;
use crate::table::{print, us};

/// Listeners that fetch parts. Each of them always has a request at the server, which lets 64 wait.
const LOW_LATENCY: usize = 50;

/// How much is measured.
struct Amount {
    window: Duration,
    listeners: usize,
}

impl Amount {
    fn behind_a_cache(effort: Effort) -> Self {
        let (seconds, listeners) = if effort.is_quick() { (15, 200) } else { (120, 2000) };
        Self { window: Duration::from_secs(seconds), listeners }
    }

    fn direct(effort: Effort) -> Self {
        let (seconds, listeners) = if effort.is_quick() { (10, 200) } else { (30, 1000) };
        Self { window: Duration::from_secs(seconds), listeners }
    }
}

/// One listener behind nginx, and many: what reaches silvacast, and what it costs.
pub(crate) fn behind_a_cache(effort: Effort, report: &mut Report) -> Outcome<()> {
    let Amount { window, listeners } = Amount::behind_a_cache(effort);
    println!("\nhls-cache: plain HLS through nginx as in docs/scale.md, {window:?} each");
    let mut lines = Vec::new();
    let mut per_segment = Vec::new();
    for count in [1, listeners] {
        let server = Server::start(Silvacast)?;
        let cache = Cache::start(server.address)?;
        let mut load = HlsLoad::start(&server, 1, Wait::Sleep)?;
        let manner = Manner { server: cache.address, keeps: true, is_low_latency: false };
        load.join(count, manner)?;
        let before = cache.process.cpu()?;
        let figures = load.measure(&server, window)?;
        let nginx = cache.process.cpu()? - before;
        explain(&figures);
        let requests = figures.requests as f64 / figures.segments as f64;
        per_segment.push(requests);
        let of_core = |time: Duration| 100.0 * time.div_duration_f64(figures.window);
        let (cpu, resident) = (of_core(figures.cpu.total), figures.memory.resident as f64 / 1e6);
        lines.push([
            count.to_string(),
            figures.segments.to_string(),
            format!("{requests:.2}"),
            format!("{cpu:.2} %"),
            format!("{resident:.2}"),
            format!("{:.2} %", of_core(nginx.total)),
            figures.fetched.files.to_string(),
            figures.fetched.errors.to_string(),
            figures.lost.to_string(),
            figures.late.to_string(),
            figures.fetched.different.to_string(),
            figures.behind.to_string(),
        ]);
        let name = format!("silvacast, listeners {count}");
        report.figure(&name, "requests/segment", requests);
        report.figure(&name, "CPU % of a core", cpu);
        report.figure(&name, "resident MB", resident);
    }
    print(
        [
            "listeners",
            "segments",
            "requests/segment",
            "CPU",
            "MB",
            "nginx CPU",
            "files",
            "errors",
            "lost",
            "late",
            "different",
            "behind",
        ],
        &lines,
    );
    let more = per_segment[1] - per_segment[0];
    report.target("requests per segment more than with 1 listener", Some(more), AtMost(1.0), "");
    Ok(())
}

/// Listeners that connect directly, beside listeners of the Ogg stream of the same source.
pub(crate) fn direct(effort: Effort, report: &mut Report) -> Outcome<()> {
    let Amount { window, listeners } = Amount::direct(effort);
    println!("\nhls-direct: listeners without a cache, {window:?} each");
    let mut lines = Vec::new();
    for (name, count, packets, is_low_latency) in [
        ("plain", listeners, 1, false),
        ("plain", listeners, 50, false),
        ("low latency", LOW_LATENCY, 1, true),
    ] {
        let ogg = ogg(count, packets, window)?;
        let server = Server::start(Silvacast)?;
        let mut load = HlsLoad::start(&server, packets, Wait::Poll)?;
        load.join(count, Manner { server: server.address, keeps: false, is_low_latency })?;
        let figures = load.measure(&server, window)?;
        explain(&figures);
        let ratio = figures.cost().div_duration_f64(ogg);
        let seconds = figures.listeners as f64 * figures.window.as_secs_f64();
        let row = format!("{name}, {count}, pages of {} ms", packets * 20);
        report.figure("silvacast", &format!("HLS ÷ Ogg: {row}"), ratio);
        lines.push([
            row,
            format!("{:.1}", us(ogg)),
            format!("{:.1}", us(figures.cost())),
            format!("{ratio:.2}"),
            format!("{:.2}", figures.requests as f64 / seconds),
            format!("{:.1}", figures.fetched.bytes as f64 / seconds / 1e3),
            format!("{:.2}", figures.memory.resident as f64 / 1e6),
            figures.fetched.errors.to_string(),
            figures.lost.to_string(),
            figures.late.to_string(),
            figures.fetched.different.to_string(),
            figures.behind.to_string(),
        ]);
    }
    print(
        [
            "listeners",
            "Ogg CPU µs/listener/s",
            "HLS",
            "HLS ÷ Ogg",
            "requests/listener/s",
            "kB/listener/s",
            "MB",
            "errors",
            "lost",
            "late",
            "different",
            "behind",
        ],
        &lines,
    );
    Ok(())
}

/// CPU time of the Ogg stream for each listener and second.
fn ogg(listeners: usize, packets: usize, window: Duration) -> Outcome<Duration> {
    let server = Server::start(Silvacast)?;
    let mut load = Load::with_listeners(&server, 1, packets, listeners)?;
    let figures = load.measure(&server, window)?;
    // A page has so many packets of 20 ms.
    Ok(figures.cost().div_f64(packets as f64 * 0.020))
}

/// Prints why something went wrong, if it did.
fn explain(figures: &HlsFigures) {
    if figures.is_clean() {
        return;
    }
    println!("  {} listeners did not receive everything in time", figures.listeners);
    for (error, count) in &figures.fetched.kinds_of_errors {
        println!("  {count} × {error}");
    }
}
