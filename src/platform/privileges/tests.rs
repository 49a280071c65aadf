//! Tests of dropping privileges: what is left is found, and users are resolved.

use super::*;

const UNPRIVILEGED: &str = "Name:\tsilvacast\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n\
    Groups:\t \nThreads:\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
    CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";

const WAS_ROOT: Expected = Expected {
    bounding_set_empty: true,
    no_supplementary_groups: true,
    group_changed: true,
    user_changed: true,
    root_allowed: false,
};
const WAS_NOT_ROOT: Expected = Expected {
    bounding_set_empty: false,
    no_supplementary_groups: false,
    group_changed: false,
    user_changed: false,
    root_allowed: false,
};

fn remaining(change: (&str, &str), expected: Expected) -> Vec<&'static str> {
    let status = UNPRIVILEGED.replacen(change.0, change.1, 1);
    assert!(change.0 == change.1 || status != UNPRIVILEGED, "{change:?} changes nothing");
    ProcStatus::parse(&status).remaining(expected)
}

#[test]
fn every_remaining_privilege_is_reported() {
    assert!(remaining(("", ""), WAS_ROOT).is_empty());
    for (change, what) in [
        (("CapEff:\t0000000000000000", "CapEff:\t0000000000000400"), "capabilities"),
        (("CapAmb:\t0000000000000000", "CapAmb:\t?"), "capabilities"),
        (
            ("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"),
            "capabilities in its bounding set",
        ),
        (("NoNewPrivs:\t1", "NoNewPrivs:\t0"), "a way to gain privileges"),
        (("Threads:\t1", "Threads:\t2"), "threads that have not dropped their privileges"),
        (("Groups:\t ", "Groups:\t27 "), "supplementary groups"),
        (("Gid:\t65534", "Gid:\t0"), "root's group id"),
        (("Uid:\t65534\t65534\t65534", "Uid:\t65534\t65534\t1000"), "different user ids"),
    ] {
        assert_eq!(remaining(change, WAS_ROOT), [what], "{change:?}");
    }
    assert_eq!(
        remaining(("Uid:\t65534\t65534\t65534", "Uid:\t65534\t65534\t0"), WAS_NOT_ROOT),
        ["root's user id"]
    );
    assert!(!ProcStatus::parse("").remaining(WAS_ROOT).is_empty(), "an empty status is not safe");
}

#[test]
fn a_process_that_was_not_root_keeps_its_groups_and_root_of_a_namespace_its_user_id() {
    assert!(remaining(("Groups:\t ", "Groups:\t27 "), WAS_NOT_ROOT).is_empty());
    assert!(
        remaining(
            ("Uid:\t65534\t65534\t65534\t65534", "Uid:\t0\t0\t0\t0"),
            Expected { root_allowed: true, ..WAS_NOT_ROOT }
        )
        .is_empty()
    );
    assert_eq!(
        remaining(
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            Expected { root_allowed: true, ..WAS_NOT_ROOT }
        ),
        ["a way to gain privileges"]
    );
}

#[test]
fn an_id_map_has_the_ids_that_are_mapped() {
    let whole = IdMap::parse("         0          0 4294967295\n");
    assert!(whole.is_whole() && whole.has(65534));
    let single = IdMap::parse("         0       1000          1\n");
    assert!(!single.is_whole() && single.has(0) && !single.has(65534));
    let rootless = IdMap::parse("0 1000 1\n1 100000 65536\n");
    assert!(!rootless.is_whole() && rootless.has(65534) && !rootless.has(65537));
}

#[test]
fn users_are_resolved_by_name_and_number_and_root_is_refused() {
    assert_eq!(resolve_user("1000").unwrap(), (1000, 1000));
    assert_eq!(resolve_user("1000:27").unwrap(), (1000, 27));
    assert_eq!(resolve_user("nobody").unwrap().0, NOBODY);
    for root in ["root", "0", "1000:0", "0:1000"] {
        let refused = resolve_user(root);
        assert!(matches!(refused, Err(PrivilegeError::RootUser(_))), "{root}: {refused:?}");
    }
    for unknown in ["no-such-user", "", "1000:", "-1", "nobody:27"] {
        let refused = resolve_user(unknown);
        assert!(matches!(refused, Err(PrivilegeError::UnknownUser(_))), "{unknown}: {refused:?}");
    }
}
