//! `<relay>` and `<master-server>` of an `icecast.xml`.

use std::fs;

use crate::client::{Source, get_with, login_as};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::other_servers::{wait_for_mounts, wait_for_peer, wait_for_state};
use crate::process::Run;

/// A minimal file with `more` added, and with `login` in its `<authentication>`.
fn with(login: &str, more: &str) -> String {
    format!(
        "<icecast>\n<authentication><source-password>{PASSWORD}</source-password>\n\
         <admin-password>test-admin-secret</admin-password>{login}</authentication>\n{more}\n</icecast>\n"
    )
}

/// What `check` says of a file: its exit code, its output and its errors.
fn check(text: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("icecast.xml");
    fs::write(&file, text).unwrap();
    let output = silvacast().args(["check", "--config"]).arg(&file).args(more).run();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn relays_of_an_icecast_file_are_pulled() {
    let station = Daemon::with(
        "",
        "relay_password = \"for relays\"\n[[mount]]\nname = \"/b\"\naccess = \"closed\"",
    );
    let _sources = ["/a", "/b"].map(|mount| Source::connect(&station, mount, 1));
    let port = station.port;
    let relay = |more: &str| {
        format!(
            "<relay><server>127.0.0.1</server><port>{port}</port><mount>/a</mount>{more}</relay>"
        )
    };
    let more = [
        relay("<local-mount>/c</local-mount>"),
        relay("<local-mount>/d</local-mount><on-demand>1</on-demand>"),
        format!(
            "<master-server>127.0.0.1</master-server><master-server-port>{port}</master-server-port>"
        ),
    ];
    let hub = Daemon::of_text(with("<relay-password>for relays</relay-password>", &more.concat()));
    wait_for_mounts(&hub, &["/a", "/c"]);
    wait_for_state(&hub, "/d", "idle");
    wait_for_peer(&hub, "/c", "connected");
    // Its own login for servers that relay from it.
    let list = get_with(&hub, "/admin/streamlist.txt", &login_as("relay", "for relays"));
    assert_eq!(list.text(), "/a\r\n/c\r\n/d\r\n");
}

#[test]
fn check_prints_them_as_toml() {
    let more = "<relay><server>wood.example</server><port>8001</port><mount>/a.opus</mount>\
        <local-mount>/b.opus</local-mount><username>hub</username><password>secret</password>\
        <on-demand>1</on-demand><relay-shoutcast-metadata>1</relay-shoutcast-metadata></relay>\n\
        <relay><server>::1</server><mount>/c.opus</mount><on-demand>0</on-demand></relay>\n\
        <master-server>far.example</master-server><master-server-port>8002</master-server-port>\
        <master-username>me</master-username><master-password>other</master-password>";
    let (code, toml, said) = check(&with("", more), &["--print-toml"]);
    assert_eq!(code, Some(0), "{said}");
    let relays: Vec<_> = toml.split("[[relay]]\n").skip(1).map(str::trim_end).collect();
    for (relay, lines) in relays.iter().zip([
        &[
            "from = \"http://wood.example:8001\"",
            "mounts = [\"/a.opus\"]",
            "local_name = \"/b.opus\"",
            "user = \"hub\"",
            "password = \"secret\"",
            "on_demand = true",
        ][..],
        &["from = \"http://[::1]:8000\"", "mounts = [\"/c.opus\"]"],
        &["from = \"http://far.example:8002\"", "user = \"me\"", "password = \"other\""],
    ]) {
        for line in lines {
            assert!(relay.lines().any(|it| it.trim() == *line), "{line} in\n{relay}");
        }
    }
    assert_eq!(relays.len(), 3, "{toml}");
    assert!(!relays[1].contains("on_demand") && !relays[1].contains("password"), "{toml}");
    // The login of a master is its own, or the one of those who relay from here.
    let login = "<relay-user>mirror</relay-user><relay-password>shared</relay-password>";
    let (code, toml, said) =
        check(&with(login, "<master-server>far.example</master-server>"), &["--print-toml"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, master) = toml.split_once("[[relay]]\n").unwrap();
    for line in ["from = \"http://far.example:8000\"", "user = \"mirror\"", "password = \"shared\""]
    {
        assert!(master.contains(line), "{line} in\n{toml}");
    }
    assert!(toml.contains("relay_password = \"shared\""), "{toml}");
}

#[test]
fn a_relay_without_a_server_or_with_a_wrong_one_is_an_error() {
    let requires = "<relay> requires <server> and <mount>";
    for (more, wanted) in [
        ("<relay><mount>/a</mount></relay>", requires),
        ("<relay><server>wood.example</server></relay>", requires),
        ("<relay/>", requires),
        ("<relay><server>a b</server><mount>/a</mount></relay>", "http://a b:8000"),
        ("<relay><server>a</server><port>x</port><mount>/a</mount></relay>", "http://a:x"),
        (
            "<relay><server>a</server><mount>a</mount></relay>",
            "invalid value [\"a\"] for <mount> in <relay>",
        ),
        ("<master-server></master-server>", "http://:8000"),
    ] {
        let (code, _, said) = check(&with("", more), &[]);
        assert_eq!(code, Some(2), "{more}: {said}");
        assert!(said.contains(wanted) && said.contains("line 4"), "{more}: {said}");
    }
}
