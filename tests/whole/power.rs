//! The privileges that the process keeps while it serves.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::daemon::{Daemon, configuration, silvacast};
use crate::needs::{Need, needs};
use crate::process::Run;
use crate::wait::{PATIENCE, until, when};

/// These fields of `/proc/PID/task/*/status`, one thread after the other.
pub(crate) fn of_threads(pid: u32, fields: &[&str]) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let lines: Vec<_> = statuses.collect();
    let pairs = lines.iter().flat_map(|status| status.lines()).filter_map(|l| l.split_once(':'));
    pairs
        .filter(|(name, _)| fields.contains(name))
        .map(|(name, value)| {
            (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

const CAPABILITIES: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

#[test]
fn started_as_root_it_has_no_capability_no_group_and_no_way_back() {
    if !needs(&[Need::Root]) {
        return;
    }
    let mut command = silvacast();
    // SAFETY: between fork and exec, two system calls that touch nothing of this process.
    #[allow(unsafe_code, reason = "groups are given before the program begins")]
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setgroups(&[4, 27].map(nix::unistd::Gid::from_raw))?;
            nix::sys::resource::setrlimit(
                nix::sys::resource::Resource::RLIMIT_CORE,
                1 << 20,
                1 << 20,
            )?;
            Ok(())
        });
    }
    let server = Daemon::of(command, "", "");
    server.wait_for_line(&["privileges", "uid=65534", "gid=65534"]);
    // The other six run by now: main, log, notify, audio-0, control and passwords.
    until("the thread `manager`", PATIENCE, || {
        let names = of_threads(server.pid(), &["Name"]);
        when(names.iter().any(|(_, name)| name == "manager"), names)
    });
    let threads = of_threads(server.pid(), &["Name"]).len();
    assert_eq!(threads, 7);
    for name in CAPABILITIES {
        let all = of_threads(server.pid(), &[name]);
        assert!(all.iter().all(|(_, mask)| mask == "0000000000000000"), "{all:?}");
        assert_eq!(all.len(), threads);
    }
    for (field, wanted) in [
        ("Uid", "65534 65534 65534 65534"),
        ("Gid", "65534 65534 65534 65534"),
        ("Groups", ""),
        ("NoNewPrivs", "1"),
    ] {
        let all = of_threads(server.pid(), &[field]);
        assert!(all.iter().all(|(_, value)| value == wanted), "{all:?}");
        assert_eq!(all.len(), threads);
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "no core dumps");
    // Not dumpable: its files in /proc belong to root, so no other process of the user `nobody` can read its memory.
    let memory = std::fs::metadata(format!("/proc/{}/mem", server.pid())).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&memory), 0);
    let adjust = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", server.pid())).unwrap();
    assert_eq!(
        adjust,
        std::fs::read_to_string("/proc/self/oom_score_adj").unwrap(),
        "left as it was"
    );
}

#[test]
fn another_user_is_taken_by_name_or_number_and_root_is_refused() {
    if !needs(&[Need::Root]) {
        return;
    }
    let server = Daemon::with("", "[process]\nuser = \"1234:2345\"");
    server.wait_for_line(&["privileges", "uid=1234", "gid=2345"]);
    for user in ["root", "0", "no-such-user"] {
        let said = refused(&mut silvacast(), &format!("[process]\nuser = {user:?}"), 2);
        let wanted = format!("invalid value {user:?} for `user` in [process]: user {user:?} is");
        assert!(said.contains(&wanted), "{said}");
    }
}

/// Starts a server that must refuse to start with this exit code, and returns what it printed.
fn refused(command: &mut Command, sections: &str, code: i32) -> String {
    let (_directory, file) = configuration(0, "x", "", sections);
    let output = command.arg("--config").arg(file).run();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("\"ready\""), "{said}");
    said
}

/// The program under test, started by another program.
pub(crate) fn begun_by(line: &[&str]) -> Command {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).arg(silvacast().get_program());
    command
}

#[test]
fn root_that_cannot_change_its_user_does_not_serve() {
    if !needs(&[Need::Root]) {
        return;
    }
    let mut bound = begun_by(&["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid", "--"]);
    let said = refused(&mut bound, "", 1);
    assert!(
        said.contains("runs as root and cannot become nobody: CAP_SETUID is missing"),
        "{said}"
    );
}

#[test]
fn root_of_a_namespace_with_one_user_drops_what_it_can_and_logs_the_rest() {
    if !needs(&[Need::Root]) {
        return;
    }
    let server = Daemon::of(begun_by(&["unshare", "--user", "--map-root-user", "--"]), "", "");
    server.wait_for_line(&["privileges", "user 65534 is not mapped", "an ordinary user outside"]);
    server.wait_for_line(&["privileges", "supplementary groups", "setgroups is denied"]);
    for name in CAPABILITIES {
        let all = of_threads(server.pid(), &[name]);
        assert!(all.iter().all(|(_, mask)| mask == "0000000000000000"), "{all:?}");
    }
    assert!(of_threads(server.pid(), &["NoNewPrivs"]).iter().all(|(_, value)| value == "1"));
}

#[test]
fn another_user_than_root_loses_its_capabilities_too() {
    if !needs(&[Need::Root]) {
        return;
    }
    let ambient = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"];
    let capable = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", "--"];
    let server = Daemon::of(begun_by(&[&ambient[..], &capable].concat()), "", "");
    server.wait_for_line(&["privileges", "uid=1234", "gid=1234"]);
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let all = of_threads(server.pid(), &[name]);
        assert!(all.iter().all(|(_, mask)| mask == "0000000000000000"), "{all:?}");
    }
}

#[test]
fn too_few_open_files_are_an_error_and_a_low_soft_limit_is_raised() {
    let said = refused(&mut begun_by(&["prlimit", "--nofile=256:256", "--"]), "", 1);
    assert!(said.contains("files open at once, and the system allows 256"), "{said}");
    assert!(said.contains("LimitNOFILE="), "{said}");
    let server = Daemon::of(begun_by(&["prlimit", "--nofile=256:4096", "--"]), "", "");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u64 = files.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!((257..=4096).contains(&soft), "{files}");
}
