//! Ten thousand connections of the wrong kind, after which nothing is left of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::client::{Listener, Source, get, login};
use crate::daemon::{Daemon, PASSWORD, PATIENCE};
use crate::ogg;

const CONNECTIONS: usize = 10_000;

/// One client of the storm; whatever the server does to it is fine.
fn misbehave(port: u16, kind: usize, held: &mut Vec<TcpStream>) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let login = login(PASSWORD);
    match kind % 9 {
        0 => {}
        1 => socket.write_all(b"GET /m HTTP/1.1\r\nHo")?,
        2 => socket.write_all(&vec![b'x'; 20_000])?,
        3 => socket.write_all(b"\0\xff\r\n\r\n")?,
        4 => socket.write_all(
            format!("PUT /storm-{} HTTP/1.1\r\n{login}\r\nRIFF", kind % 50).as_bytes(),
        )?,
        5 => {
            socket.write_all(
                format!("PUT /storm-{} HTTP/1.1\r\n{login}\r\n", kind % 50).as_bytes(),
            )?;
            socket.write_all(&ogg::headers(1)[..60])?;
        }
        6 => {
            // A listener that closes over unread bytes: the server's end is reset.
            socket.write_all(b"GET /m HTTP/1.1\r\n\r\n")?;
            let _ = socket.read(&mut [0; 10])?;
        }
        7 => socket.write_all(b"GET /status-json.xsl HTTP/1.1\r\nHost: x\r\n\r\n")?,
        _ => {
            // Stays, and says nothing.
            held.push(socket.try_clone()?);
            if held.len() > 40 {
                held.remove(0);
            }
        }
    }
    Ok(())
}

#[test]
fn nothing_is_left_of_a_storm_and_nobody_was_hurt() {
    let server = Daemon::with(
        "",
        "[limits]\nhead_timeout = \"500ms\"\n[mount-defaults]\nsource_timeout = \"1s\"",
    );
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    let before = server.descriptors();
    let port = server.port;
    let storm: Vec<_> = (0..4)
        .map(|quarter| {
            thread::spawn(move || {
                let mut held = Vec::new();
                for n in 0..CONNECTIONS / 4 {
                    // It is refused or cut in many ways; none of them matters here.
                    let _ = misbehave(port, n * 4 + quarter, &mut held);
                }
            })
        })
        .collect();
    let mut number = 0;
    while storm.iter().any(|thread| !thread.is_finished()) {
        source.send(1, 100);
        assert_eq!(listener.number(), number);
        number += 1;
    }
    for thread in storm {
        thread.join().unwrap();
    }
    // Each goes by itself, within its time-out; what is waited for is that all have gone.
    let patience = std::time::Instant::now() + PATIENCE;
    while server.descriptors() > before {
        source.send(1, 100);
        assert_eq!(listener.number(), number);
        number += 1;
        assert!(
            std::time::Instant::now() < patience,
            "{} descriptors, {before} before",
            server.descriptors()
        );
        thread::yield_now();
    }
    let status: serde_json::Value =
        serde_json::from_slice(&get(&server, "/status-json.xsl").body).unwrap();
    assert_eq!(status["icestats"]["source"]["listeners"], 1, "{status}");
}
