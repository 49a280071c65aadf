//! One client cannot take the places of others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::client::{Source, admin, connect_from, read_head};
use crate::daemon::Daemon;
use crate::report::Report;
use crate::wait::Stop;
use crate::{Attack, Effort};

pub(crate) const ATTACKS: &[Attack] = &[
    ("crowds: readers of events", readers_of_events),
    ("crowds: heads of events", heads_of_events),
    ("crowds: documents of others", documents_of_others),
    ("crowds: all seats", all_seats),
];

/// Asks for events from this address; the connection and its status.
fn events(server: &Daemon, address: [u8; 4]) -> (TcpStream, u16) {
    let mut socket = connect_from(address, server);
    write!(socket, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let status = read_head(&mut socket).status;
    (socket, status)
}

/// Reads from all of these for this time; returns how many the server closed.
fn cuts(readers: Vec<TcpStream>, time: Duration) -> usize {
    let (cut, end) = (AtomicUsize::new(0), Instant::now() + time);
    std::thread::scope(|scope| {
        for mut reader in readers {
            let cut = &cut;
            scope.spawn(move || {
                reader.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                let mut buffer = [0; 4096];
                while Instant::now() < end {
                    let closed = match reader.read(&mut buffer) {
                        Ok(n) => n == 0,
                        Err(error) => !matches!(
                            error.kind(),
                            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                        ),
                    };
                    if closed {
                        cut.fetch_add(1, SeqCst);
                        return;
                    }
                }
            });
        }
    });
    cut.into_inner()
}

fn readers_of_events(report: &mut Report, _: Effort) {
    for (what, own) in [("each of its own address", true), ("all of one address", false)] {
        let server = Daemon::with("", "[limits]\nlisteners = 200\n");
        let _source = Source::connect(&server, "/m", 1);
        let address = |n: u8| if own { [127, 0, 9, 1 + n] } else { [127, 0, 9, 1] };
        let mut readers = Vec::new();
        let mut refused = 0;
        for n in 0..80 {
            let (socket, status) = events(&server, address(n));
            match status {
                200 => readers.push(socket),
                503 => refused += 1,
                _ => {}
            }
        }
        report.equal(
            &format!("80 honest readers, {what}: let in, refused"),
            "64, 16".to_owned(),
            format!("{}, {refused}", readers.len()),
        );
        report.equal("cut in 5 s", 0, cuts(readers, Duration::from_secs(5)));
    }
}

fn heads_of_events(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "");
    let _source = Source::connect(&server, "/m", 1);
    let readers: Vec<_> = (0..64).map(|n| events(&server, [127, 0, 9, 1 + n]).0).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                let mut socket = connect_from([127, 0, 10, 1], &server);
                write!(socket, "HEAD /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                read_head(&mut socket);
            }
        });
        let _stop = Stop(&over);
        report.equal(
            "readers of events that were cut in 5 s",
            0,
            cuts(readers, Duration::from_secs(5)),
        );
    });
}

/// One client asks for documents that it does not read, while another one reads a long document slowly.
fn documents_of_others(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "[limits]\nlisteners = 1000\nconnections_per_ip = 0");
    let _source = Source::connect(&server, "/m", 1);
    let agent = "&".repeat(250);
    let _listeners: Vec<_> = (0..300)
        .map(|_| {
            let mut socket = connect_from([127, 0, 0, 1], &server);
            write!(socket, "GET /m HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n").unwrap();
            read_head(&mut socket);
            socket
        })
        .collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = Vec::new();
            while !over.load(SeqCst) {
                let mut socket = connect_from([127, 0, 10, 1], &server);
                let request = format!(
                    "GET /admin/listclients?mount=/m HTTP/1.1\r\nHost: x\r\n{}\r\n",
                    admin()
                );
                let _ = socket.write_all(request.as_bytes());
                held.push(socket);
                if held.len() > 400 {
                    held.remove(0);
                }
            }
        });
        let _stop = Stop(&over);
        // The greedy client needs time to take its places.
        std::thread::sleep(Duration::from_millis(500));
        let mut whole = 0;
        for _ in 0..3 {
            let socket = connect_from([127, 0, 11, 1], &server);
            socket2::SockRef::from(&socket).set_recv_buffer_size(4096).unwrap();
            let mut socket = socket;
            write!(
                socket,
                "GET /admin/listclients?mount=/m HTTP/1.0\r\nHost: x\r\n{}\r\n",
                admin()
            )
            .unwrap();
            let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = socket.read(&mut buffer) {
                text.extend_from_slice(&buffer[..n]);
                std::thread::sleep(Duration::from_millis(2));
            }
            whole += usize::from(text.ends_with(b"</source></icestats>"));
        }
        report.equal("long documents that arrived whole, of three", 3, whole);
    });
}

fn all_seats(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "");
    let _source = Source::connect(&server, "/m", 1);
    let join = |address| {
        let mut socket = connect_from(address, &server);
        write!(socket, "GET /m HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let status = read_head(&mut socket).status;
        (socket, status)
    };
    let greedy: Vec<_> = (0..100).map(|_| join([127, 0, 12, 1])).collect();
    let taken = greedy.iter().filter(|(_, status)| *status == 200).count();
    report.equal("of 100 seats, what one address can have", 75, taken);
    report.equal("and another one is let in", 200, join([127, 0, 12, 2]).1);
}
