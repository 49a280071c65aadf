//! The unit that is shipped, under a real systemd and with a real journal.

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;
use silvacast::log::journal::{self, JournalEvent};

use crate::client::{Listener, Source, get, get_with, login, request, try_connect};
use crate::daemon::PASSWORD;
use crate::needs::{Need, needs};
use crate::pen::Pen;
use crate::process::Running;
use crate::wait::{PATIENCE, Stop, until, when};
use crate::whep;

const UNIT: &str = "silvacast.service";
const CONFIGURATION: &str = "/etc/silvacast/silvacast.toml";
const HEALTH: &str = "http://127.0.0.1:8080/healthz";
const PORT: u16 = 8080;
/// A command that the server logs.
const RETITLE: &str = "/admin/metadata?mount=/mic.opus&mode=updinfo&song=Dusk";

/// A pen with the unit and these drop-ins; `None` if this machine cannot have one.
fn pen(drop_ins: &[&str]) -> Option<Pen> {
    if !needs(&[Need::Root, Need::Systemd]) {
        return None;
    }
    let pen = Pen::start();
    pen.install();
    for (number, text) in drop_ins.iter().enumerate() {
        let path = format!("/etc/systemd/system/{UNIT}.d/{number}.conf");
        pen.put(&path, text.as_bytes(), 0o644);
    }
    pen.ok(&["systemctl", "daemon-reload"]);
    Some(pen)
}

fn started(drop_ins: &[&str]) -> Option<Pen> {
    let pen = pen(drop_ins)?;
    pen.ok(&["systemctl", "start", UNIT]);
    Some(pen)
}

/// The journal's entries of an event, found by its message ID as a program would find them.
fn told(pen: &Pen, event: JournalEvent) -> Vec<Value> {
    pen.journal(&[&format!("MESSAGE_ID={}", event.id)])
}

fn wait_until_told(pen: &Pen, event: JournalEvent) -> Value {
    pen.wait_for(event.name, |pen| told(pen, event).pop().ok_or("no entry"))
}

#[test]
fn the_shipped_unit_starts_serves_and_stops() {
    let Some(pen) = pen(&[]) else { return };
    pen.ok(&["systemctl", "enable", "--now", UNIT]);
    // Once it is started it has reported READY, so it must accept.
    assert_eq!(pen.ok(&["curl", "--silent", "--show-error", "--fail", HEALTH]).trim(), "ok");
    let process = format!("/proc/{}", pen.property(UNIT, "MainPID"));
    let user = pen.ok(&["stat", "--format=%U", &process]);
    assert_eq!(user.trim(), "silvacast", "the unit's dynamic user");

    pen.ok(&["systemctl", "stop", UNIT]);
    assert_eq!(pen.property(UNIT, "ActiveState"), "inactive");
    assert_eq!(pen.property(UNIT, "Result"), "success");
    assert_eq!(pen.property(UNIT, "ExecMainStatus"), "0");
    assert!(!pen.run(&["curl", "--silent", HEALTH]).status.success());
    let said = pen.journal(&["--unit", UNIT]);
    assert!(said.iter().any(|entry| entry["JOB_TYPE"] == "stop" && entry["JOB_RESULT"] == "done"));
}

#[test]
fn systemd_restarts_it_unless_its_configuration_is_invalid() {
    let Some(pen) = started(&[]) else { return };
    let first = pen.property(UNIT, "MainPID");
    pen.ok(&["systemctl", "kill", "--signal=KILL", UNIT]);
    pen.wait_for_restarts(UNIT, 1);
    assert_ne!(first, pen.property(UNIT, "MainPID"));
    assert_eq!(pen.ok(&["curl", "--silent", "--show-error", "--fail", HEALTH]).trim(), "ok");

    pen.put(CONFIGURATION, b"workers = 0\n", 0o644);
    assert!(!pen.run(&["systemctl", "restart", UNIT]).status.success());
    assert_eq!(pen.property(UNIT, "ActiveState"), "failed", "systemd must not retry");
    let said = pen.ok(&["journalctl", "--no-pager", "--unit", UNIT, "--output=cat"]);
    assert!(said.contains("line 1: invalid value 0 for `workers`"), "{said}");
}

#[test]
fn the_unit_s_status_shows_sources_and_listeners() {
    let Some(pen) = started(&[]) else { return };
    let status = |pen: &Pen| pen.property(UNIT, "StatusText");
    let idle = status(&pen);
    assert!(idle.starts_with("0 microphones, 0 listeners, "), "{idle}");
    let (used, ceiling) = idle.split(' ').nth(4).unwrap().split_once('/').unwrap();
    assert!(used.parse::<u32>().unwrap() < ceiling.parse::<u32>().unwrap(), "{idle}");
    assert_eq!(format!("{ceiling}M"), memory_max(), "{idle}");
    let (_source, _listener) = pen.inside(|| {
        let source = Source::introduce(&PORT, "/mic.opus", 1);
        (source, joined("/mic.opus"))
    });
    pen.wait_for("a microphone and a listener", |pen| {
        when(status(pen).starts_with("1 microphone, 1 listener, "), status(pen))
    });
}

/// Joins a mount whose source may have connected only just now.
fn joined(mount: &str) -> Listener {
    let head = format!("HEAD {mount} HTTP/1.1\r\nHost: x\r\n\r\n");
    until(&format!("{mount} on the air"), PATIENCE, || {
        let status = request(&PORT, &head).status;
        when(status == 200, status)
    });
    Listener::join(&PORT, mount)
}

/// The memory that the unit allows.
fn memory_max() -> String {
    let unit = include_str!("../../systemd/silvacast.service");
    unit.lines().find_map(|line| line.strip_prefix("MemoryMax=")).unwrap().to_owned()
}

#[test]
fn a_stuck_loop_is_logged_and_the_watchdog_restarts_the_service() {
    let short = "[Service]\nWatchdogSec=2\nRestartSec=0\n";
    let Some(pen) = started(&[short]) else { return };
    let _source = pen.inside(|| {
        let source = Source::introduce(&PORT, "/mic.opus", 1);
        joined("/mic.opus");
        source
    });
    // A healthy service whose source sends nothing keeps running for three times the watchdog's interval.
    let pings = || pen.property(UNIT, "WatchdogTimestampMonotonic").parse::<u64>().unwrap();
    let began = pings();
    pen.wait_for("pings for three times the watchdog's interval", |_| {
        let newest = pings();
        when(newest > began + 6_000_000, newest - began)
    });
    assert_eq!(pen.property(UNIT, "NRestarts"), "0");

    for (restarts, (thread, names)) in [
        ("audio-0", &["audio-0", "source of /mic.opus"][..]),
        ("control", &["control"]),
        ("silvacast", &["accept on 127.0.0.1:8080"]),
    ]
    .into_iter()
    .enumerate()
    {
        let process = pen.outside(&pen.property(UNIT, "MainPID"));
        let stopped = stop_thread(process, thread);
        pen.wait_for(&format!("a restart because of {thread}"), |pen| {
            // A traced thread stays until its tracer has waited for it.
            let _ = waitpid(stopped, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
            let seen = ["NRestarts", "ActiveState"].map(|name| pen.property(UNIT, name));
            when(seen == [(restarts + 1).to_string(), "active".to_owned()], seen)
        });
        let named: Vec<_> = told(&pen, journal::LOOP_STUCK)
            .iter()
            .map(|entry| entry["LOOP"].as_str().unwrap().to_owned())
            .collect();
        for name in names {
            assert!(named.iter().any(|n| n == name), "{name} in {named:?}");
        }
        assert!(
            named.len() == names.len() + [0, 2, 3][restarts],
            "no other loop is named: {named:?}"
        );
    }
}

/// Stops one thread of a process, as a debugger does; the others run on.
fn stop_thread(process: u32, name: &str) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let task = tasks.find(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    let number = task.expect(name).file_name().unwrap().to_str().unwrap().parse().unwrap();
    let task = Pid::from_raw(number);
    ptrace::seize(task, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(task).unwrap();
    until(&format!("thread {name} to stop"), PATIENCE, || {
        let status = waitpid(task, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)).unwrap();
        when(status != WaitStatus::StillAlive, status)
    });
    task
}

#[test]
fn a_process_that_is_stopped_is_restarted() {
    let Some(pen) = started(&["[Service]\nWatchdogSec=1\nRestartSec=0\n"]) else { return };
    pen.ok(&["kill", "-STOP", &pen.property(UNIT, "MainPID")]);
    pen.wait_for_restarts(UNIT, 1);
    let said = pen.journal(&["--unit", UNIT]);
    let timeout =
        |entry: &Value| entry["MESSAGE"].as_str().is_some_and(|m| m.contains("Watchdog timeout"));
    assert!(said.iter().any(timeout));
}

#[test]
fn a_reload_applies_a_valid_file_and_reports_an_invalid_one() {
    let Some(pen) = started(&[]) else { return };
    let mut source = pen.inside(|| Source::introduce(&PORT, "/mic.opus", 1));
    let mut listener = pen.inside(|| joined("/mic.opus"));
    listener.headers();
    let process = pen.property(UNIT, "MainPID");

    let good = "listen = [\"127.0.0.1:8080\"]\npath_prefix = \"/stream\"\n";
    pen.put(CONFIGURATION, good.as_bytes(), 0o644);
    pen.ok(&["systemctl", "reload", UNIT]);
    wait_until_told(&pen, journal::RELOADED);
    assert_eq!(pen.inside(|| get(&PORT, "/stream/healthz").status), 200);

    pen.put(CONFIGURATION, b"workers = 0\nlisten = [\"127.0.0.1:8080\"]\n", 0o644);
    pen.ok(&["systemctl", "reload", UNIT]);
    let failed = wait_until_told(&pen, journal::RELOAD_FAILED);
    assert_eq!(failed["FILE"], CONFIGURATION);
    assert!(
        failed["REASON"].as_str().unwrap().starts_with("line 1: invalid value 0 for `workers`"),
        "{failed}"
    );
    assert_eq!(failed["PRIORITY"], "3");
    pen.wait_for("the status", |pen| {
        let status = pen.property(UNIT, "StatusText");
        let wanted = "configuration not reloaded (line 1: invalid value 0 for `workers`";
        when(status.starts_with(wanted) && status.contains("1 microphone"), status)
    });
    assert_eq!(
        pen.inside(|| get(&PORT, "/stream/healthz").status),
        200,
        "the old configuration stays"
    );

    // The process and its connections are the same as before.
    assert_eq!(pen.property(UNIT, "ActiveState"), "active");
    assert_eq!(pen.property(UNIT, "MainPID"), process);
    source.send(1, 100);
    assert_eq!(listener.number(), 0);
}

#[test]
fn no_connection_is_refused_over_restarts_with_the_socket() {
    let Some(pen) = pen(&[]) else { return };
    pen.ok(&["systemctl", "enable", "--now", "silvacast.socket"]);
    pen.ok(&["systemctl", "start", UNIT]);
    let (over, answers) = (AtomicBool::new(false), std::sync::atomic::AtomicU32::new(0));
    // Each client connects again and again, and panics if a connection is refused.
    let knock = || {
        while !over.load(SeqCst) {
            // The end of the process may cut an answer short, even before connect(2) returns; what counts is that
            // the connection is accepted.
            let mut socket = match try_connect(&PORT) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => continue,
                connected => connected.expect("refused"),
            };
            let mut answer = String::new();
            let asked = std::io::Write::write_all(&mut socket, b"GET /healthz HTTP/1.0\r\n\r\n");
            let read = std::io::Read::read_to_string(&mut socket, &mut answer);
            if asked.is_ok() && read.is_ok() && answer.ends_with("ok\n") {
                answers.fetch_add(1, SeqCst);
            }
        }
    };
    let more_answers = || {
        let before = answers.load(SeqCst);
        until("20 answers", PATIENCE, || {
            let more = answers.load(SeqCst) - before;
            when(more > 20, more)
        });
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| pen.inside(knock));
        }
        let stop = Stop(&over);
        for restart in 0..5 {
            more_answers();
            if restart % 2 == 0 {
                pen.ok(&["systemctl", "restart", UNIT]);
            } else {
                pen.ok(&["systemctl", "kill", "--signal=KILL", UNIT]);
            }
        }
        more_answers();
        drop(stop);
    });
    assert_eq!(
        pen.property("silvacast.socket", "NAccepted"),
        "0",
        "the service accepts, not systemd"
    );
}

#[test]
fn the_port_of_webrtc_may_be_a_socket_of_systemd() {
    let Some(pen) = pen(&["[Service]\nMemoryMax=infinity\n"]) else { return };
    pen.ok(&["systemctl", "enable", "--now", "silvacast.socket", "silvacast-webrtc.socket"]);
    // The port alone does not switch it on.
    assert!(!pen.run(&["systemctl", "start", UNIT]).status.success());
    let said = pen.ok(&["journalctl", "--no-pager", "--unit", UNIT, "--output=cat"]);
    assert!(
        said.contains("a socket for WebRTC, which is switched off; set [webrtc] listen"),
        "{said}"
    );

    let shipped = include_str!("../../systemd/silvacast.toml");
    let text = format!("{shipped}\n[webrtc]\nlisten = \"0.0.0.0:9\"\n");
    pen.put(CONFIGURATION, text.as_bytes(), 0o644);
    pen.ok(&["systemctl", "reset-failed", UNIT]);
    pen.ok(&["systemctl", "start", UNIT]);
    let mut source = pen.inside(|| Source::introduce(&PORT, "/mic.opus", 1));
    source.send(1, 100);
    let answer = pen.inside(|| {
        until("the answer to an offer", PATIENCE, || {
            let answer = whep::post(&PORT, "/mic.opus/whep", "", whep::OFFER);
            if answer.status == 201 { Ok(answer) } else { Err(answer.text()) }
        })
    });
    assert!(answer.text().contains(" 8189 typ host"), "{}", answer.text());
}

#[test]
fn without_a_network_of_its_own_it_serves_what_its_socket_accepts() {
    let drop_in = include_str!("../../systemd/silvacast.service.d/no-network.conf.example");
    let Some(pen) = pen(&[drop_in]) else { return };
    pen.ok(&["systemctl", "start", UNIT]);
    let mut source = pen.inside(|| Source::introduce(&PORT, "/mic.opus", 1));
    let mut listener = pen.inside(|| joined("/mic.opus"));
    listener.headers();
    source.send(1, 100);
    assert_eq!(listener.number(), 0);
    let process = pen.property(UNIT, "MainPID");
    let network = |process: &str| pen.ok(&["readlink", &format!("/proc/{process}/ns/net")]);
    assert_ne!(network(&process), network("1"));
}

#[test]
fn a_socket_that_is_not_for_clients_is_refused_by_name() {
    let Some(pen) = pen(&["[Unit]\nRequires=silvacast.socket\nAfter=silvacast.socket\n"]) else {
        return;
    };
    let other = "[Socket]\nFileDescriptorName=metrics\n";
    pen.put("/etc/systemd/system/silvacast.socket.d/name.conf", other.as_bytes(), 0o644);
    pen.ok(&["systemctl", "daemon-reload"]);
    assert!(!pen.run(&["systemctl", "start", UNIT]).status.success());
    let said = pen.ok(&["journalctl", "--no-pager", "--unit", UNIT, "--output=cat"]);
    assert!(
        said.contains(
            "passed a socket named \"metrics\"; the only known names are \"http\" and \"webrtc\""
        ),
        "{said}"
    );
}

#[test]
fn the_journal_has_fields_identities_priorities_and_explanations() {
    let Some(pen) = started(&[]) else { return };
    let ready = wait_until_told(&pen, journal::READY);
    assert_eq!((&ready["EVENT"], &ready["PRIORITY"]), (&"ready".into(), &"6".into()));
    assert_eq!(ready["SYSLOG_IDENTIFIER"], "silvacast");
    assert_eq!(ready["_SYSTEMD_UNIT"], UNIT);
    assert_eq!(ready["_TRANSPORT"], "journal");
    let peer = pen.inside(|| {
        let mut source =
            Source::introduce(&PORT, "/mic \u{f6}.opus".replace(' ', "%20").as_str(), 1);
        drop(joined("/mic%20\u{f6}.opus"));
        source.send(2, 100);
        let peer = source.socket.local_addr().unwrap();
        source.leave();
        peer
    });
    let ended = wait_until_told(&pen, journal::SOURCE_ENDED);
    for (field, wanted) in [
        ("EVENT", "source-ended"),
        ("MOUNT", "/mic ö.opus"),
        ("PEER", &peer.to_string()),
        ("REASON", "the source disconnected"),
        ("SECONDS", "0"),
        ("PRIORITY", "4"),
    ] {
        assert_eq!(ended[field], wanted, "{field} in {ended}");
    }
    assert!(ended["BYTES"].as_str().unwrap().parse::<u64>().unwrap() > 200, "{ended}");
    // The message alone, without the fields, has all of it too.
    let message = ended["MESSAGE"].as_str().unwrap();
    assert!(
        message.contains("source ended") && message.contains("mount=\"/mic ö.opus\""),
        "{message}"
    );

    let left = wait_until_told(&pen, journal::LISTENER_LEFT);
    assert_eq!((&left["MOUNT"], &left["PEER"]), (&"/mic ö.opus".into(), &"127.0.0.1".into()));
    pen.inside(|| get(&PORT, "/\u{1b}[31m\nMOUNT=/fake"));
    pen.inside(|| request(&PORT, "PUT /m HTTP/1.0\r\nAuthorization: Basic eDp5\r\n\r\n"));
    let refused = pen.wait_for("a refusal", |pen| {
        let entries = told(pen, journal::REFUSED);
        entries.iter().find(|entry| entry["STATUS"] == "401").cloned().ok_or(format!("{entries:?}"))
    });
    assert_eq!((&refused["PATH"], &refused["CLIENT"]), (&"/m".into(), &"127.0.0.1".into()));
    let unit = pen.journal(&["--unit", UNIT]);
    assert!(unit.iter().all(|entry| entry["MOUNT"] != "/fake"), "a request cannot write fields");

    let explained = pen.ok(&["journalctl", "--no-pager", "-x", "--unit", UNIT]);
    assert!(
        explained.contains("The source of /mic ö.opus is gone: the source disconnected."),
        "{explained}"
    );
}

#[test]
fn a_stopped_journal_delays_no_page() {
    let Some(pen) = pen(&[]) else { return };
    // All listeners have the same address.
    let shipped = include_str!("../../systemd/silvacast.toml");
    let open = shipped.replace("listeners = 100", "listeners = 100\nconnections_per_ip = 0");
    pen.put(CONFIGURATION, open.as_bytes(), 0o644);
    pen.ok(&["systemctl", "start", UNIT]);
    let (mut source, mut listeners) = pen.inside(|| {
        let source = Source::introduce(&PORT, "/mic.opus", 1);
        let listeners: Vec<_> = (0..50).map(|_| joined("/mic.opus")).collect();
        (source, listeners)
    });
    for listener in &mut listeners {
        listener.headers();
    }
    let journal = pen.property("systemd-journald.service", "MainPID");
    pen.ok(&["kill", "-STOP", &journal]);
    // Ten seconds of audio in real time, and more log lines than any buffer holds.
    let began = Instant::now();
    pen.inside(|| {
        for number in 0..500u32 {
            for _ in 0..2 {
                // Three kinds of lines, because the number of lines of each kind is limited.
                drop(Listener::join(&PORT, "/mic.opus"));
                assert_eq!(get(&PORT, "/nothing").status, 404);
                assert_eq!(get_with(&PORT, RETITLE, &login(PASSWORD)).status, 200);
            }
            source.send(1, 160);
            for listener in &mut listeners {
                assert_eq!(listener.number(), number);
            }
            let due = began + Duration::from_millis(20) * (number + 1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
    // It has stood still the whole time: nobody has continued or restarted it.
    assert_eq!(pen.property("systemd-journald.service", "MainPID"), journal);
    let state = pen.ok(&["cat", &format!("/proc/{journal}/status")]);
    assert!(state.lines().any(|line| line.starts_with("State:\tT")), "{state}");
    pen.ok(&["kill", "-CONT", &journal]);
    let dropped = wait_until_told(&pen, journal::LOG_DROPPED);
    assert!(dropped["LINES"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{dropped}");
    assert_eq!(dropped["PRIORITY"], "4");
    // The lines that were not dropped have arrived, the others are counted, and new lines arrive.
    assert!(told(&pen, journal::LISTENER_LEFT).len() >= 100);
    wait_until_told(&pen, journal::MORE_LINES);
    source.leave();
    wait_until_told(&pen, journal::SOURCE_ENDED);
    assert_eq!(pen.property(UNIT, "NRestarts"), "0");
}

#[test]
fn a_stop_does_not_wait_for_a_stopped_journal() {
    let Some(pen) = started(&[]) else { return };
    let journal = pen.property("systemd-journald.service", "MainPID");
    pen.ok(&["kill", "-STOP", &journal]);
    pen.ok(&["kill", &pen.property(UNIT, "MainPID")]);
    pen.wait_for("the end of the service", |pen| {
        let state = pen.property(UNIT, "ActiveState");
        when(state != "active", state)
    });
    pen.ok(&["kill", "-CONT", &journal]);
    assert_eq!(pen.property(UNIT, "ExecMainStatus"), "0");
}

#[test]
fn the_hardened_unit_serves_a_real_encoder_and_a_real_player() {
    let Some(pen) = started(&[]) else { return };
    let url = format!("icecast://source:{PASSWORD}@127.0.0.1:8080/mic.opus");
    let mut encoder = pen.command(&[
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "sine=440",
        "-c:a",
        "libopus",
        "-page_duration",
        "20000",
        "-content_type",
        "audio/ogg",
        "-f",
        "ogg",
        &url,
    ]);
    let encoder = Running::start(encoder.stdin(Stdio::null()));
    wait_until_told(&pen, journal::STREAM_BEGAN);
    let heard = pen.ok(&[
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-i",
        "http://127.0.0.1:8080/mic.opus",
        "-t",
        "1",
        "-f",
        "null",
        "-",
        "-c:a",
        "pcm_s16le",
        "-t",
        "1",
        "-f",
        "md5",
        "-",
    ]);
    assert!(heard.starts_with("MD5="), "{heard}");
    drop(encoder);
    assert_eq!(wait_until_told(&pen, journal::SOURCE_ENDED)["REASON"], "the source disconnected");
}
