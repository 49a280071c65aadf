//! Giving up power: after the sockets are bound and the secrets read, before the first byte from the network.
//!
//! Started as root, the process becomes somebody who may do nothing, for good: no groups, no
//! capability in any set, none to be had back. What the kernel then says of it is read and has to be
//! that, or the server does not start. It must happen while there is one thread, as most of this counts for a thread only.

use std::fs;

use caps::CapSet;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};

/// What became of it, for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Who the process is now.
    pub uid: u32,
    /// And its group.
    pub gid: u32,
    /// What could not be given up, and why that is no loss.
    pub kept: Vec<String>,
}

/// `nobody`, where no list of users says so: an image made from scratch has none.
const NOBODY: u32 = 65534;
/// Root means nothing, changing users gives and takes nothing, and none of it can be undone: `SECBIT_NOROOT`,
/// `SECBIT_NO_SETUID_FIXUP`, `SECBIT_NO_CAP_AMBIENT_RAISE` and the locks of all four (capabilities(7)).
const SECURE_BITS: nix::libc::c_ulong = 0b1110_1111;

/// Gives up all power. As root, the process becomes `user`: a name, or numbers such as `65534:65534`.
///
/// # Errors
/// A sentence that says what could not be given up; the process must not go on.
pub fn drop_privileges(user: &str) -> Result<Dropped, String> {
    // A dump would have the passwords in it.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("forbid core dumps"))?;
    let mut kept = Vec::new();
    let expected = if Uid::effective().is_root() {
        become_user(user, &mut kept)?
    } else {
        Expected::default()
    };
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        // Who has none may not even be allowed to ask: a unit's system call filter forbids it.
        if !caps::read(None, set).is_ok_and(|held| held.is_empty()) {
            caps::clear(None, set).map_err(failed("drop its capabilities"))?;
        }
    }
    prctl::set_no_new_privs().map_err(failed("give up new privileges"))?;
    // Changing users has turned it off already; not so where there was nobody to become.
    prctl::set_dumpable(false).map_err(failed("forbid core dumps"))?;
    let status =
        fs::read_to_string("/proc/self/status").map_err(failed("read /proc/self/status"))?;
    let left = ProcStatus::of(&status).left(expected);
    if !left.is_empty() {
        return Err(format!(
            "the process still has {} after giving up its power: it does not go on",
            left.join(", ")
        ));
    }
    Ok(Dropped { uid: Uid::current().as_raw(), gid: Gid::current().as_raw(), kept })
}

/// What root has given up for good, and so must not be there any more.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each of them is one line of what the kernel says"
)]
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    bounding: bool,
    groups: bool,
    group: bool,
    /// Root that stays root is excused here; whoever was never root has no root to give up.
    user: bool,
    /// It is still root, for a reason that has been found good.
    excused: bool,
}

fn become_user(user: &str, kept: &mut Vec<String>) -> Result<Expected, String> {
    let mut expected =
        Expected { bounding: true, groups: true, group: true, user: true, excused: false };
    let (uid, gid) = resolve_user(user)?;
    let can = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    if can(caps::Capability::CAP_SETPCAP) {
        // Up to the last one that this kernel knows, which may be newer than this program.
        let mut number = 0;
        while prctl(nix::libc::PR_CAPBSET_DROP, number).is_ok() {
            number += 1;
        }
        prctl(nix::libc::PR_SET_SECUREBITS, SECURE_BITS).map_err(failed("set the securebits"))?;
        let bits = prctl(nix::libc::PR_GET_SECUREBITS, 0).map_err(failed("read its securebits"))?;
        if bits as nix::libc::c_ulong != SECURE_BITS {
            return Err(format!(
                "the process has the securebits {bits:#x} where it set {SECURE_BITS:#x}: it does not go on"
            ));
        }
    } else {
        expected.bounding = false;
        kept.push("the bounding set and the securebits, for want of CAP_SETPCAP; without new privileges nothing comes from them".into());
    }
    let (users, groups) = (IdMap::of("uid_map"), IdMap::of("gid_map"));
    // The root of a user namespace is nobody special outside of it; the system's own must not go on.
    let excuse = |what: &str, want: String| {
        if users.is_whole() {
            Err(format!(
                "it runs as root and cannot become {user}: {want}; start it as another user, or let it"
            ))
        } else {
            Ok(format!(
                "{what}: {want}; in this user namespace that is nobody special outside of it"
            ))
        }
    };
    if !can(caps::Capability::CAP_SETGID) {
        (expected.groups, expected.group) = (false, false);
        kept.push(excuse("its groups", "CAP_SETGID is missing".into())?);
    } else if fs::read_to_string("/proc/self/setgroups").is_ok_and(|said| said.trim() == "deny") {
        expected.groups = false;
        kept.push(excuse("its supplementary groups", "setgroups is denied".into())?);
    } else {
        setgroups(&[]).map_err(failed("leave its supplementary groups"))?;
    }
    if can(caps::Capability::CAP_SETGID) {
        if groups.has(gid) {
            let gid = Gid::from_raw(gid);
            setresgid(gid, gid, gid).map_err(failed("change its group"))?;
        } else {
            expected.group = false;
            kept.push(excuse("its group", format!("group {gid} is not mapped"))?);
        }
    }
    if !can(caps::Capability::CAP_SETUID) {
        (expected.user, expected.excused) = (false, true);
        kept.push(excuse("its user", "CAP_SETUID is missing".into())?);
    } else if users.has(uid) {
        let uid = Uid::from_raw(uid);
        setresuid(uid, uid, uid).map_err(failed("change its user"))?;
    } else {
        (expected.user, expected.excused) = (false, true);
        kept.push(excuse("its user", format!("user {uid} is not mapped"))?);
    }
    Ok(expected)
}

/// Uid and gid of a user.
fn resolve_user(user: &str) -> Result<(u32, u32), String> {
    let (name, group) = user.split_once(':').map_or((user, None), |(uid, gid)| (uid, Some(gid)));
    let number = |text: &str| text.parse::<u32>().ok();
    let known =
        User::from_name(name).ok().flatten().map(|user| (user.uid.as_raw(), user.gid.as_raw()));
    let found = match (number(name), group.map(number)) {
        (Some(uid), None) => Some((uid, uid)),
        (Some(uid), Some(Some(gid))) => Some((uid, gid)),
        (None, None) if name == "nobody" => known.or(Some((NOBODY, NOBODY))),
        (None, None) => known,
        _ => None,
    };
    match found {
        Some((0, _) | (_, 0)) => Err(format!(
            "[process] user = {user:?} is root; it takes a user without power, such as \"nobody\""
        )),
        Some(found) => Ok(found),
        None => Err(format!(
            "[process] user = {user:?} is not known here; it takes a user's name, or numbers such as \"65534:65534\""
        )),
    }
}

/// Which ids of a user namespace are somebody outside of it.
struct IdMap(Vec<(u32, u32, u32)>);

impl IdMap {
    fn of(file: &str) -> Self {
        Self::read(&fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default())
    }

    fn read(text: &str) -> Self {
        let numbers = |line: &str| {
            let mut numbers = line.split_whitespace().map_while(|number| number.parse().ok());
            Some((numbers.next()?, numbers.next()?, numbers.next()?))
        };
        Self(text.lines().filter_map(numbers).collect())
    }

    /// Whether this is no user namespace but the system itself.
    fn is_whole(&self) -> bool {
        self.0.is_empty() || self.0 == [(0, 0, u32::MAX)]
    }

    fn has(&self, id: u32) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|&(first, _, count)| id >= first && id - first < count)
    }
}

#[allow(unsafe_code, reason = "no library has safe calls for these")]
fn prctl(option: nix::libc::c_int, value: nix::libc::c_ulong) -> nix::Result<nix::libc::c_int> {
    // SAFETY: the options that are used here take a number and change nothing but this thread's own rights.
    let done = unsafe { nix::libc::prctl(option, value, 0, 0, 0) };
    nix::errno::Errno::result(done)
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    let what = what.to_owned();
    move |error| format!("the process cannot {what}: {error}")
}

/// What the kernel says of a process, as far as it is about power.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcStatus {
    ids: Vec<u64>,
    groups: usize,
    capabilities: u64,
    bounding: u64,
    no_new_privileges: bool,
    threads: u64,
}

impl ProcStatus {
    /// Reads `/proc/self/status` (proc(5)).
    fn of(text: &str) -> Self {
        let mut status = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let mut numbers = value.split_whitespace().filter_map(|number| number.parse().ok());
            let mask = u64::from_str_radix(value.trim(), 16).unwrap_or(u64::MAX);
            match name {
                "Uid" | "Gid" => status.ids.extend(numbers),
                "Groups" => status.groups = numbers.count(),
                "CapInh" | "CapPrm" | "CapEff" | "CapAmb" => status.capabilities |= mask,
                "CapBnd" => status.bounding = mask,
                "NoNewPrivs" => status.no_new_privileges = numbers.next() == Some(1),
                "Threads" => status.threads = numbers.next().unwrap_or_default(),
                _ => {}
            }
        }
        status
    }

    /// What should not be there. Who was never root cannot leave its groups, nor change a bounding set that it has
    /// no use for.
    fn left(&self, expected: Expected) -> Vec<&'static str> {
        // Real, effective, saved and file system ids.
        let (users, groups) = self.ids.split_at(self.ids.len().min(4));
        let one = |ids: &[u64]| ids.len() == 4 && ids.iter().all(|&id| id == ids[0] && id != 0);
        let all = [
            (self.capabilities != 0, "capabilities"),
            (!self.no_new_privileges, "a way to new privileges"),
            // An emulator has threads of its own; where the mistake is ours, every test shows it.
            (cfg!(debug_assertions) && self.threads != 1, "threads that have given up nothing"),
            (!expected.excused && users.contains(&0), "root's identity"),
            (expected.user && !one(users), "more than one identity"),
            (expected.group && !one(groups), "root's group"),
            (expected.groups && self.groups != 0, "supplementary groups"),
            (expected.bounding && self.bounding != 0, "capabilities to be had back"),
        ];
        all.into_iter().filter_map(|(is_left, what)| is_left.then_some(what)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY_AT_ALL: &str = "Name:\tsilvacast\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n\
        Groups:\t \nThreads:\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";

    const ALL: Expected =
        Expected { bounding: true, groups: true, group: true, user: true, excused: false };
    const NEVER: Expected =
        Expected { bounding: false, groups: false, group: false, user: false, excused: false };

    fn left(change: (&str, &str), expected: Expected) -> Vec<&'static str> {
        let status = NOBODY_AT_ALL.replacen(change.0, change.1, 1);
        assert!(change.0 == change.1 || status != NOBODY_AT_ALL, "{change:?} changes nothing");
        ProcStatus::of(&status).left(expected)
    }

    #[test]
    fn whatever_is_left_is_found() {
        assert!(left(("", ""), ALL).is_empty());
        for (change, what) in [
            (("CapEff:\t0000000000000000", "CapEff:\t0000000000000400"), "capabilities"),
            (("CapAmb:\t0000000000000000", "CapAmb:\t?"), "capabilities"),
            (
                ("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"),
                "capabilities to be had back",
            ),
            (("NoNewPrivs:\t1", "NoNewPrivs:\t0"), "a way to new privileges"),
            (("Threads:\t1", "Threads:\t2"), "threads that have given up nothing"),
            (("Groups:\t ", "Groups:\t27 "), "supplementary groups"),
            (("Gid:\t65534", "Gid:\t0"), "root's group"),
            (("Uid:\t65534\t65534\t65534", "Uid:\t65534\t65534\t1000"), "more than one identity"),
        ] {
            assert_eq!(left(change, ALL), [what], "{change:?}");
        }
        assert_eq!(
            left(("Uid:\t65534\t65534\t65534", "Uid:\t65534\t65534\t0"), NEVER),
            ["root's identity"]
        );
        assert!(!ProcStatus::of("").left(ALL).is_empty(), "nothing is known of it");
    }

    #[test]
    fn who_was_never_root_keeps_its_groups_and_the_root_of_a_namespace_its_name() {
        assert!(left(("Groups:\t ", "Groups:\t27 "), NEVER).is_empty());
        assert!(
            left(
                ("Uid:\t65534\t65534\t65534\t65534", "Uid:\t0\t0\t0\t0"),
                Expected { excused: true, ..NEVER }
            )
            .is_empty()
        );
        assert_eq!(
            left(("NoNewPrivs:\t1", "NoNewPrivs:\t0"), Expected { excused: true, ..NEVER }),
            ["a way to new privileges"]
        );
    }

    #[test]
    fn a_namespace_says_who_is_somebody_outside() {
        let whole = IdMap::read("         0          0 4294967295\n");
        assert!(whole.is_whole() && whole.has(65534));
        let single = IdMap::read("         0       1000          1\n");
        assert!(!single.is_whole() && single.has(0) && !single.has(65534));
        let rootless = IdMap::read("0 1000 1\n1 100000 65536\n");
        assert!(!rootless.is_whole() && rootless.has(65534) && !rootless.has(65537));
    }

    #[test]
    fn users_are_found_by_name_and_number_and_root_is_none() {
        assert_eq!(resolve_user("1000"), Ok((1000, 1000)));
        assert_eq!(resolve_user("1000:27"), Ok((1000, 27)));
        assert_eq!(resolve_user("nobody").unwrap().0, NOBODY);
        for wrong in
            ["root", "0", "1000:0", "0:1000", "no-such-user", "", "1000:", "-1", "nobody:27"]
        {
            assert!(resolve_user(wrong).is_err(), "{wrong}");
        }
    }
}
