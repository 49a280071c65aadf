//! SIGHUP: a changed configuration takes effect, and no connection is disturbed.

use nix::sys::signal::Signal;

use crate::client::{Listener, Source, get, login, request};
use crate::daemon::{Daemon, PASSWORD};

/// Replaces the file, reloads it and waits for this outcome.
fn reload(server: &Daemon, password: &str, top: &str, sections: &str, outcome: &str) {
    let before = server.count_lines(&[outcome]);
    server.configure(password, top, sections);
    server.signal(Signal::SIGHUP);
    server.wait_for_lines(&[outcome], before + 1);
}

fn put(server: &Daemon, password: &str) -> u16 {
    let login = login(password);
    request(server, &format!("PUT /n HTTP/1.0\r\n{login}Content-Length: 4\r\n\r\nRIFF")).status
}

#[test]
fn limits_passwords_rules_and_the_prefix_change_under_running_streams() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    source.send(1, 100);
    assert_eq!(listener.number(), 0);
    assert_eq!((put(&server, PASSWORD), put(&server, "another")), (415, 401));
    assert_eq!(get(&server, "/stream/healthz").status, 404);

    reload(
        &server,
        "another",
        "path_prefix = \"/stream\"",
        "[limits]\nlisteners = 2\nsources = 2\n[server]\nlocation = \"Wood\"\n\
         [mount-defaults]\nmax_listeners = 1\nhold = \"1s\"",
        "event=\"reloaded\"",
    );
    assert_eq!((put(&server, PASSWORD), put(&server, "another")), (401, 415));
    assert_eq!(get(&server, "/stream/healthz").status, 200);
    assert!(get(&server, "/status-json.xsl").text().contains("\"location\":\"Wood\""));
    let full = get(&server, "/m");
    assert_eq!(full.status, 503);
    assert!(
        full.text().contains("This microphone has reached its listener limit of 1"),
        "{}",
        full.text()
    );
    // Source and listener stay connected.
    source.send(1, 100);
    assert_eq!(listener.number(), 1);
    assert_eq!(server.count_lines(&["event=\"source-ended\"", "mount=\"/m\""]), 0);
    assert_eq!(server.count_lines(&["event=\"listener-left\""]), 0);
}

#[test]
fn an_invalid_file_changes_nothing_and_every_error_is_logged() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    reload(&server, "another", "workers = 0\nlistne = []", "", "event=\"reload-failed\"");
    server.wait_for_line(&[
        "reload-failed",
        "invalid value 0 for `workers`",
        "a whole number from 1 to 64",
    ]);
    server.wait_for_line(&["reload-failed", "did you mean `listen`?"]);
    assert_eq!((put(&server, PASSWORD), put(&server, "another")), (415, 401));
    // A valid file is accepted afterwards.
    reload(&server, "another", "", "", "event=\"reloaded\"");
    assert_eq!((put(&server, PASSWORD), put(&server, "another")), (401, 415));
    source.send(1, 100);
}

#[test]
fn settings_that_need_a_restart_are_logged() {
    let server = Daemon::start();
    let sections = "[process]\nuser = \"1234\"";
    reload(&server, PASSWORD, "workers = 2", sections, "event=\"reloaded\"");
    server.wait_for_line(&["reload-later", "key=\"workers\""]);
    server.wait_for_line(&["reload-later", "key=\"[process] user\""]);
    assert_eq!(server.count_lines(&["event=\"reload-later\""]), 2, "no line for the address");
    reload(&server, PASSWORD, "workers = 2", sections, "event=\"reloaded\"");
    server.wait_for_lines(&["reload-later", "key=\"workers\""], 2);
}

#[test]
fn a_limit_that_the_system_does_not_allow_is_refused() {
    let server = Daemon::start();
    let sections = "[limits]\nlisteners = 100000\nlistener_send_buffer = \"8KiB\"";
    let hard =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().1;
    if hard > 101_000 {
        // This machine allows more than the greatest configuration.
        reload(&server, PASSWORD, "", sections, "event=\"reloaded\"");
    } else {
        reload(&server, PASSWORD, "", sections, "event=\"reload-failed\"");
        server.wait_for_line(&["reload-failed", "LimitNOFILE="]);
    }
}
