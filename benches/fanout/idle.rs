//! How often silvacast wakes up without sources and listeners, with a watchdog and without.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::contender::Contender::Silvacast;
use crate::notify::NotifySocket;
use crate::report::{Limit::AtMost, Report};
use crate::server::Server;
use crate::table::print;
use crate::{Outcome, cores};

const SETTLE: Duration = Duration::from_secs(2);
/// Some periods of all timers.
const WINDOW: Duration = Duration::from_secs(20);
const WATCHDOG_USEC: &str = "20000000";
/// The thread `manager` checks the loops once in a quarter of the watchdog's timeout, and wakes
/// the thread `notify`, which sends the ping.
const CHECKS_PER_MINUTE: u32 = 60 / 5;
/// tokio's timer wheel wakes up to three times for one timer of five seconds.
const TIMER_WAKEUPS: u32 = 3;
/// The wake-ups of a watchdog, by thread. Each watched loop answers at each check: one on `audio-0`,
/// one on `control`, and one for the listening socket on the main thread.
const WATCHDOG: [(&str, u32); 5] = [
    ("silvacast", CHECKS_PER_MINUTE),
    ("audio-0", CHECKS_PER_MINUTE),
    ("control", CHECKS_PER_MINUTE),
    ("manager", TIMER_WAKEUPS * CHECKS_PER_MINUTE),
    ("notify", CHECKS_PER_MINUTE),
];

/// Wake-ups a minute, by thread.
type Wakeups = BTreeMap<String, f64>;

/// Measures and prints the results.
pub(crate) fn run(report: &mut Report) -> Outcome<()> {
    let without = wakeups(&[])?;
    let socket = NotifySocket::new()?;
    let variables =
        [("NOTIFY_SOCKET", socket.path()), ("WATCHDOG_USEC", OsStr::new(WATCHDOG_USEC))];
    let with = wakeups(&variables)?;
    println!("\nidle: silvacast without sources and listeners, wake-ups a minute, {WINDOW:?}");
    let own = |thread: &str| {
        let own = WATCHDOG.iter().find(|(name, _)| *name == thread);
        f64::from(own.map_or(0, |(_, count)| *count))
    };
    let mut lines: Vec<_> = with
        .iter()
        .map(|(thread, &with)| {
            let without = without.get(thread).copied().unwrap_or_default();
            line(thread, without, with, own(thread))
        })
        .collect();
    let (without, with): (f64, f64) = (without.values().sum(), with.values().sum());
    let own = WATCHDOG.iter().map(|(_, count)| f64::from(*count)).sum();
    lines.push(line("together", without, with, own));
    print(["thread", "without watchdog", "with watchdog", "watchdog's own"], &lines);
    report.figure(Silvacast.name(), "wake-ups a minute without watchdog", without);
    report.figure(Silvacast.name(), "wake-ups a minute with watchdog", with);
    report.target("wake-ups a minute without watchdog", Some(without), AtMost(0.0), "");
    report.target("wake-ups a minute with watchdog", Some(with), AtMost(own), "");
    Ok(())
}

fn line(thread: &str, without: f64, with: f64, own: f64) -> [String; 4] {
    [thread.to_owned(), format!("{without:.0}"), format!("{with:.0}"), format!("{own:.0}")]
}

fn wakeups(variables: &[(&str, &OsStr)]) -> Outcome<Wakeups> {
    let server = Server::start_on(cores::servers(), Silvacast, variables)?;
    sleep(SETTLE);
    let (began, before) = (Instant::now(), server.process.switches()?);
    sleep(WINDOW);
    let (window, after) = (began.elapsed(), server.process.switches()?);
    let mut wakeups = Wakeups::new();
    for thread in after {
        let earlier = before.iter().find(|earlier| earlier.thread == thread.thread);
        let count = thread.count - earlier.map_or(0, |earlier| earlier.count);
        let per_minute = count as f64 * 60.0 / window.as_secs_f64();
        *wakeups.entry(thread.name).or_default() += per_minute;
    }
    Ok(wakeups)
}
