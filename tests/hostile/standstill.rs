//! The server itself stands still, or a process that it talks to does.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::{Listener, Source};
use crate::daemon::{Daemon, binary};
use crate::ogg;
use crate::report::Report;
use crate::wait::{PATIENCE, join, until, when};
use crate::{Attack, Effort, tenths};

pub(crate) const ATTACKS: &[Attack] = &[
    ("standstill: 60 s", |report, effort| {
        if effort == Effort::Long {
            standstill(report, 60_000);
        } else {
            report.measured("only with --long", "no");
        }
    }),
    ("standstill: 12 s", |report, _| standstill(report, 12_000)),
    ("standstill: 5 s", |report, _| standstill(report, 5_000)),
    ("standstill: 1.5 s", |report, _| standstill(report, 1_500)),
    ("standstill: 0.5 s", |report, _| standstill(report, 500)),
    ("standstill: nobody hears the notifications", nobody_hears),
    ("standstill: a configuration that cannot be read to its end", hanging_configuration),
];

const PAGE: Duration = Duration::from_millis(20);

/// A source that sends in real time, whatever the server does.
struct Live {
    stop: Arc<AtomicBool>,
    sent: JoinHandle<(Source, u32)>,
}

impl Live {
    fn start(mut source: Source, first: u32) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        let sent = thread::spawn(move || {
            let (began, mut number) = (Instant::now(), 0);
            while !told.load(SeqCst) {
                source.send(1, 160);
                number += 1;
                thread::sleep((began + PAGE * number).saturating_duration_since(Instant::now()));
            }
            (source, first + number)
        });
        Self { stop, sent }
    }

    fn stop(self) -> (Source, u32) {
        self.stop.store(true, SeqCst);
        join("the source to stop", self.sent)
    }
}

/// What a listener has heard: the numbers of pages with audio, and how many pages of silence.
#[derive(Default)]
struct Heard {
    numbers: Vec<u32>,
    silence: usize,
    ended: bool,
}

fn hear(server: &Daemon, mount: &str) -> Arc<Mutex<Heard>> {
    let mut listener = Listener::join(server, &format!("{mount}?burst=0ms"));
    listener.headers();
    let heard = Arc::<Mutex<Heard>>::default();
    let sink = Arc::clone(&heard);
    thread::spawn(move || {
        while let Some(bytes) = listener.page() {
            let page = ogg::next_page(&mut &bytes[..]).expect("an invalid page");
            let mut heard = sink.lock().unwrap();
            if ogg::is_silence(&page) {
                heard.silence += 1;
            } else {
                heard.numbers.push(ogg::number(&page));
            }
        }
        sink.lock().unwrap().ended = true;
    });
    heard
}

fn standstill(report: &mut Report, milliseconds: u64) {
    let server =
        Daemon::with("", "[mount-defaults]\ngap_after = \"1s\"\nsource_timeout = \"10s\"\n");
    // One source that was always connected, and one that was away before, which may not catch up.
    let whole = Live::start(Source::connect(&server, "/whole", 1), 0);
    let whole_heard = hear(&server, "/whole");
    let mut early = Source::connect(&server, "/back", 1);
    early.send(1, 160);
    early.leave();
    server.wait_for_line(&["event=\"gap-began\"", "/back"]);
    // With Nagle's algorithm, as most programs have it.
    let back = Live::start(Source::connect(&server, "/back", 2).with_delay(), 0);
    server.wait_for_line(&["event=\"gap-ended\"", "/back"]);
    let back_heard = hear(&server, "/back");
    until("50 pages of both", PATIENCE, || {
        let pages = [&whole_heard, &back_heard].map(|heard| heard.lock().unwrap().numbers.len());
        when(pages.iter().all(|&pages| pages > 50), pages)
    });
    let silence = [&whole_heard, &back_heard].map(|heard| heard.lock().unwrap().silence);

    server.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_millis(milliseconds));
    server.signal(Signal::SIGCONT);
    // The audio after it is heard as well. A sender's kernel probes a closed window again after as long a time.
    thread::sleep(Duration::from_secs(2) + Duration::from_millis(milliseconds));
    for (what, live, heard, silence) in [
        ("always there", whole, &whole_heard, silence[0]),
        ("away before", back, &back_heard, silence[1]),
    ] {
        let (source, sent) = live.stop();
        until("the last page", PATIENCE, || {
            let heard = heard.lock().unwrap();
            let last = heard.numbers.last();
            when(heard.ended || last == Some(&(sent - 1)), last)
        });
        let heard = heard.lock().unwrap();
        let first = heard.numbers[0];
        let missing = (sent - first) as usize - heard.numbers.len();
        report.equal(&format!("pages lost of a source that was {what}"), 0, missing);
        report.measured(
            &format!("pages of silence put in for it (of {milliseconds} ms)"),
            heard.silence - silence,
        );
        drop((heard, source));
    }
    let count = |parts: &[&str]| server.count_lines(parts);
    report.equal("listeners that were dropped", 0, count(&["event=\"listener-left\""]));
    report.equal(
        "sources that were closed for it",
        0,
        count(&["event=\"source-ended\"", "sent nothing"]),
    );
    let lines = server.wait_for_lines(&["event=\"stood-still\""], 1);
    report.at_most("lines that say so", 1, lines.len());
    let said =
        lines[0].split("seconds=").nth(1).and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
    report.measured("seconds that the line says", tenths(said.unwrap_or(f64::NAN)));
}

/// The service manager does not read its socket, because it is busy or in a debugger.
fn nobody_hears(report: &mut Report, _: Effort) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let _socket = UnixDatagram::bind(&path).unwrap();
    for (path, mode) in [(directory.path(), 0o755), (&path, 0o777)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let mut command = Command::new("env");
    // A ping every 50 ms fills the socket's buffer soon.
    command
        .arg(format!("NOTIFY_SOCKET={}", path.display()))
        .arg("WATCHDOG_USEC=200000")
        .arg(binary());
    let mut server = Daemon::of(command, "", "");
    thread::sleep(Duration::from_secs(3));
    server.signal(Signal::SIGHUP);
    let began = Instant::now();
    let reloaded = || server.count_lines(&["event=\"reload"]) > 0;
    while !reloaded() && began.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(10));
    }
    report.equal("SIGHUP is heard", true, reloaded());
    server.signal(Signal::SIGTERM);
    report.at_most("seconds until SIGTERM ends it", 10.0, until_end(&mut server));
}

/// A file that the configuration names can be a pipe, or on a disk that does not answer.
fn hanging_configuration(report: &mut Report, _: Effort) {
    let mut server = Daemon::start();
    let pipe = server.file().with_file_name("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let text =
        format!("[auth]\nsource_password_file = \"{}\"\nadmin_password = \"x\"\n", pipe.display());
    std::fs::write(server.file(), text).unwrap();
    server.signal(Signal::SIGHUP);
    thread::sleep(Duration::from_millis(500));
    server.signal(Signal::SIGTERM);
    report.at_most("seconds until SIGTERM ends it", 10.0, until_end(&mut server));
}

fn until_end(server: &mut Daemon) -> f64 {
    let began = Instant::now();
    while server.is_running() && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(10));
    }
    tenths(began.elapsed().as_secs_f64())
}
