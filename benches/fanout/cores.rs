//! CPU affinity. The load runs on one core and the servers on the others: if a server shared a core
//! with its listeners, the scheduler would distort the figures.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::Outcome;

const THIS_THREAD: Pid = Pid::from_raw(0);

/// The cores on which this process could run at its start.
static AVAILABLE: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let set = sched_getaffinity(THIS_THREAD).unwrap_or_default();
    (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect()
});

/// Pins this thread to the load's core.
pub(crate) fn pin_to_load_core() -> Outcome<()> {
    AVAILABLE.split_first().map_or(Ok(()), |(first, _)| pin_to(&[*first]))
}

/// The servers' cores: all but the load's, if there are others.
pub(crate) fn servers() -> &'static [usize] {
    match &AVAILABLE[..] {
        [_, others @ ..] if !others.is_empty() => others,
        all => all,
    }
}

/// All available cores.
pub(crate) fn all() -> &'static [usize] {
    &AVAILABLE
}

/// How long the threads of a process have waited on a run queue for a core.
pub(crate) fn waited(process: u32) -> Outcome<Duration> {
    let mut waited = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // The fields are time on a core, time waiting for one, and time slices. The thread may have
        // ended.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        waited += text.split(' ').nth(1).map_or(Ok(0), str::parse)?;
    }
    Ok(Duration::from_nanos(waited))
}

/// Steal time: how long the hypervisor, if there is one, ran other machines on this machine's
/// cores.
pub(crate) fn stolen() -> Outcome<Duration> {
    // The fields are "cpu", user, nice, system, idle, iowait, irq, softirq and steal, in 10 ms
    // (proc(5)).
    let text = fs::read_to_string("/proc/stat")?;
    let steal: u64 = text.split_whitespace().nth(8).map_or(Ok(0), str::parse)?;
    Ok(Duration::from_millis(10 * steal))
}

/// Pins this thread to these cores. Child processes inherit the affinity.
pub(crate) fn pin_to(cores: &[usize]) -> Outcome<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    Ok(sched_setaffinity(THIS_THREAD, &set)?)
}
