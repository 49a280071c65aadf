//! Counts the system calls of a process with `perf stat`. It counts in the kernel, at the
//! tracepoints of the system calls, so that the process is hardly slower; `strace` would stop it at
//! each call.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

use crate::Outcome;

const PERF: &str = "perf";
const EVENTS: &str = "/sys/kernel/tracing/events";
const ALL_CALLS: &str = "raw_syscalls:sys_enter";
const ONE_CALL: &str = "syscalls:sys_enter_";
/// How long `perf` may take to do what it is told, in milliseconds.
const ANSWER_TIMEOUT: u16 = 5000;
/// The calls that are counted by name: those of relays. Each needs a descriptor for each thread.
const NAMES: [&str; 44] = [
    "accept",
    "accept4",
    "brk",
    "clock_nanosleep",
    "close",
    "connect",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "fcntl",
    "futex",
    "getpeername",
    "getsockname",
    "getsockopt",
    "gettid",
    "ioctl",
    "io_uring_enter",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "nanosleep",
    "newfstat",
    "openat",
    "poll",
    "ppoll",
    "pselect6",
    "read",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "rt_sigprocmask",
    "sched_yield",
    "select",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "splice",
    "write",
    "writev",
];

/// A `perf` that is attached to a process.
pub(crate) struct Counter {
    perf: Child,
    commands: File,
    answers: File,
    home: TempDir,
}

/// System calls of a window.
pub(crate) struct Calls {
    /// All.
    pub(crate) total: u64,
    /// By name, the most frequent one first. Those without a name here are missing.
    pub(crate) named: Vec<(String, u64)>,
}

/// Why system calls cannot be counted here.
pub(crate) fn obstacle() -> Option<String> {
    if Command::new(PERF).arg("--version").output().is_err() {
        return Some("perf is not installed".into());
    }
    if !Path::new(EVENTS).join("raw_syscalls").is_dir() {
        return Some(
            "tracepoints cannot be read; as root: mount -t tracefs none /sys/kernel/tracing".into(),
        );
    }
    None
}

impl Counter {
    /// Attaches to a process. Counts nothing yet.
    pub(crate) fn attach(process: u32) -> Outcome<Self> {
        let home = TempDir::new()?;
        let fifo = |name| -> Outcome<File> {
            let path = home.path().join(name);
            mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
            // Opened for both directions, because opening for one waits for the other end.
            Ok(OpenOptions::new().read(true).write(true).open(path)?)
        };
        let (commands, answers) = (fifo("commands")?, fifo("answers")?);
        let path = |name| home.path().join(name).display().to_string();
        let events = Path::new(EVENTS).join("syscalls");
        let known = |name: &&str| events.join(format!("sys_enter_{name}")).is_dir();
        let names: Vec<_> =
            NAMES.into_iter().filter(known).map(|name| format!("{ONE_CALL}{name}")).collect();
        let perf = Command::new(PERF)
            .args(["stat", "-x,", "-D", "-1", "-o", &path("counts")])
            .arg("--control")
            .arg(format!("fifo:{},{}", path("commands"), path("answers")))
            .args(["-e", ALL_CALLS, "-e", &names.join(",")])
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(home.path().join("errors"))?)
            .spawn()?;
        Ok(Self { perf, commands, answers, home })
    }

    /// Begins to count.
    pub(crate) fn enable(&mut self) -> Outcome<()> {
        self.command("enable")
    }

    /// Ends counting, and returns the counts.
    pub(crate) fn finish(mut self) -> Outcome<Calls> {
        self.command("disable")?;
        kill(Pid::from_raw(self.perf.id().cast_signed()), Signal::SIGINT)?;
        self.perf.wait()?;
        let text = fs::read_to_string(self.home.path().join("counts"))?;
        let mut calls = Calls { total: 0, named: Vec::new() };
        for line in text.lines() {
            // The fields are count, unit, event and others (perf-stat(1)). A call that never
            // happened may be "<not counted>".
            let mut fields = line.split(',');
            let count = fields.next().and_then(|count| count.parse().ok()).unwrap_or(0);
            let event = fields.nth(1).unwrap_or_default();
            if event == ALL_CALLS {
                calls.total = count;
            } else if let Some(name) = event.strip_prefix(ONE_CALL).filter(|_| count > 0) {
                calls.named.push((name.to_owned(), count));
            }
        }
        calls.named.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(calls)
    }

    /// Gives a command, and waits until it is in effect.
    fn command(&mut self, command: &str) -> Outcome<()> {
        writeln!(self.commands, "{command}")?;
        let mut ready = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(ANSWER_TIMEOUT))? == 0 {
            let errors = fs::read_to_string(self.home.path().join("errors"))?;
            return Err(format!("perf does not {command}: {}", errors.trim()).into());
        }
        // The answer is "ack".
        let mut answer = [0; 64];
        let _ = self.answers.read(&mut answer)?;
        Ok(())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.perf.kill();
        let _ = self.perf.wait();
    }
}
