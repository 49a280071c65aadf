//! System calls for each delivered page, and for each listener that joins. In windows of their own,
//! in which no CPU time is measured.

use std::time::Duration;

use crate::Outcome;
use crate::contender::Contender::{self, Floor, Icecast, Silvacast};
use crate::load::Load;
use crate::perf::{Calls, Counter, obstacle};
use crate::report::Report;
use crate::rounds::{Effort, interleaved};
use crate::server::Server;
use crate::table::print;

const SETTLE: Duration = Duration::from_secs(1);
const JOINING: usize = 1000;
/// Listeners and mounts of the windows per page.
const STEADY: [(usize, usize); 2] = [(1000, 1), (100, 10)];
/// How many names are printed.
const NAMES: usize = 6;

struct Window {
    calls: Calls,
    /// Pages that listeners received.
    pages: usize,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    if let Some(obstacle) = obstacle() {
        println!("\nsyscalls: not measured: {obstacle}");
        return Ok(());
    }
    // Counts vary less than times.
    let once = effort.at_most(1);
    let contenders = [Floor, Silvacast, Icecast];
    for (listeners, mounts) in STEADY {
        let rows = interleaved(&contenders, once, |contender| {
            per_page(contender, listeners, mounts, effort.window)
        })?;
        println!("\nsyscalls: {listeners}x{mounts}, a page every 20 ms, for each delivered page");
        let lines: Vec<_> = rows
            .iter()
            .flat_map(|row| row.rounds.iter().map(|window| (row.contender, window)))
            .map(|(contender, Window { calls, pages })| line(contender, calls, *pages))
            .collect();
        print(["server", "all", "by name"], &lines);
        let per_page = |window: &Window| window.calls.total as f64 / window.pages as f64;
        report.record(&rows, &format!("{listeners}x{mounts} calls per page"), per_page);
    }
    let rows = interleaved(&contenders, once, |contender| per_join(contender, effort.window))?;
    println!(
        "\nsyscalls: {JOINING} listeners join one mount at full speed, for each listener; pages: \
         received by each meanwhile"
    );
    let lines: Vec<_> = rows
        .iter()
        .flat_map(|row| row.rounds.iter().map(|window| (row.contender, window)))
        .map(|(contender, Window { calls, pages })| {
            let [name, all, names] = line(contender, calls, JOINING);
            [name, format!("{:.2}", *pages as f64 / JOINING as f64), all, names]
        })
        .collect();
    print(["server", "pages", "all", "by name"], &lines);
    report.record(&rows, "calls per join", |window| window.calls.total as f64 / JOINING as f64);
    Ok(())
}

fn per_page(
    contender: Contender,
    listeners: usize,
    mounts: usize,
    window: Duration,
) -> Outcome<Window> {
    let server = Server::start(contender)?;
    let mut load = Load::with_listeners(&server, mounts, 1, listeners)?;
    count(&server, &mut load, |load| load.run(window))
}

fn per_join(contender: Contender, burst: Duration) -> Outcome<Window> {
    let server = Server::start(contender)?;
    let mut load = Load::start(&server, 1, 1)?;
    // The server needs some audio for the burst.
    load.run(burst * 2)?;
    count(&server, &mut load, |load| load.join_at_once(JOINING).map(|_| ()))
}

/// Counts the server's system calls and the received pages while `what` runs.
fn count(
    server: &Server,
    load: &mut Load,
    what: impl FnOnce(&mut Load) -> Outcome<()>,
) -> Outcome<Window> {
    let mut counter = Counter::attach(server.process.id)?;
    // The sources must go on while perf attaches itself. Otherwise the window would begin with
    // many pages at once.
    load.run(SETTLE)?;
    counter.enable()?;
    let before = load.received();
    what(load)?;
    let pages = load.received() - before;
    Ok(Window { calls: counter.finish()?, pages })
}

fn line(contender: Contender, calls: &Calls, by: usize) -> [String; 3] {
    let each = |count: u64| count as f64 / by as f64;
    let mut names: Vec<_> = calls
        .named
        .iter()
        .take(NAMES)
        .map(|(name, count)| format!("{name} {:.3}", each(*count)))
        .collect();
    let shown: u64 = calls.named.iter().take(NAMES).map(|(_, count)| count).sum();
    let others = calls.total.saturating_sub(shown);
    if others > 0 {
        names.push(format!("others {:.3}", each(others)));
    }
    [contender.name().to_owned(), format!("{:.3}", each(calls.total)), names.join(", ")]
}
