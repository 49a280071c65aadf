//! The process stays below the memory that `check` prints, with as many clients as its configuration admits.

use std::io::Write;

use crate::client::{Listener, Source, connect, get};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::process::Run;

const SECTIONS: &str = "[limits]\nsources = 4\nlisteners = 150\nconnections_per_ip = 0\n[mount-defaults]\nring = \"2MiB\"\n";

/// The greatest memory of the process according to `check`, in bytes.
fn ceiling() -> usize {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("silvacast.toml");
    let auth = format!("[auth]\nsource_password = \"{PASSWORD}\"\nadmin_password = \"x\"\n");
    std::fs::write(&file, auth + SECTIONS).unwrap();
    let output = silvacast().args(["check", "--config"]).arg(&file).run();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, share) = text.split_once("in all, ").unwrap();
    let mib: f64 = share.split(' ').next().unwrap().parse().unwrap();
    (mib * 1024.0 * 1024.0) as usize
}

#[test]
fn the_worst_case_stays_below_the_ceiling() {
    let server = Daemon::with("", SECTIONS);
    let idle = server.resident();
    let mut sources: Vec<_> =
        (0..4).map(|n| Source::connect(&server, &format!("/{n}"), n)).collect();
    let agent = format!("User-Agent: {}\r\n", "x".repeat(4000));
    // Most of them never read, so their audio stays with the server.
    let mut listeners: Vec<_> = (0..150)
        .map(|n| Listener::join_with(&server, &format!("/{}?burst=0ms", n % 4), &agent))
        .collect();
    // More than a ring for each mount; one listener of each mount reads, to see that it has arrived.
    for (source, listener) in sources.iter_mut().zip(&mut listeners) {
        listener.headers();
        for batch in 0..200 {
            source.send(10, 1200);
            (0..10).for_each(|n| assert_eq!(listener.number(), batch * 10 + n));
        }
    }
    let mut halves = Vec::new();
    for _ in 0..240 {
        let mut half = connect(&server);
        half.write_all(b"GET /m HTTP/1.1\r\nA: ").unwrap();
        half.write_all(&vec![b'x'; 8000]).unwrap();
        halves.push(half);
    }
    // The door serves connections in turn: once this is answered, it has read the requests before.
    assert_eq!(get(&server, "/0").status, 503, "all seats are taken");
    let loaded = server.resident();
    assert!(loaded > idle + 8 * 1024 * 1024, "the rings are full: {idle} to {loaded}");
    assert!(loaded < ceiling(), "{loaded} bytes, at most {} promised", ceiling());
}
