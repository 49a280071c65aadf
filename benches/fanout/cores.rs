//! Who runs where. The load has one core and servers have the others: a server that has to share
//! a core with its own listeners would be measured by the scheduler's moods.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::Outcome;

const THIS_THREAD: Pid = Pid::from_raw(0);

/// The cores that this process was given, before anything was moved.
static GIVEN: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let set = sched_getaffinity(THIS_THREAD).unwrap_or_default();
    (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect()
});

/// How many cores there are to share.
pub(crate) fn count() -> usize {
    GIVEN.len()
}

/// Moves this thread to the load's core.
pub(crate) fn as_load() -> Outcome<()> {
    GIVEN.split_first().map_or(Ok(()), |(first, _)| run_on(&[*first]))
}

/// Moves this thread to the servers' cores; children that it starts inherit them.
pub(crate) fn as_server() -> Outcome<()> {
    match &GIVEN[..] {
        [_, others @ ..] if !others.is_empty() => run_on(others),
        _ => Ok(()),
    }
}

/// How long the threads of a process have been kept waiting for a core that somebody else had.
pub(crate) fn waited(process: u32) -> Outcome<Duration> {
    let mut waited = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // Time on a core, time waiting for one, turns; a thread may have ended meanwhile.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        waited += text.split(' ').nth(1).map_or(Ok(0), str::parse)?;
    }
    Ok(Duration::from_nanos(waited))
}

/// How long the hypervisor under this machine, if there is one, has kept its cores for others.
pub(crate) fn stolen() -> Outcome<Duration> {
    // "cpu", user, nice, system, idle, iowait, irq, softirq, steal: in hundredths of a second.
    let text = fs::read_to_string("/proc/stat")?;
    let steal: u64 = text.split_whitespace().nth(8).map_or(Ok(0), str::parse)?;
    Ok(Duration::from_millis(10 * steal))
}

fn run_on(cores: &[usize]) -> Outcome<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    Ok(sched_setaffinity(THIS_THREAD, &set)?)
}
