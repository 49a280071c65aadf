//! What the kernel says about a process: its CPU time, its memory and the wake-ups of its threads.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Outcome;

/// `/proc/PID/stat` counts CPU time in steps of this length (`sysconf(_SC_CLK_TCK)`).
const TICK: Duration = Duration::from_millis(10);

/// A process that is measured.
pub(crate) struct Process {
    /// Its number.
    pub(crate) id: u32,
    clock: ClockId,
}

/// CPU time of all threads of a process.
#[derive(Clone, Copy)]
pub(crate) struct CpuTime {
    /// In the kernel and outside, from the process's CPU clock: exact.
    pub(crate) total: Duration,
    /// Outside the kernel, from `/proc/PID/stat`. See the head of `main.rs` for how exact it is.
    pub(crate) user: Duration,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Resident memory.
    pub(crate) resident: u64,
    /// The part of it that is not backed by a file.
    pub(crate) anonymous: u64,
}

/// How often a thread has gone to sleep: as often as it has woken up.
pub(crate) struct Switches {
    /// The kernel's number of the thread.
    pub(crate) thread: u32,
    /// The name of the thread.
    pub(crate) name: String,
    /// Voluntary context switches: how often it went to sleep.
    pub(crate) count: u64,
}

impl Process {
    /// A process with this number.
    pub(crate) fn new(id: u32) -> Outcome<Self> {
        Ok(Self { id, clock: clock_getcpuclockid(Pid::from_raw(id.cast_signed()))? })
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Outcome<CpuTime> {
        // After the name, which is in parentheses and may contain anything, the fields are state,
        // ten others, and utime (proc(5)).
        let text = self.read("stat")?;
        let fields = text.rsplit_once(')').ok_or("/proc/PID/stat: no name")?.1;
        let ticks = fields.split_whitespace().nth(11).ok_or("/proc/PID/stat: no utime")?;
        let user = TICK * ticks.parse()?;
        Ok(CpuTime { total: clock_gettime(self.clock)?.into(), user })
    }

    /// Memory now.
    pub(crate) fn memory(&self) -> Outcome<Memory> {
        // `smaps_rollup` is exact. `status` can be off by some hundred KiB, because the kernel
        // counts per core (proc(5)).
        let text = self.read("smaps_rollup")?;
        let bytes = |key| number_of(&text, key).map(|kib| kib * 1024);
        Ok(Memory { resident: bytes("Rss:")?, anonymous: bytes("Anonymous:")? })
    }

    /// The context switches of each thread so far.
    pub(crate) fn switches(&self) -> Outcome<Vec<Switches>> {
        let mut all = Vec::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.id))? {
            let task = task?;
            let thread = task.file_name().to_string_lossy().parse()?;
            let text = fs::read_to_string(task.path().join("status"))?;
            let count = number_of(&text, "voluntary_ctxt_switches:")?;
            let name = fs::read_to_string(task.path().join("comm"))?.trim().to_owned();
            all.push(Switches { thread, name, count });
        }
        all.sort_by_key(|switches| switches.thread);
        Ok(all)
    }

    fn read(&self, file: &str) -> Outcome<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.id))?)
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
        }
    }
}

/// The number on the line that begins with `key`.
fn number_of(text: &str, key: &str) -> Outcome<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("the kernel does not say {key}"))?.parse()?)
}
