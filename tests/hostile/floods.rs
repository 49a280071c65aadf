//! Floods of log lines, tiny pages and torn pages.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::client::{Listener, Source, connect_from, get, read_head, try_connect};
use crate::daemon::{Daemon, binary};
use crate::port::Port;
use crate::process::Running;
use crate::report::Report;
use crate::wait::Stop;
use crate::{Attack, Effort, ogg};

pub(crate) const ATTACKS: &[Attack] = &[
    ("floods: listeners that come and go", churn),
    ("floods: sources that chain", chaining),
    ("floods: a full disk", full_disk),
    ("floods: tiny pages", tiny_pages),
    ("floods: torn pages", torn_pages),
];

/// How many lines of one kind the server may log: at once, and per second after that.
const BURST: usize = 200;
const PER_SECOND: usize = 10;

fn churn(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "");
    let _source = Source::connect(&server, "/m", 1);
    let (began, mut joined) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        let mut socket = connect_from([127, 0, 13, 1 + (joined % 200) as u8], &server);
        write!(socket, "GET /m HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_head(&mut socket);
        joined += 1;
    }
    let seconds = began.elapsed().as_secs() as usize + 1;
    let written = server.count_lines(&["event=\"listener-left\""]);
    report.measured("listeners in 5 s", joined);
    report.at_most("lines about them", BURST + seconds * PER_SECOND, written);
    let said = server.wait_for_line(&["event=\"more-lines\"", "listener-left"]);
    report.equal("the rest is counted", true, said.contains("count="));
}

/// Nine sources that start a new chained stream with every page, and a client that reads events over a slow link.
fn chaining(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "");
    let mut sources: Vec<_> =
        (0..9).map(|n| Source::connect(&server, &format!("/{n}"), 1)).collect();
    let over = AtomicBool::new(false);
    let (mut chains, began) = (0_u32, Instant::now());
    let heard = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let socket = connect_from([127, 0, 14, 1], &server);
            socket2::SockRef::from(&socket).set_recv_buffer_size(8192).unwrap();
            let mut socket = socket;
            write!(socket, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            read_head(&mut socket);
            let (mut taken, mut buffer) = (0_u64, vec![0; 1500]);
            while !over.load(SeqCst) {
                // 75 KB in a second.
                match socket.read(&mut buffer) {
                    Ok(0) | Err(_) => return None,
                    Ok(n) => taken += n as u64,
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Some(taken)
        });
        let stop = Stop(&over);
        while began.elapsed() < Duration::from_secs(14) {
            chains += 1;
            let tags = format!("OpusTags\x04\0\0\0test\x01\0\0\0\x0c\0\0\0TITLE={chains:06}");
            for source in &mut sources {
                let headers = ogg::headers_with(chains + 1, ogg::HEAD, tags.as_bytes());
                let page = ogg::audio(chains + 1, 0, 100);
                source.socket.write_all(&[headers, page].concat()).unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(stop);
        reader.join().unwrap()
    });
    let seconds = began.elapsed().as_secs() as usize + 1;
    report.measured("chains in 14 s", chains as usize * sources.len());
    let lines = server.count_lines(&["event=\"stream-"]);
    report.at_most("lines about them", 2 * (BURST + seconds * PER_SECOND), lines);
    report.equal("a reader of events at 75 KB/s is not cut", true, heard.is_some());
    report.measured("KB that it was sent", heard.unwrap_or(0) / 1000);
}

/// A full disk: each write to the standard error fails.
fn full_disk(report: &mut Report, _: Effort) {
    let port = Port::reserve();
    let (_directory, file) =
        crate::daemon::configuration(port.number(), crate::daemon::PASSWORD, "", "");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let _server = Running::start(Command::new(binary()).arg("--config").arg(&file).stderr(full));
    let metrics = || match try_connect(&port.number()) {
        Ok(_) => get(&port.number(), "/metrics").text(),
        Err(_) => String::new(),
    };
    let end = Instant::now() + Duration::from_secs(10);
    let mut lost = 0;
    while lost == 0 && Instant::now() < end {
        let text = metrics();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("silvacast_journal_dropped_lines_total "));
        lost = value.and_then(|value| value.parse().ok()).unwrap_or(0);
        std::thread::sleep(Duration::from_millis(50));
    }
    report.at_least("lines that are counted as lost", 1, lost);
}

/// The largest ring, full of the smallest pages.
fn tiny_pages(report: &mut Report, effort: Effort) {
    let ring = if effort == Effort::Long { "256MiB" } else { "64MiB" };
    let server = Daemon::with("", &format!("[mount-defaults]\nring = \"{ring}\"\n"));
    let mut socket = crate::client::connect(&server);
    let login = crate::client::login(crate::daemon::PASSWORD);
    write!(socket, "SOURCE /m HTTP/1.0\r\n{login}\r\n").unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    // Vorbis, because its pages pass through unchanged.
    socket.write_all(&vorbis_headers()).unwrap();
    server.wait_for_line(&["event=\"stream-began\""]);
    let mut page = Vec::new();
    let stamp = ogg_splice::PageHeader { serial: 1, sequence: 9, granule: 0, ..Default::default() };
    ogg_splice::write_page(&mut page, stamp, &[b"x"]);
    let many = page.repeat(20_000);
    let wanted: usize = if effort == Effort::Long { 1_900_000 } else { 500_000 };
    let mut sent = 0;
    while sent < wanted {
        socket.write_all(&many).unwrap();
        sent += 20_000;
    }
    let mut waits = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let mut listener = connect_from([127, 0, 15, 1], &server);
        write!(listener, "GET /m?burst=10m HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_head(&mut listener);
        waits.push(began.elapsed());
    }
    waits.sort();
    report.measured("pages of 29 bytes", sent);
    report.measured("milliseconds until a listener is answered, median", waits[2].as_millis());
    drop(socket);
}

fn vorbis_headers() -> Vec<u8> {
    let mut first = b"\x01vorbis\0\0\0\0\x01\x80\xbb\0\0".to_vec();
    first.resize(29, 0);
    first.push(1);
    let (comment, setup) = (b"\x03vorbis\0\0\0\0\0\0\0\0\x01", b"\x05vorbis-setup");
    let mut pages = Vec::new();
    let stamp = ogg_splice::PageHeader { serial: 1, ..Default::default() };
    ogg_splice::write_page(&mut pages, ogg_splice::PageHeader { first: true, ..stamp }, &[&first]);
    ogg_splice::write_page(
        &mut pages,
        ogg_splice::PageHeader { sequence: 1, ..stamp },
        &[comment, setup],
    );
    pages
}

/// A listener that the ring overtakes again and again, at any position in a page.
fn torn_pages(report: &mut Report, _: Effort) {
    let server = Daemon::with(
        "",
        "[mount-defaults]\nring = \"128KiB\"\n[limits]\nlistener_send_buffer = \"8KiB\"",
    );
    let mut source = Source::connect(&server, "/m", 1);
    let mut slow = Listener::join_stuck(&server, "/m?burst=0ms");
    slow.headers();
    // In pages of many small packets, the segment table is a large part of the page.
    let over = AtomicBool::new(false);
    let (pages, holes, strays) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut pages, mut holes, mut strays) = (0, 0, 0);
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let mut step = 0_usize;
            loop {
                // Reads of different lengths, each shorter than what is available.
                step += 1;
                let most = 1 + step * 7_919 % 4_096;
                match slow.socket.read(&mut buffer[..most]) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                }
                if !over.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            let mut rest = &bytes[..];
            while rest.len() >= 27 {
                if !rest.starts_with(b"OggS") {
                    strays += 1;
                    rest = &rest[1..];
                    continue;
                }
                let table = 27 + usize::from(rest[26]);
                if rest.len() < table {
                    break;
                }
                let length = table + rest[27..table].iter().map(|&l| usize::from(l)).sum::<usize>();
                if rest.len() < length {
                    break;
                }
                let valid = ogg::next_page(&mut &rest[..length]).is_some();
                pages += usize::from(valid);
                holes += usize::from(!valid);
                rest = &rest[length..];
            }
            (pages, holes, strays)
        });
        for number in 0..20_000_u32 {
            let packets: Vec<_> = (0..200_u8).map(|n| [0xf8, n, number as u8]).collect();
            let packets: Vec<&[u8]> = packets.iter().map(<[u8; 3]>::as_slice).collect();
            let stamp = ogg_splice::PageHeader {
                serial: 1,
                sequence: number + 2,
                granule: u64::from(number + 1) * 200 * 960,
                ..Default::default()
            };
            let mut page = Vec::new();
            ogg_splice::write_page(&mut page, stamp, &packets);
            source.socket.write_all(&page).unwrap();
        }
        over.store(true, SeqCst);
        std::thread::sleep(Duration::from_millis(500));
        drop(server);
        reader.join().unwrap()
    });
    report.measured("whole pages", pages);
    report.at_least("holes", 20, holes);
    report.equal("places where no page begins that should", 0, strays);
}
