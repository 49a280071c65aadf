//! Ten thousand misbehaving connections: none of them stays, and nobody else notices them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::client::{Listener, Source, get, login, try_connect};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;
use crate::wait::{PATIENCE, until, when};

const CONNECTIONS: usize = 10_000;
/// How long all of them may take.
const STORM: Duration = Duration::from_mins(4);

/// One client of the storm; the server may treat it in any way.
fn misbehave(port: u16, kind: usize, held: &mut Vec<TcpStream>) -> std::io::Result<()> {
    let mut socket = try_connect(&port)?;
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
            // Stays connected and sends nothing.
            held.push(socket.try_clone()?);
            if held.len() > 40 {
                held.remove(0);
            }
        }
    }
    Ok(())
}

#[test]
fn a_storm_of_connections_leaves_nothing_behind_and_disturbs_nobody() {
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
                // Refused or closed in many ways; none of them matters here.
                let done =
                    (0..CONNECTIONS / 4).map(|n| misbehave(port, n * 4 + quarter, &mut held));
                done.flatten().count()
            })
        })
        .collect();
    let mut numbers = 0..;
    let mut relay_a_page = || {
        source.send(1, 100);
        assert_eq!(Some(listener.number()), numbers.next());
    };
    until("the end of the storm", STORM, || {
        relay_a_page();
        let running = storm.iter().filter(|thread| !thread.is_finished()).count();
        when(running == 0, running)
    });
    let done: usize = storm.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(done > CONNECTIONS / 2, "only {done} clients could send what they wanted to send");
    // Each connection ends within its timeout.
    until(&format!("{before} descriptors, as before"), PATIENCE, || {
        relay_a_page();
        let now = server.descriptors();
        when(now <= before, now)
    });
    let status: serde_json::Value =
        serde_json::from_slice(&get(&server, "/status-json.xsl").body).unwrap();
    assert_eq!(status["icestats"]["source"]["listeners"], 1, "{status}");
}
