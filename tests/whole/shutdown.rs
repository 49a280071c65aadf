//! How a server ends.

use std::io::Write;

use nix::sys::signal::Signal;

use crate::client::{Listener, Source, connect};
use crate::daemon::Daemon;
use crate::ogg;

#[test]
fn a_stop_ends_streams_with_eos_and_the_process_with_zero() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Daemon::start();
        let mut source = Source::connect(&server, "/m", 1);
        let mut listener = Listener::join(&server, "/m");
        listener.headers();
        source.send(1, 100);
        assert_eq!(listener.number(), 0);
        let mut half = connect(&server);
        half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        server.signal(signal);
        let end = listener.page().unwrap();
        assert!(ogg::next_page(&mut &end[..]).unwrap().is_last());
        assert_eq!(listener.page(), None);
        assert_eq!(server.wait(), Some(0));
    }
}

#[test]
fn a_listener_that_does_not_read_cannot_keep_the_server_up() {
    let mut server = Daemon::with("", "[limits]\nlistener_send_buffer = \"8KiB\"");
    let mut source = Source::connect(&server, "/m", 1);
    let _stuck = Listener::join_stuck(&server, "/m");
    let mut reading = Listener::join(&server, "/m");
    reading.headers();
    for batch in 0..50 {
        source.send(10, 1000);
        (0..10).for_each(|n| assert_eq!(reading.number(), batch * 10 + n));
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0));
}
