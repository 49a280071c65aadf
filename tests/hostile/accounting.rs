//! How much memory a server takes: its own, and what the kernel holds for its connections.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::daemon::{Daemon, silvacast};
use crate::process::Run;

/// A kernel's structures for one connection that `ss` does not count: socket, inode, file.
const SOCKET: u64 = 4096;

/// In MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 20) * 100.0).round() / 100.0
}

/// What `check` prints for a server's configuration.
pub(crate) fn check(server: &Daemon) -> String {
    let output = silvacast().args(["check", "--config"]).arg(server.file()).run();
    String::from_utf8(output.stdout).unwrap()
}

/// The ceiling that `check` prints, all of it and the process's share, in MiB.
pub(crate) fn ceiling(server: &Daemon) -> (f64, f64) {
    let text = check(server);
    let line = text.lines().find(|line| line.contains(" MiB  in all, ")).unwrap();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The anonymous resident memory of a process, in bytes.
pub(crate) fn process(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Kernel memory for all connections of a local port, in bytes: the sums of `sk_meminfo` as `ss` shows them, and the
/// sockets themselves. Connections that the server has closed already are included.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub sockets: u64,
    pub received: u64,
    pub sent: u64,
    pub other: u64,
    /// Of those, connections that the server has closed already.
    pub orphans: u64,
    /// The most data sent and not acknowledged of one connection.
    pub largest_sent: u64,
    pub largest_received: u64,
}

impl Kernel {
    pub(crate) fn of(port: u16) -> Self {
        let output = Command::new("ss")
            .args([
                "--tcp",
                "--memory",
                "--numeric",
                "--all",
                "--extended",
                "--no-header",
                "--oneline",
            ])
            .arg(format!("sport = :{port}"))
            .run();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut kernel = Self::default();
        for line in text.lines() {
            // A connection in TIME-WAIT has no socket any more.
            if line.starts_with("TIME-WAIT") || line.starts_with("LISTEN") {
                continue;
            }
            let Some(memory) = line.split("skmem:(").nth(1).and_then(|rest| rest.split(')').next())
            else {
                continue;
            };
            let parts: BTreeMap<String, u64> = memory
                .split(',')
                .map(|part| part.split_at(part.find(|c: char| c.is_ascii_digit()).unwrap()))
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect();
            let part = |name: &str| parts.get(name).copied().unwrap_or(0);
            let sent = part("w").max(part("t"));
            kernel.sockets += 1;
            kernel.received += part("r") + part("bl");
            kernel.sent += sent;
            kernel.other += part("f") + part("o") + SOCKET;
            kernel.largest_sent = kernel.largest_sent.max(sent);
            kernel.largest_received = kernel.largest_received.max(part("r"));
            // A connection that waits to be accepted belongs to no process either, but it is not an orphan.
            let waits =
                ["SYN-RECV", "ESTAB", "CLOSE-WAIT"].iter().any(|state| line.starts_with(state));
            if line.contains("ino:0 ") && !waits {
                kernel.orphans += 1;
            }
        }
        kernel
    }

    pub(crate) fn total(&self) -> u64 {
        self.received + self.sent + self.other
    }
}

/// A memory control group for one server.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes a group with this limit, or returns the reason why this machine cannot.
    pub(crate) fn new(name: &str, limit: u64) -> Result<Self, String> {
        let first = PathBuf::from("/sys/fs/cgroup/memory");
        if !first.join("memory.kmem.tcp.usage_in_bytes").exists() {
            return Err(
                "there is no memory control group that counts a server's connections".into()
            );
        }
        let group = Self(first.join(format!("silvacast-{name}-{}", std::process::id())));
        fs::create_dir(&group.0).map_err(|error| format!("{}: {error}", group.0.display()))?;
        // The kernel counts connections only if they have a limit.
        group.set("memory.kmem.tcp.limit_in_bytes", limit)?;
        group.set("memory.limit_in_bytes", limit)?;
        Ok(group)
    }

    fn set(&self, name: &str, value: u64) -> Result<(), String> {
        fs::write(self.0.join(name), value.to_string()).map_err(|error| format!("{name}: {error}"))
    }

    fn number(&self, name: &str) -> u64 {
        fs::read_to_string(self.0.join(name)).unwrap().trim().parse().unwrap()
    }

    /// A command that runs the server in the group.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("sh");
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display());
        command.arg("-c").arg(script).arg(silvacast().get_program());
        command
    }

    /// The most memory that its processes and that their connections have taken, in bytes.
    pub(crate) fn most(&self) -> (u64, u64) {
        // The page cache counts too, and is reclaimed on demand.
        let stat = fs::read_to_string(self.0.join("memory.stat")).unwrap();
        let cache = stat.lines().find_map(|line| line.strip_prefix("cache ")).unwrap();
        let most = self.number("memory.max_usage_in_bytes");
        (
            most - cache.parse::<u64>().unwrap().min(most),
            self.number("memory.kmem.tcp.max_usage_in_bytes"),
        )
    }

    /// How often a connection was refused memory.
    pub(crate) fn failures(&self) -> u64 {
        self.number("memory.kmem.tcp.failcnt")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
