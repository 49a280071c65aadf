//! `silvacast on-demand`: an encoder that runs while somebody listens, and only then.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::on_demand::{ask, wait_for_demand};
use crate::other_servers::{listed, wait_for_state};
use crate::players::{assert_unbroken_tone, decode};
use crate::port::Port;
use crate::process::{Run, Running};
use crate::wait::{PATIENCE, until, when};

const RULE: &str = "[[mount]]\nname = \"/m\"\non_demand = true\nlinger = \"200ms\"\n\
                    gap_after = \"100ms\"\nhold = \"100ms\"\n";

/// The command, and what it says.
struct OnDemand<L> {
    running: Running,
    lines: L,
}

/// Starts the command for the mount `/m`.
fn on_demand(
    url: &str,
    options: &[&str],
    encoder: &[&str],
) -> OnDemand<impl Iterator<Item = String> + use<>> {
    let mut command = silvacast();
    command.args(["on-demand", "--mount", "/m", "--url", url]).args(options).arg("--");
    command.args(encoder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running::start(&mut command);
    let lines = running.error_lines();
    OnDemand { running, lines }
}

impl<L: Iterator<Item = String>> OnDemand<L> {
    /// Waits for the next line that contains all of these parts.
    #[track_caller]
    fn wait_for_line(&mut self, parts: &[&str]) -> String {
        let mut seen = Vec::new();
        for line in &mut self.lines {
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with {parts:?}: {seen:#?}");
    }

    /// Stops it as a service manager does.
    #[track_caller]
    fn stop(mut self) {
        self.running.signal(Signal::SIGTERM);
        assert!(self.running.wait(PATIENCE).success());
    }
}

/// FFmpeg, sending a tone to the mount.
fn ffmpeg(server: &Daemon) -> Vec<String> {
    let url = server.push_url("/m");
    let text = "ffmpeg -nostdin -loglevel error -re -f lavfi -i sine=997:r=48000 -c:a libopus -b:a 64k \
                -page_duration 20000 -content_type audio/ogg -f ogg";
    text.split_whitespace().map(ToOwned::to_owned).chain([url]).collect()
}

/// A file with a password.
fn password_file(password: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    fs::write(&path, format!("{password}\n")).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

/// Whether a process with this number runs.
fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    status.is_ok_and(|status| !status.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[track_caller]
fn wait_until_gone(pid: &str) {
    until("a process to end", PATIENCE, || when(!runs(pid), pid.to_owned()));
}

/// The number of the process in a line.
fn pid(line: &str) -> String {
    let rest = line.split(" pid=").nth(1).unwrap();
    rest.chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn an_encoder_runs_while_somebody_listens_and_only_then() {
    let server = Daemon::with("", &RULE.replace("/m", "/m*"));
    let encoder = ffmpeg(&server);
    let encoder: Vec<_> = encoder.iter().map(String::as_str).collect();
    // Nobody has named the mount: the server lists it because the command logs in.
    assert!(listed(&server).1.is_empty());
    let (_directory, file) = password_file(PASSWORD);
    let mut command = on_demand(&server.url(""), &["--password-file", &file], &encoder);
    wait_for_state(&server, "/m", "idle");
    for _ in 0..2 {
        let heard = decode(&server, "/m");
        assert_unbroken_tone("an encoder on demand", &heard);
        let started = command.wait_for_line(&["event=\"encoder-started\"", "mount=\"/m\""]);
        command.wait_for_line(&["event=\"encoder-stopped\"", "nobody wants the mount"]);
        wait_until_gone(&pid(&started));
        wait_for_state(&server, "/m", "idle");
    }
    assert_eq!(server.count_lines(&["event=\"source-connected\""]), 2);
    command.stop();
}

#[test]
fn an_encoder_that_ends_while_it_is_wanted_is_started_again() {
    let server = Daemon::with("", RULE);
    let mut command = on_demand(&server.url(""), &[], &["sh", "-c", "exit 3"]);
    let _listener = ask(&server, "/m");
    for _ in 0..2 {
        command.wait_for_line(&["event=\"encoder-failed\"", "it ended with exit status: 3"]);
    }
    command.stop();
}

#[test]
fn all_that_an_encoder_has_started_is_stopped() {
    let server = Daemon::with("", RULE);
    // The shell does not pass signals on, and what it has started ignores them.
    let script = "trap '' TERM; sleep 1000 & echo event=\"script\" pid=$! >&2; wait";
    for by_signal in [false, true] {
        let mut command = on_demand(&server.url(""), &["--linger", "1ms"], &["sh", "-c", script]);
        let listener = ask(&server, "/m");
        // Two processes write them, so either may come first.
        let lines = [(); 2].map(|()| command.wait_for_line(&["event=", " pid="]));
        let of = |part: &str| pid(lines.iter().find(|line| line.contains(part)).unwrap());
        let (shell, inner) = (of("event=\"encoder-started\""), of("event=script"));
        assert!(runs(&shell) && runs(&inner));
        if by_signal {
            command.stop();
        } else {
            drop(listener);
            command.wait_for_line(&["event=\"encoder-stopped\""]);
            command.stop();
        }
        wait_until_gone(&shell);
        wait_until_gone(&inner);
    }
}

#[test]
fn a_server_that_is_away_is_waited_for_and_stops_no_encoder() {
    let port = Port::reserve();
    let url = format!("http://127.0.0.1:{}", port.number());
    let mut command = on_demand(&url, &[], &["sleep", "1000"]);
    command.wait_for_line(&["event=\"demand-unknown\"", "onnection refused"]);
    let server = Daemon::on(&port, PASSWORD, "", RULE);
    let listener = ask(&server, "/m");
    let line = command.wait_for_line(&["event="]);
    assert!(line.contains("encoder-started"), "a reason that stays is logged once: {line}");
    let encoder = pid(&line);
    drop(server);
    drop(listener);
    let server = Daemon::on(&port, PASSWORD, "", RULE);
    let listener = ask(&server, "/m");
    wait_for_demand(&server, 1);
    assert!(runs(&encoder));
    drop(listener);
    command.wait_for_line(&["event=\"encoder-stopped\""]);
    wait_until_gone(&encoder);
    command.stop();
}

#[test]
fn a_wrong_password_and_another_server_are_said_once() {
    let server = Daemon::with("", RULE);
    let (_directory, file) = password_file("a guess");
    let mut command = on_demand(&server.url(""), &["--password-file", &file], &["true"]);
    command.wait_for_line(&["event=\"demand-unknown\"", "the server answered 401"]);
    command.stop();
    let mut command = on_demand(&server.url("/no-silvacast"), &[], &["true"]);
    command.wait_for_line(&["the server does not tell whether a mount is wanted"]);
    command.stop();
}

#[test]
fn wrong_arguments_are_explained() {
    let url = "http://127.0.0.1:1";
    for (arguments, sentence) in [
        (["--url", "https://x", "--mount", "/m", "--linger", "1s", "true"], "--url: "),
        (["--url", url, "--mount", "m", "--linger", "1s", "true"], "must begin with a slash"),
        (["--url", url, "--mount", "/m", "--linger", "soon", "true"], "--linger: "),
        (["--url", url, "--mount", "/m", "--user", "a", "no-such-encoder"], "there is no program"),
        (
            ["--url", url, "--mount", "/m", "--password-file", "/nowhere", "true"],
            "cannot read the password from /nowhere",
        ),
    ] {
        let (options, encoder) = arguments.split_at(6);
        let output = silvacast().arg("on-demand").args(options).arg("--").args(encoder).run();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
}
