//! The commands, as a person or a script calls them.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Output, Stdio};

use silvacast::config::{KEYS, Row};

use crate::client::{Listener, Source, get};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::port::Port;
use crate::process::{Pipe, Run, Running};
use crate::wait::{PATIENCE, until_received};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn check(file: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silvacast.toml");
    std::fs::write(&path, file).unwrap();
    silvacast().args(["check", "--config"]).arg(path).run()
}

#[test]
fn version_and_help_are_there_with_examples_and_exit_codes() {
    let version = silvacast().arg("--version").run();
    assert_eq!(text(&version.stdout), format!("silvacast {}\n", env!("CARGO_PKG_VERSION")));
    let help = text(&silvacast().arg("--help").run().stdout);
    for part in ["Examples:", "Exit codes:", "check", "health", "push", "demo", "--config"] {
        assert!(help.contains(part), "{part}");
    }
    assert_eq!(silvacast().arg("--cofnig").run().status.code(), Some(2));
}

#[test]
fn check_reports_every_error_at_once() {
    let output = check(
        "listne = []\nworkers = 0\n[auth]\nsource_password = 5\nadmin_password_file = \"/nonexistent/x\"\n\
         [limits]\nlisteners = \"many\"\nring = \"1MiB\"\nhead_timeout = \"10\"\n\
         [mount-defaults]\nburst = \"soon\"\n[[mount]]\nring = \"1KiB\"\n[severs]\n",
    );
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    for part in [
        "line 1: unknown key `listne`; did you mean `listen`?",
        "line 2: invalid value 0 for `workers`; allowed: a whole number from 1 to 64",
        "line 4: invalid value *** for `source_password` in [auth]; allowed: text in quotes",
        "line 5: cannot read the admin password from /nonexistent/x",
        "line 7: invalid value \"many\" for `listeners` in [limits]; allowed: a whole number from 1 to 100000",
        "line 8: unknown key `ring` in [limits]; `ring` belongs in [mount-defaults]",
        "line 9: invalid value \"10\" for `head_timeout` in [limits]: the unit is missing; units: ms, s",
        "line 11: invalid value \"soon\" for `burst` in [mount-defaults]: it must begin with a whole number",
        "line 13: invalid value \"1KiB\" for `ring` in [[mount]]; allowed: a time such as \"5m\", or a size from \"128KiB\"",
        "line 12: each [[mount]] requires `name`; allowed: a mount name or a pattern",
        "line 14: unknown key `severs`; did you mean `server`?",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(said.lines().all(|line| line.starts_with("silvacast: ")), "{said}");
}

#[test]
fn check_reports_syntax_errors_with_line_numbers() {
    let output = check("listen = [\n\n[auth\nsource_password = \"x\"\nworkers = = 1\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("line 5"), "{}", text(&output.stderr));
}

#[test]
fn check_itemises_the_worst_case() {
    let auth = "[auth]\nsource_password = \"a\"\nadmin_password = \"b\"\n";
    let output =
        check(&format!("{auth}[limits]\nsources = 4\n[mount-defaults]\nring = \"1MiB\"\n"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("4.00 MiB  4 × a mount's ring"), "{said}");
    assert!(said.contains("in all"), "{said}");
}

#[test]
fn a_missing_password_is_an_error_and_credentials_are_found() {
    let output = check("");
    let said = text(&output.stderr);
    assert!(said.contains("no source password; set `source_password_file` in [auth]"), "{said}");
    // The table says "required" of the keys that are missing, and of no other.
    let ways = KEYS.all().filter(|row| row.is_one_way_to_give_a_password()).map(Row::name);
    let files: Vec<_> = ways.filter(|name| name.ends_with("_file")).collect();
    assert!(files.iter().all(|name| said.contains(&format!("set `{name}`"))), "{said}");
    assert_eq!(said.lines().count(), files.len(), "{said}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("source-password"), "geheim\n").unwrap();
    std::fs::write(directory.path().join("admin-password"), "geheim\n").unwrap();
    let file = directory.path().join("silvacast.toml");
    std::fs::write(&file, "").unwrap();
    let mut command = silvacast();
    command.env("CREDENTIALS_DIRECTORY", directory.path()).args(["check", "--config"]).arg(file);
    let output = command.run();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("geheim"));
}

#[test]
fn health_is_zero_or_one() {
    let server = Daemon::start();
    let health = |url: &str| silvacast().args(["health", "--url", url]).run();
    assert_eq!(health(&server.url("/healthz")).status.code(), Some(0));
    let sick = health(&server.url("/nothing"));
    assert_eq!(sick.status.code(), Some(1));
    assert!(text(&sick.stderr).contains("it responds with 404"));
    let free = Port::reserve();
    let nobody = format!("http://127.0.0.1:{}/healthz", free.number());
    assert_eq!(health(&nobody).status.code(), Some(1));
    assert_eq!(health("nonsense").status.code(), Some(2));
    let by_port =
        silvacast().arg("health").env("SILVASONIC_ICECAST_PORT", server.port.to_string()).run();
    assert_eq!(by_port.status.code(), Some(0));
}

#[test]
fn an_address_in_use_is_reported_with_a_remedy() {
    let server = Daemon::start();
    let output =
        silvacast().arg("demo").env("SILVASONIC_ICECAST_PORT", server.port.to_string()).run();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("SILVASONIC_ICECAST_PORT chooses another port"));
}

/// Reads lines until `count` of them contain `part`, and returns the last one.
fn line(pipe: Pipe<impl Read + AsFd>, part: &str, count: usize) -> String {
    let (mut lines, mut found) = (BufReader::new(pipe).lines(), 0);
    until_received(&format!("{count} lines with {part:?}"), PATIENCE, || {
        let line = lines.next().expect("the output has ended").unwrap();
        found += usize::from(line.contains(part));
        if found == count { Ok(line) } else { Err(line) }
    })
}

#[test]
fn without_a_configuration_it_prints_what_to_paste() {
    let mut command = silvacast();
    command.env("SILVASONIC_ICECAST_PORT", "0").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Running::start(&mut command);
    let line = line(server.stdout(), "ffmpeg ", 1);
    let url = line.split("icecast://source:").nth(1).unwrap();
    let (password, rest) = url.split_once('@').unwrap();
    assert!(password.len() >= 20 && rest.starts_with("127.0.0.1:"), "{line}");
    let output = silvacast()
        .args(["push", concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/missing.opus")])
        .arg(format!("icecast://source:{password}@{rest}"))
        .run();
    assert_eq!(output.status.code(), Some(2), "a file that is not there");
}

#[test]
fn push_loops_a_clip_without_a_break() {
    let server = Daemon::start();
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("clip.opus");
    let mut bytes = crate::ogg::headers(9);
    (0..10).for_each(|n| bytes.extend(crate::ogg::audio(9, n, 100)));
    std::fs::write(&clip, bytes).unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let mut command = silvacast();
    command
        .args(["push", "--loop", "--password-file"])
        .arg(&password)
        .arg(&clip)
        .arg(server.url("/clip.opus"));
    let _push = Running::start_quietly(&mut command);
    server.wait_for_line(&["stream-began", "/clip.opus"]);
    let mut listener = Listener::join(&server, "/clip.opus?burst=0ms");
    assert_eq!(listener.headers(), crate::ogg::headers(9));
    let mut last = None;
    for _ in 0..25 {
        let page = listener.page().unwrap();
        let page = crate::ogg::next_page(&mut &page[..]).unwrap();
        let place = (page.sequence(), page.granule().unwrap());
        if let Some((sequence, granule)) = last {
            assert_eq!(place, (sequence + 1, granule + 960));
        }
        last = Some(place);
    }
}

#[test]
fn push_reconnects_and_gives_up_only_when_refused() {
    let server = Daemon::start();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/dawn.opus");
    let wrong = silvacast()
        .args(["push", clip, &server.url("/m").replace("http://", "http://source:bad@")])
        .run();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("Wrong user or password"));
    let _push = Running::start_quietly(silvacast().args(["push", clip, &server.push_url("/m")]));
    server.wait_for_line(&["stream-began"]);
    let _other = Source::connect(&server, "/m", 1);
    server.wait_for_line(&["source-ended", "took the mount over"]);
    server.wait_for_lines(&["stream-spliced"], 2);
}

#[test]
fn the_demo_has_two_microphones() {
    let mut command = silvacast();
    command.arg("demo").env("SILVASONIC_ICECAST_PORT", "0");
    let mut demo = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let url = line(demo.stdout(), "/mic-demo-night.opus", 1);
    let port: u16 = url.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
    line(demo.stderr(), "stream-began", 2);
    for mount in ["/mic-demo-dawn.opus", "/mic-demo-night.opus"] {
        let mut listener = Listener::join(&port, mount);
        listener.headers();
        assert!(listener.page().is_some());
    }
    assert_eq!(get(&port, "/status-json.xsl").status, 200);
}
