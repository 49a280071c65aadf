//! What single settings of an `icecast.xml` do: encodings, proxies, values out of range, and what is reported.

use std::fs;

use serde_json::Value;

use crate::client::{Source, get, get_with};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::process::Run;

/// A file with a prolog, and with `more` added, on one line.
fn file(prolog: &str, more: &str) -> String {
    format!(
        "{prolog}<icecast><authentication><source-password>{PASSWORD}</source-password>\
         <admin-password>a</admin-password></authentication>{more}</icecast>"
    )
}

/// The exit code of `check`, and what it said about this file.
fn check(bytes: &[u8]) -> (Option<i32>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("icecast.xml");
    fs::write(&path, bytes).unwrap();
    let output = silvacast().args(["check", "--config"]).arg(&path).run();
    let before = format!("silvacast: {}: ", path.display());
    let said = String::from_utf8(output.stderr).unwrap();
    let lines = said.lines().map(|line| line.strip_prefix(&before).unwrap().to_owned());
    (output.status.code(), lines.collect())
}

/// What `check` said about a valid file.
fn warnings(more: &str) -> Vec<String> {
    let (code, said) = check(file("", more).as_bytes());
    assert_eq!(code, Some(0), "{said:?}");
    said
}

fn status(server: &Daemon) -> Value {
    let body = get(server, "/status-json.xsl").body;
    serde_json::from_slice::<Value>(&body).unwrap()["icestats"].clone()
}

#[test]
fn the_declared_encoding_is_honoured() {
    let text =
        file("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n", "<location>Köln</location>");
    let latin1: Vec<u8> = text.chars().map(|character| u8::try_from(character).unwrap()).collect();
    let utf_16: Vec<u8> =
        text.replace("ISO-8859-1", "UTF-16").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [latin1.clone(), [&b"\xff\xfe"[..], &utf_16].concat()] {
        let server = Daemon::of_text(bytes);
        assert_eq!(status(&server)["location"], "Köln");
    }
    let undeclared = latin1.splitn(2, |&byte| byte == b'\n').nth(1).unwrap();
    assert_eq!(check(undeclared), (Some(2), vec!["line 1: the text is not UTF-8".to_owned()]));
    let unknown = text.replace("ISO-8859-1", "EBCDIC-DE");
    let (code, said) = check(unknown.as_bytes());
    assert_eq!((code, said.len()), (Some(2), 1));
    assert!(said[0].starts_with("line 1: the file is not in the declared encoding \"EBCDIC-DE\""));
}

#[test]
fn proxies_that_icecast_kh_trusts_are_trusted() {
    let paths = "<paths><x-forwarded-for>127.0.0.1</x-forwarded-for>\
                 <x-forwarded-for>10.0.0.0/8</x-forwarded-for></paths>";
    let server = Daemon::of_text(file("", paths));
    let _source = Source::connect(&server, "/a.opus", 1);
    get_with(&server, "/nothing.opus", "X-Forwarded-For: 192.0.2.7\r\n");
    server.wait_for_line(&["event=\"refused\"", "192.0.2.7"]);
    let (code, said) =
        check(file("", "<paths><x-forwarded-for>192.168.*</x-forwarded-for></paths>").as_bytes());
    assert_eq!(code, Some(2));
    assert!(
        said[0].contains("for <x-forwarded-for> in <paths>: \"192.168.*\" is not one"),
        "{said:?}"
    );
}

#[test]
fn the_nearest_bound_takes_the_place_of_a_number_that_is_out_of_range() {
    let limits = "\n<limits>\n<clients>200000</clients>\n<sources>4000</sources>\n\
                  <header-timeout>600</header-timeout>\n<source-timeout>0</source-timeout>\n</limits>\n\
                  <mount><mount-name>/a</mount-name>\n<max-listeners>1000000</max-listeners></mount>";
    let said = warnings(limits);
    let wanted = [
        "line 3: <clients>200000</clients> is out of range; 100000 is used",
        "line 4: <sources>4000</sources> is out of range; 1000 is used",
        "line 5: <header-timeout>600</header-timeout> is out of range; \"5m\" is used",
        "line 6: <source-timeout>0</source-timeout> is out of range; \"1s\" is used",
        "line 9: <max-listeners>1000000</max-listeners> is out of range; 100000 is used",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.starts_with(wanted), "{said}");
    }
    // Without so many clients, for which a machine may not allow enough open files.
    let server = Daemon::of_text(file("", &limits.replace("200000", "0")));
    server.wait_for_line(&["config-warning", "<clients>0</clients> is out of range; 1 is used"]);
    server.wait_for_line(&["config-warning", "<sources>4000</sources>"]);
    Source::connect(&server, "/a", 1);
}

#[test]
fn a_description_is_one_line_and_cut_if_it_is_too_long() {
    let mount =
        |text: &str| format!("<mount><mount-name>/a</mount-name>\n<genre>{text}</genre></mount>");
    assert_eq!(warnings(&mount("bats,\n      owls")), [""; 0]);
    let said = warnings(&mount(&"x".repeat(300)));
    let wanted = format!(
        "line 2: <genre> has control characters or more than 256 bytes; \"{}\" is used",
        "x".repeat(256)
    );
    assert_eq!(said, [wanted]);
}

#[test]
fn a_user_that_does_not_exist_is_an_error_of_check() {
    let user = |name: &str| {
        format!("\n<security><changeowner>\n<user>{name}</user></changeowner></security>")
    };
    let (code, said) = check(file("", &user("no-such-user")).as_bytes());
    assert_eq!((code, said.len()), (Some(2), 1));
    assert!(
        said[0].starts_with("line 3: invalid value \"no-such-user\" for <user> in <changeowner>"),
        "{said:?}"
    );
    assert_eq!(warnings(&user("nobody")), [""; 0]);
}

#[test]
fn what_is_in_force_anyway_is_no_warning() {
    let harmless = "<limits><client-timeout>30</client-timeout></limits><fileserve>0</fileserve>\
         <http-headers><header name=\"Access-Control-Allow-Origin\" value=\"*\"/></http-headers>\
         <listen-socket><port>1</port><ssl>0</ssl><shoutcast-compat>0</shoutcast-compat></listen-socket>\
         <mount><mount-name>/a</mount-name><public>0</public><type>application/ogg</type>\
         <charset>UTF-8</charset><fallback-override>0</fallback-override>\
         <max-listeners>-1</max-listeners></mount><location></location><admin/>";
    assert_eq!(warnings(harmless), [""; 0]);
    let said = warnings(
        "<fileserve>1</fileserve><mount><mount-name>/a</mount-name><public>1</public>\
         <type>audio/mpeg</type></mount><limits><queue-size>1</queue-size></limits>\
         <http-headers><header name=\"X-Robots-Tag\" value=\"noindex\"/></http-headers>",
    );
    assert_eq!(said.len(), 5, "{said:?}");
}

#[test]
fn advice_names_the_element() {
    for (more, wanted) in [
        (
            "<mount><mount-name>/a?</mount-name></mount>",
            "line 1: invalid value \"/a?\" for <mount-name>: `?` is not supported in patterns",
        ),
        (
            "<mount><mount-name>/a*</mount-name></mount>\n<mount><mount-name>/ab*</mount-name></mount>",
            "line 2: \"/ab*\" never applies, because \"/a*\" in line 1 comes first",
        ),
        (
            "<paths><alias source=\"/x/a\" destination=\"/a\"/></paths>\n\
             <mount><mount-name>/x/a</mount-name></mount>",
            "line 2: \"/x/a\" never applies, because <alias> in <paths> \"/x\" is not part",
        ),
        (
            "<listen-socket><port>many</port></listen-socket>",
            "line 1: invalid value [\"0.0.0.0:many\"] for <listen-socket>: \"0.0.0.0:many\" is",
        ),
        (
            "<mount><mount-name>/a</mount-name><username>u</username></mount>",
            "line 1: <username> in <mount> requires <password>",
        ),
        (
            "\n<mount type=\"default\"><mount-name>/a*</mount-name></mount>",
            "line 2: <mount-name> in <mount type=\"default\"> is not supported",
        ),
        ("<include>/etc/other.xml</include>", "line 1: <include> is not supported"),
        (
            "<paths><deny-agents>/etc/x</deny-agents></paths>",
            "line 1: <deny-agents> is not supported",
        ),
        (
            "<paths><ban-file>/nonexistent</ban-file></paths>",
            "line 1: <ban-file>/nonexistent</ban-file>",
        ),
    ] {
        let (code, said) = check(file("", more).as_bytes());
        assert_eq!((code, said.len()), (Some(2), 1), "{said:?}");
        assert!(said[0].starts_with(wanted), "{said:?}\n{wanted}");
        assert!(!said[0].contains('`') || said[0].contains("`?`"), "{said:?}");
    }
    let (_, said) = check(b"<icecast></icecast>");
    assert_eq!(
        said,
        [
            "no source password; set <source-password> in <authentication>",
            "no admin password; set <admin-password> in <authentication>"
        ]
    );
}

#[test]
fn a_file_that_is_neither_xml_nor_toml_is_one_error() {
    let prose = include_bytes!("../../README.md");
    let unit = include_bytes!("../../systemd/silvacast.service");
    let script = b"#!/bin/sh\nset -e\nexec icecast2 -c /etc/icecast2/icecast.xml\n";
    for bytes in [&prose[..], unit, script] {
        let (code, said) = check(bytes);
        assert_eq!((code, said.len()), (Some(2), 1), "{said:?}");
        assert!(said[0].contains("this is neither TOML nor Icecast's XML"), "{said:?}");
    }
    let (code, said) = check(b"\x7fELF\x02\x01\x01\0\n\xff\xfe");
    assert_eq!((code, said), (Some(2), vec!["line 2: the text is not UTF-8".to_owned()]));
}
