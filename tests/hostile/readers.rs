//! A listener that reads is not dropped, and one that does not read is.

use std::time::{Duration, Instant};

use crate::client::{Listener, Source, connect, login, read_head};
use crate::daemon::{Daemon, PASSWORD};
use crate::needs::{Need, needs};
use crate::network::{Network, Reader};
use crate::report::Report;
use crate::wait::PATIENCE;
use crate::{Attack, Effort, seconds, tenths};

pub(crate) const ATTACKS: &[Attack] = &[
    ("readers: paced, packets of 1500", |report, effort| paced(report, effort, 1500)),
    ("readers: paced, packets of 576", |report, effort| paced(report, effort, 576)),
    ("readers: paced, packets of 9000", |report, effort| paced(report, effort, 9000)),
    ("readers: vanished", vanished),
    ("readers: vanished while nothing was sent", vanished_in_silence),
    ("readers: stopped", stopped),
    ("readers: what is left of a stream", leftovers),
];

/// The server's `listener_timeout` in short runs, in seconds.
const TIMEOUT: u64 = 3;
/// How much later a listener may be dropped, in seconds.
const GRACE: u64 = 10;

fn paced(report: &mut Report, effort: Effort, mtu: u32) {
    // A short run has a tenth of the time and ten times the bit rate: the same number of bytes.
    let (timeout, length, packet, bursts) = match effort {
        Effort::Long => (30, 600, 160, [0, 2, 30, 90]),
        Effort::Short => (TIMEOUT, 5 * TIMEOUT, 1_600, [0, 1, 3, 9]),
    };
    let Some(network) = Network::new(mtu, packet) else { return };
    let server = network.server(&format!("listener_timeout = \"{timeout}s\"\nring = \"4MiB\""));
    let _source = network.source(timeout * 4, length + 10);
    server.wait_for_line(&["event=\"stream-began\""]);
    let mut readers = Vec::new();
    for buffer in [2_304, 4_096, 16_384, 65_536, 262_144] {
        for burst in bursts {
            let reader = Reader { buffer, burst, seconds: length, stays: false };
            readers.push((reader, network.reader(&reader)));
        }
    }
    let player = needs(&[Need::Program("ffmpeg")]).then(|| network.ffmpeg(bursts[2], length));
    let (mut dropped, mut least) = (Vec::new(), u64::MAX);
    let limit = Duration::from_secs(length) + PATIENCE;
    for (reader, running) in readers {
        let said = running.printed(limit);
        let taken = said.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        least = least.min(taken);
        if !said.contains("cut no") {
            dropped.push(format!(
                "buffer {}, burst {} s: {}",
                reader.buffer,
                reader.burst,
                said.trim()
            ));
        }
    }
    report.equal(
        "paced readers that were dropped, of 20",
        "none".to_owned(),
        if dropped.is_empty() { "none".into() } else { dropped.join("; ") },
    );
    if let Some(player) = player {
        let said = player.printed(limit);
        let played = said.rsplit("out_time_us=").next().and_then(|rest| rest.lines().next());
        let played: u64 = played.and_then(|text| text.parse().ok()).unwrap_or(0);
        report.at_least("seconds that FFmpeg played", length - 1, played / 1_000_000);
    }
    report.measured("seconds that they read", length);
    report.measured("bytes that the slowest took", least);
}

/// Waits until a listener is gone; the time in seconds.
fn until_gone(server: &Daemon, reason: &str) -> f64 {
    let began = Instant::now();
    server.wait_for_line(&["event=\"listener-left\"", reason]);
    tenths(began.elapsed().as_secs_f64())
}

fn vanished(report: &mut Report, _: Effort) {
    let Some(network) = Network::new(1500, 160) else { return };
    let server = network.server(&format!("listener_timeout = \"{TIMEOUT}s\""));
    let _source = network.source(5, 120);
    server.wait_for_line(&["event=\"stream-began\""]);
    let reader = Reader { buffer: 65_536, burst: 0, seconds: 2, stays: true };
    // The network works: a first listener reads for two seconds.
    let said = network.reader(&Reader { stays: false, ..reader }).printed(PATIENCE);
    assert!(said.contains("cut no"), "{said}");
    server.wait_for_line(&["event=\"listener-left\""]);
    let _running = network.reader(&Reader { seconds: 600, ..reader });
    network.wait_for_connections(1);
    network.cut();
    let gone = until_gone(&server, "acknowledged nothing");
    report.at_most("seconds until a vanished listener is gone", (TIMEOUT + GRACE) as f64, gone);
}

fn vanished_in_silence(report: &mut Report, _: Effort) {
    let Some(network) = Network::new(1500, 160) else { return };
    let server = network.server(&format!(
        "listener_timeout = \"{TIMEOUT}s\"\ngap = \"pause\"\nhold = \"1h\"\ngap_after = \"100ms\""
    ));
    let source = network.source(5, 3);
    server.wait_for_line(&["event=\"stream-began\""]);
    let reader = Reader { buffer: 65_536, burst: 1, seconds: 600, stays: true };
    let _running = network.reader(&reader);
    network.wait_for_connections(1);
    // The source ends: everything has been sent.
    source.printed(PATIENCE);
    server.wait_for_line(&["event=\"gap-began\""]);
    network.cut();
    let gone = until_gone(&server, "event");
    report.at_most("seconds until a vanished listener is gone", (TIMEOUT + GRACE) as f64, gone);
}

fn stopped(report: &mut Report, _: Effort) {
    let Some(network) = Network::new(1500, 160) else { return };
    let server = network.server(&format!("listener_timeout = \"{TIMEOUT}s\""));
    let _source = network.source(30, 120);
    server.wait_for_line(&["event=\"stream-began\""]);
    // It reads for a while, with the smallest receive buffer that the kernel allows.
    let reads = 10;
    let reader = Reader { buffer: 2_304, burst: 0, seconds: reads, stays: true };
    let _running = network.reader(&reader);
    let gone = tenths(until_gone(&server, "acknowledged nothing") - reads as f64);
    report.at_most("seconds until one that stops reading is gone", (TIMEOUT + GRACE) as f64, gone);
}

/// A slow reader of a stream that has ended must not keep another Recorder out.
fn leftovers(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "[limits]\nsources = 1\n[mount-defaults]\ngap = \"end\"\n");
    let mut source = Source::connect(&server, "/first", 1);
    let mut slow = Listener::join_stuck(&server, "/first");
    slow.headers();
    source.send(1_500, 160);
    source.leave();
    server.wait_for_line(&["event=\"source-ended\""]);
    let began = Instant::now();
    let mut other = connect(&server);
    let request = format!("SOURCE /second HTTP/1.0\r\n{}\r\n", login(PASSWORD));
    std::io::Write::write_all(&mut other, request.as_bytes()).unwrap();
    report.equal("another Recorder is let in", 200, read_head(&mut other).status);
    report.measured("seconds until then", seconds(began.elapsed()));
    server.wait_for_line(&["event=\"listener-left\"", "make room for another one"]);
}
