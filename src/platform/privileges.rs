//! Dropping privileges: after the sockets are bound and the secrets read, and before the first byte
//! from the network.
//!
//! A process that was started as root changes to an unprivileged user: no supplementary groups, no
//! capability in any set, and no way to get one. The result is read back from the kernel; the
//! server does not start if it differs. Privileges are dropped while the process has one thread,
//! because most of these system calls change the calling thread only.

use std::error::Error;
use std::fs;

use caps::CapSet;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};

/// The privileges that the process has after [`drop_privileges`], for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Real user id of the process.
    pub uid: u32,
    /// Real group id of the process.
    pub gid: u32,
    /// Sentences about what could not be dropped, with the reason why it has no effect.
    pub kept: Vec<String>,
}

/// Why privileges could not be dropped. The process must not continue.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// A system call failed.
    #[error("the process cannot {action}: {source}")]
    System {
        /// The purpose of the call.
        action: &'static str,
        /// The system's error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The kernel reports other securebits than were set.
    #[error("the kernel reports securebits {0:#x} where {bits:#x} were set", bits = SECURE_BITS)]
    SecureBits(nix::libc::c_int),
    /// The process has privileges that it should have dropped.
    #[error("the process still has {} after it dropped its privileges", .0.join(", "))]
    Remaining(Vec<&'static str>),
    /// The process is root and cannot change to the configured user.
    #[error(
        "it runs as root and cannot become {user}: {reason}; start it as another user, or allow \
         the change"
    )]
    StillRoot {
        /// The configured user.
        user: String,
        /// Why the change is impossible.
        reason: String,
    },
    /// The configured user or group is root.
    #[error("user {0:?} is root; expected an unprivileged user, such as \"nobody\"")]
    RootUser(String),
    /// The configured user does not exist.
    #[error(
        "user {0:?} is unknown on this system; expected a user name, or numbers such as \
         \"65534:65534\""
    )]
    UnknownUser(String),
}

/// User and group id of `nobody` where there is no `/etc/passwd`, as in an image made from scratch.
const NOBODY: u32 = 65534;
/// `SECBIT_NOROOT`, `SECBIT_NO_SETUID_FIXUP`, `SECBIT_NO_CAP_AMBIENT_RAISE` and the locks of these
/// and of `SECBIT_KEEP_CAPS` (capabilities(7)): user id 0 has no special meaning, a change of user
/// changes no capabilities, and neither can be undone.
const SECURE_BITS: nix::libc::c_ulong = 0b1110_1111;

/// Drops all privileges. As root, the process changes to `user`: a name, or numbers such as
/// `65534:65534`.
///
/// # Errors
/// [`PrivilegeError`] if a privilege could not be dropped. The process must not continue.
pub fn drop_privileges(user: &str) -> Result<Dropped, PrivilegeError> {
    // A core dump would contain the passwords.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("forbid core dumps"))?;
    let mut kept = Vec::new();
    let expected = if Uid::effective().is_root() {
        change_user(user, &mut kept)?
    } else {
        Expected::default()
    };
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        // The call is skipped if the set is empty, because a unit's system call filter may forbid
        // it.
        if !caps::read(None, set).is_ok_and(|held| held.is_empty()) {
            caps::clear(None, set).map_err(failed("drop its capabilities"))?;
        }
    }
    prctl::set_no_new_privs().map_err(failed("set no_new_privs"))?;
    // A change of user clears this flag too, but the user may not have changed.
    prctl::set_dumpable(false).map_err(failed("forbid core dumps"))?;
    let status =
        fs::read_to_string("/proc/self/status").map_err(failed("read /proc/self/status"))?;
    let remaining = ProcStatus::parse(&status).remaining(expected);
    if !remaining.is_empty() {
        return Err(PrivilegeError::Remaining(remaining));
    }
    Ok(Dropped { uid: Uid::current().as_raw(), gid: Gid::current().as_raw(), kept })
}

/// What the kernel must report after the privileges were dropped. All false for a process that was
/// never root: it cannot change its groups or its bounding set.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each of them is one line of what the kernel reports"
)]
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    bounding_set_empty: bool,
    no_supplementary_groups: bool,
    group_changed: bool,
    user_changed: bool,
    /// The process is still root, in a user namespace that has no other user.
    root_allowed: bool,
}

fn change_user(user: &str, kept: &mut Vec<String>) -> Result<Expected, PrivilegeError> {
    let mut expected = Expected {
        bounding_set_empty: true,
        no_supplementary_groups: true,
        group_changed: true,
        user_changed: true,
        root_allowed: false,
    };
    let (uid, gid) = resolve_user(user)?;
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    if has(caps::Capability::CAP_SETPCAP) {
        // Up to the last capability that the kernel knows, which may be newer than this program.
        let mut number = 0;
        while prctl(nix::libc::PR_CAPBSET_DROP, number).is_ok() {
            number += 1;
        }
        prctl(nix::libc::PR_SET_SECUREBITS, SECURE_BITS).map_err(failed("set its securebits"))?;
        let bits = prctl(nix::libc::PR_GET_SECUREBITS, 0).map_err(failed("read its securebits"))?;
        if bits as nix::libc::c_ulong != SECURE_BITS {
            return Err(PrivilegeError::SecureBits(bits));
        }
    } else {
        expected.bounding_set_empty = false;
        kept.push(
            "the bounding set and the securebits: CAP_SETPCAP is missing; with no_new_privs they \
             have no effect"
                .into(),
        );
    }
    let (users, groups) = (IdMap::of("uid_map"), IdMap::of("gid_map"));
    // Root of a user namespace is an ordinary user outside of it. Root of the whole system must not
    // continue.
    let keep = |what: &str, reason: String| {
        if users.is_whole() {
            Err(PrivilegeError::StillRoot { user: user.to_owned(), reason })
        } else {
            Ok(format!(
                "{what}: {reason}; root of a user namespace is an ordinary user outside of it"
            ))
        }
    };
    if !has(caps::Capability::CAP_SETGID) {
        (expected.no_supplementary_groups, expected.group_changed) = (false, false);
        kept.push(keep("its groups", "CAP_SETGID is missing".into())?);
    } else if fs::read_to_string("/proc/self/setgroups").is_ok_and(|state| state.trim() == "deny") {
        expected.no_supplementary_groups = false;
        kept.push(keep("its supplementary groups", "setgroups is denied".into())?);
    } else {
        setgroups(&[]).map_err(failed("drop its supplementary groups"))?;
    }
    if has(caps::Capability::CAP_SETGID) {
        if groups.has(gid) {
            let gid = Gid::from_raw(gid);
            setresgid(gid, gid, gid).map_err(failed("change its group"))?;
        } else {
            expected.group_changed = false;
            kept.push(keep("its group", format!("group {gid} is not mapped"))?);
        }
    }
    if !has(caps::Capability::CAP_SETUID) {
        (expected.user_changed, expected.root_allowed) = (false, true);
        kept.push(keep("its user", "CAP_SETUID is missing".into())?);
    } else if users.has(uid) {
        let uid = Uid::from_raw(uid);
        setresuid(uid, uid, uid).map_err(failed("change its user"))?;
    } else {
        (expected.user_changed, expected.root_allowed) = (false, true);
        kept.push(keep("its user", format!("user {uid} is not mapped"))?);
    }
    Ok(expected)
}

/// Checks that a process of root can change to `user`.
///
/// # Errors
/// The user does not exist, or is root.
pub fn check_user(user: &str) -> Result<(), PrivilegeError> {
    resolve_user(user).map(|_| ())
}

/// The user and group id of `user`: a name, a user id, or `UID:GID`. A user id alone is also the
/// group id.
fn resolve_user(user: &str) -> Result<(u32, u32), PrivilegeError> {
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
        Some((0, _) | (_, 0)) => Err(PrivilegeError::RootUser(user.to_owned())),
        Some(found) => Ok(found),
        None => Err(PrivilegeError::UnknownUser(user.to_owned())),
    }
}

/// The ids of a user namespace that are mapped to ids outside of it (`user_namespaces(7)`): first
/// id inside, first id outside, and how many.
struct IdMap(Vec<(u32, u32, u32)>);

impl IdMap {
    /// Reads `/proc/self/{file}`.
    fn of(file: &str) -> Self {
        Self::parse(&fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let numbers = |line: &str| {
            let mut numbers = line.split_whitespace().map_while(|number| number.parse().ok());
            Some((numbers.next()?, numbers.next()?, numbers.next()?))
        };
        Self(text.lines().filter_map(numbers).collect())
    }

    /// Whether all ids are mapped to themselves, as in the initial user namespace.
    fn is_whole(&self) -> bool {
        self.0.is_empty() || self.0 == [(0, 0, u32::MAX)]
    }

    fn has(&self, id: u32) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|&(first, _, count)| id >= first && id - first < count)
    }
}

#[allow(unsafe_code, reason = "our dependencies have no safe wrapper of these calls")]
fn prctl(option: nix::libc::c_int, value: nix::libc::c_ulong) -> nix::Result<nix::libc::c_int> {
    // SAFETY: the options that are used here take a number and change nothing but the privileges of
    // this thread.
    let result = unsafe { nix::libc::prctl(option, value, 0, 0, 0) };
    nix::errno::Errno::result(result)
}

/// Adds the purpose of the call to a system error.
fn failed<E>(action: &'static str) -> impl FnOnce(E) -> PrivilegeError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    move |error| PrivilegeError::System { action, source: error.into() }
}

/// The privileges of a process, as the kernel reports them.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcStatus {
    /// Real, effective, saved and file system user id, then the same group ids.
    ids: Vec<u64>,
    /// Number of supplementary groups.
    groups: usize,
    /// Union of the inheritable, permitted, effective and ambient set, one bit for each capability.
    capabilities: u64,
    /// The bounding set, one bit for each capability.
    bounding: u64,
    no_new_privileges: bool,
    threads: u64,
}

impl ProcStatus {
    /// Parses `/proc/self/status` (proc(5)).
    fn parse(text: &str) -> Self {
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

    /// The privileges that the process has and should have dropped.
    fn remaining(&self, expected: Expected) -> Vec<&'static str> {
        let (users, groups) = self.ids.split_at(self.ids.len().min(4));
        // All four ids are the same, and not root's.
        let changed = |ids: &[u64]| ids.len() == 4 && ids.iter().all(|&id| id == ids[0] && id != 0);
        let all = [
            (self.capabilities != 0, "capabilities"),
            (!self.no_new_privileges, "a way to gain privileges"),
            // An emulator adds threads. A thread too many is a mistake in this program, which every
            // test in a debug build shows.
            (
                cfg!(debug_assertions) && self.threads != 1,
                "threads that have not dropped their privileges",
            ),
            (!expected.root_allowed && users.contains(&0), "root's user id"),
            (expected.user_changed && !changed(users), "different user ids"),
            (expected.group_changed && !changed(groups), "root's group id"),
            (expected.no_supplementary_groups && self.groups != 0, "supplementary groups"),
            (expected.bounding_set_empty && self.bounding != 0, "capabilities in its bounding set"),
        ];
        all.into_iter().filter_map(|(remains, what)| remains.then_some(what)).collect()
    }
}

#[cfg(test)]
mod tests;
