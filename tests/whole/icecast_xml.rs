//! Icecast's configuration files: they work unchanged, and an unsupported setting is an error or a warning.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use silvacast::config::{Config, Environment};
use tempfile::TempDir;

use crate::client::{Source, connect_from, get, get_with, login, login_as, read_head, request};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::needs::had;
use crate::players::{OPUS, ffmpeg_source};
use crate::process::Run;

/// The file of a station.
const STATION: &str = r#"<icecast><location>Earth</location><admin>admin@silvasonic.local</admin><limits><clients>100</clients><sources>10</sources></limits><authentication><source-password>silvasonic-source-secret</source-password><admin-password>silvasonic-admin-secret</admin-password></authentication><listen-socket><port>8080</port></listen-socket><mount type="normal"><mount-name>/mic-*.opus</mount-name><public>1</public></mount></icecast>"#;

/// The file of Debian's package, with other passwords and any port.
fn debian() -> Option<String> {
    let text = had("Icecast's own file", fs::read_to_string("/etc/icecast2/icecast.xml"))?;
    let text = text.replace("hackme", "no longer so").replace("<port>8000<", "<port>0<");
    assert!(text.contains("<port>0<") && text.contains("no longer so"));
    Some(text)
}

/// A minimal file with `more` added.
fn with(more: &str) -> String {
    format!(
        "<icecast>\n<authentication><source-password>{PASSWORD}</source-password>\
         <admin-password>a</admin-password></authentication>\n{more}\n</icecast>\n"
    )
}

fn file(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn check(path: &str, more: &[&str]) -> Output {
    silvacast().args(["check", "--config", path]).args(more).run()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Asserts that a source and the administrator can log in, and that another password is refused.
fn works(server: &Daemon, mount: &str, source: &str, administrator: &str) {
    let url = |password: &str| {
        let password =
            percent_encoding::utf8_percent_encode(password, percent_encoding::NON_ALPHANUMERIC);
        format!("icecast://source:{password}@127.0.0.1:{}{mount}", server.port)
    };
    let _source = ffmpeg_source(&OPUS, &["-content_type", "audio/ogg", "-f", "ogg", &url(source)]);
    server.wait_for_line(&["stream-began", mount]);
    let stats = |password| get_with(server, "/admin/stats", &login_as("admin", password));
    assert!(stats(administrator).text().contains(&format!("<source mount=\"{mount}\">")));
    assert_eq!(stats("something else").status, 401);
    let wrong = format!("PUT {mount} HTTP/1.0\r\n{}\r\n", login("something else"));
    assert_eq!(request(server, &wrong).status, 401);
}

#[test]
fn the_station_s_file_works_unchanged() {
    let server = Daemon::of_text(STATION);
    works(&server, "/mic-ultramic.opus", "silvasonic-source-secret", "silvasonic-admin-secret");
    let status = get(&server, "/status-json.xsl").text();
    for part in ["\"admin\":\"admin@silvasonic.local\"", "\"location\":\"Earth\""] {
        assert!(status.contains(part), "{status}");
    }
    let config = Config::read(STATION.as_bytes(), &Environment::default()).unwrap();
    assert_eq!(config.listen, ["0.0.0.0:8080".parse::<SocketAddr>().unwrap()]);
    assert_eq!((config.door.limits.listeners, config.door.limits.sources), (100, 10));
}

#[test]
fn debian_s_file_works_unchanged() {
    let Some(text) = debian() else { return };
    let server = Daemon::of_text(&text);
    works(&server, "/mic.opus", "no longer so", "no longer so");
    let line = text.lines().position(|line| line.contains("<queue-size>")).unwrap() + 1;
    server.wait_for_line(&["setting-ignored", &format!("line {line}: <queue-size>")]);
}

#[test]
fn the_printed_toml_means_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = file(&directory, "addresses", "127.0.0.1\n# a remark\n\n192.0.2.7\n");
    let everything = with(&format!(
        "<hostname>h \"q\" \\ ö</hostname><location>W &amp; x</location><admin>a</admin>\n\
         <limits><clients>7</clients><sources>3</sources><header-timeout>4</header-timeout>\
         <source-timeout>9</source-timeout><burst-on-connect>0</burst-on-connect></limits>\n\
         <listen-socket><port>1</port><bind-address>::1</bind-address></listen-socket>\
         <listen-socket><port>2</port></listen-socket>\n\
         <paths><deny-ip>{addresses}</deny-ip><alias source=\"/stream/a\" destination=\"/a\"/></paths>\n\
         <security><changeowner><user>daemon</user></changeowner></security>\n\
         <mount type=\"default\"><source-timeout>8</source-timeout></mount>\n\
         <mount><mount-name>/own</mount-name><username>u</username><password>p</password>\
         <max-listeners>5</max-listeners><hidden>1</hidden><allow-ip>{addresses}</allow-ip></mount>\n\
         <mount><mount-name>/closed</mount-name><no-mount>1</no-mount><max-listeners>0</max-listeners></mount>"
    ));
    let files = [STATION.to_owned(), everything].into_iter().chain(debian());
    for (number, text) in files.enumerate() {
        let xml = file(&directory, &format!("{number}.xml"), &text);
        let printed = check(&xml, &["--print-toml"]);
        assert_eq!(printed.status.code(), Some(0), "{}", said(&printed.stderr));
        let toml = file(&directory, &format!("{number}.toml"), &said(&printed.stdout));
        let budgets = [&xml, &toml].map(|path| {
            let output = check(path, &[]);
            assert_eq!(output.status.code(), Some(0), "{path}: {}", said(&output.stderr));
            said(&output.stdout).replace(path.as_str(), "")
        });
        assert_eq!(budgets[0], budgets[1]);
        let load = |path: &str| Config::load(Path::new(path), &Environment::default()).unwrap();
        let (mut from_xml, mut from_toml) = (load(&xml), load(&toml));
        // Settings that are ignored are not in the TOML.
        from_xml.ignored.clear();
        for config in [&mut from_xml, &mut from_toml] {
            config.shown.warnings.clear();
        }
        from_xml.is_xml = false;
        assert_eq!(format!("{from_xml:?}"), format!("{from_toml:?}"));
    }
}

#[test]
fn a_setting_that_cannot_be_honoured_is_an_error_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let empty = file(&directory, "empty", "# nobody\n");
    let nonsense = file(&directory, "nonsense", "127.0.0.1\nsomewhere\n");
    let deep = format!("{}{}", "<a>".repeat(20), "</a>".repeat(20));
    let cases = [
        (
            with("<mount><mount-name>/a</mount-name>\n<authentication type=\"htpasswd\"/></mount>"),
            "line 4: <authentication> in a <mount> is not supported",
        ),
        (
            with("<listen-socket><port>1</port>\n\n<ssl>1</ssl></listen-socket>"),
            "line 5: <ssl> is not supported",
        ),
        (
            with("<listen-socket>\n<bind-address>::</bind-address></listen-socket>"),
            "line 3: <listen-socket> requires <port>",
        ),
        (with("<security>\n<chroot>1</chroot></security>"), "line 4: <chroot> is not supported"),
        (with("<security>\n<chroot>True</chroot></security>"), "line 4: <chroot> is not supported"),
        (
            with("<paths>\n<allow-ip>/nonexistent/x</allow-ip></paths>"),
            "line 4: <allow-ip>/nonexistent/x</allow-ip> cannot be read",
        ),
        (
            with("<paths>\n<deny-ip>/nonexistent/x</deny-ip></paths>"),
            "line 4: <deny-ip>/nonexistent/x</deny-ip> cannot be read",
        ),
        (
            with("<mount><mount-name>/a</mount-name>\n<allow-ip>/</allow-ip></mount>"),
            "line 4: <allow-ip>/</allow-ip> cannot be read",
        ),
        (with(&format!("<paths>\n<allow-ip>{empty}</allow-ip></paths>")), "line 4: <allow-ip>"),
        (
            with(&format!("<paths>\n<allow-ip>{nonsense}</allow-ip></paths>")),
            "line 4: invalid value [\"127.0.0.1\", \"somewhere\"] for <allow-ip> in <paths>: \"somewhere\"",
        ),
        (
            with(&format!(
                "<paths><deny-ip>{empty}</deny-ip></paths>\n<paths><deny-ip>{nonsense}</deny-ip></paths>"
            )),
            "line 4: duplicate <paths>",
        ),
        (
            with(&format!(
                "<paths><deny-ip>{empty}</deny-ip>\n<deny-ip>{nonsense}</deny-ip></paths>"
            )),
            "line 4: duplicate <deny-ip>",
        ),
        (
            with("<mount type=\"default\"/>\n<mount type=\"default\"/>"),
            "line 4: duplicate <mount type=\"default\">",
        ),
        (with("<mount>\n<public>1</public></mount>"), "line 3: <mount> requires <mount-name>"),
        (
            with(
                "<paths><alias source=\"/x/a\" destination=\"/a\"/>\n<alias source=\"/y/a\" destination=\"/a\"/></paths>",
            ),
            "line 3: the aliases have different prefixes",
        ),
        (
            with("<limits>\n<clients>many</clients></limits>"),
            "line 4: invalid value \"many\" for <clients> in <limits>; allowed: a whole number from 1",
        ),
        (
            with("<limits>\n\n<header-timeout>5m 3</header-timeout></limits>"),
            "line 5: invalid value \"5m 3\" for <header-timeout> in <limits>: unknown unit `m 3`",
        ),
        (with(&format!("\n{deep}")), "line 4: elements are nested too deep"),
        (
            "<icecast>\n<limits>\n".to_owned(),
            "line 2: not well-formed XML: the file ends before its first element is closed",
        ),
        (
            "<icecast>\n<limits>\n</icecast>".to_owned(),
            "line 3: not well-formed XML: expected 'limits' tag, not 'icecast'",
        ),
        (
            "<icecast>\n<location>&nbsp;</location></icecast>".to_owned(),
            "line 2: not well-formed XML: unknown entity reference 'nbsp'",
        ),
        ("<icecast>\n<location a=b/></icecast>".to_owned(), "line 2: not well-formed XML"),
        ("\n<html></html>".to_owned(), "line 2: <html> is not an Icecast configuration"),
        (
            format!("{}<icecast/>", with("")),
            "line 5: not well-formed XML: unexpected text or markup; everything must be inside the root element",
        ),
        ("<!-- nothing -->".to_owned(), "not well-formed XML: there is no element in the file"),
    ];
    for (text, wanted) in cases {
        let path = file(&directory, "icecast.xml", &text);
        for more in [&[][..], &["--print-toml"][..]] {
            // `--print-toml` does not check values; reading the TOML does.
            if more.is_empty() || !wanted.contains("invalid value") {
                let output = check(&path, more);
                let stderr = said(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{text}\n{stderr}");
                assert!(stderr.contains(&format!("{path}: {wanted}")), "{wanted}\n{stderr}");
                assert!(!stderr.contains(PASSWORD), "{stderr}");
            }
        }
    }
}

/// The status of a request from one of this machine's addresses.
fn asked_from(address: [u8; 4], server: &Daemon, target: &str) -> u16 {
    let mut socket = connect_from(address, server);
    write!(socket, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_head(&mut socket).status
}

const ONE: [u8; 4] = [127, 0, 0, 1];
const TWO: [u8; 4] = [127, 0, 0, 2];

#[test]
fn address_files_allow_and_deny_clients() {
    let directory = tempfile::tempdir().unwrap();
    let one = file(&directory, "one", "# this one\n127.0.0.1\n");
    let two = file(&directory, "two", "127.0.0.2\n");
    for server in [
        Daemon::of_text(with(&format!("<paths><allow-ip>{one}</allow-ip></paths>"))),
        Daemon::of_text(with(&format!("<paths><deny-ip>{two}</deny-ip></paths>"))),
    ] {
        let each = [ONE, TWO].map(|address| asked_from(address, &server, "/status-json.xsl"));
        assert_eq!(each, [200, 403]);
    }
    let server = Daemon::of_text(with(&format!(
        "<mount><mount-name>/one</mount-name><allow-ip>{one}</allow-ip></mount>\
         <mount><mount-name>/not-two</mount-name><deny-ip>{two}</deny-ip></mount>"
    )));
    let _sources = ["/one", "/not-two", "/all"].map(|mount| Source::connect(&server, mount, 1));
    for (mount, wanted) in [("/one", [200, 403]), ("/not-two", [200, 403]), ("/all", [200, 200])] {
        let each = [ONE, TWO].map(|address| asked_from(address, &server, mount));
        assert_eq!(each, wanted, "{mount}");
    }
}

#[test]
fn a_mount_element_configures_its_mount() {
    let server = Daemon::of_text(with(
        "<limits><source-timeout>9</source-timeout></limits>\n\
         <paths><alias source=\"/stream/open\" destination=\"/open\"/></paths>\n\
         <mount type=\"default\"><source-timeout>8</source-timeout></mount>\n\
         <mount><mount-name>/own</mount-name><username>garden</username><password>its own</password></mount>\n\
         <mount><mount-name>/hidden</mount-name><hidden>TRUE</hidden></mount>\n\
         <mount><mount-name>/nobody</mount-name><max-listeners>0</max-listeners></mount>\n\
         <mount><mount-name>/closed</mount-name><no-mount>2</no-mount><max-listeners>0</max-listeners></mount>\n\
         <mount><mount-name>/one</mount-name><max-listeners>1</max-listeners></mount>\n\
         <mount><mount-name>/all</mount-name><max-listeners>-1</max-listeners><no-mount>0</no-mount></mount>",
    ));
    let push = |login: String| {
        request(&server, &format!("PUT /own HTTP/1.0\r\n{login}Content-Length: 4\r\n\r\nRIFF"))
            .status
    };
    assert_eq!((push(login(PASSWORD)), push(login_as("garden", "its own"))), (401, 415));

    let mounts = ["/hidden", "/nobody", "/closed", "/one", "/all", "/open"];
    let _sources = mounts.map(|mount| Source::connect(&server, mount, 1));
    let status = get(&server, "/status-json.xsl").text();
    assert!(status.contains("/open") && !status.contains("/hidden"), "{status}");
    for (target, wanted) in [
        ("/hidden", 200),
        ("/nobody", 403),
        ("/closed", 403),
        ("/stream/open", 200),
        ("/elsewhere/open", 404),
    ] {
        assert_eq!(asked_from(ONE, &server, target), wanted, "{target}");
    }
    for (mount, most) in [("/one", 1), ("/all", 3)] {
        let listeners: Vec<_> =
            (0..most).map(|_| crate::client::Listener::join(&server, mount)).collect();
        let one_more = if mount == "/one" { 503 } else { 200 };
        assert_eq!(asked_from(ONE, &server, mount), one_more, "{mount}");
        drop(listeners);
    }
}
