//! The commands, as a person or a script calls them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use crate::client::{Listener, Source, get};
use crate::daemon::{Daemon, PASSWORD, silvacast};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn check(file: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silvacast.toml");
    std::fs::write(&path, file).unwrap();
    silvacast().args(["check", "--config"]).arg(path).output().unwrap()
}

#[test]
fn version_and_help_are_there_with_examples_and_exit_codes() {
    let version = silvacast().arg("--version").output().unwrap();
    assert_eq!(text(&version.stdout), format!("silvacast {}\n", env!("CARGO_PKG_VERSION")));
    let help = text(&silvacast().arg("--help").output().unwrap().stdout);
    for part in ["Examples:", "Exit codes:", "check", "health", "push", "demo", "--config"] {
        assert!(help.contains(part), "{part}");
    }
    assert_eq!(silvacast().arg("--cofnig").output().unwrap().status.code(), Some(2));
}

#[test]
fn check_says_every_error_at_once() {
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
        "line 9: invalid value \"10\" for `head_timeout` in [limits]; allowed: a duration from \"100ms\" to \"5m\"",
        "line 11: invalid value \"soon\" for `burst` in [mount-defaults]; allowed: \"auto\" or a duration",
        "line 13: invalid value \"1KiB\" for `ring` in [[mount]]; allowed: a size from \"128KiB\"",
        "line 12: each [[mount]] requires `name`; allowed: a mount name or a pattern",
        "line 14: unknown key `severs`; did you mean `server`?",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(said.lines().all(|line| line.starts_with("silvacast: ")), "{said}");
}

#[test]
fn check_says_syntax_errors_with_their_lines() {
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
    assert!(
        text(&output.stderr).contains("no source password; set `source_password_file` in [auth]")
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("source-password"), "geheim\n").unwrap();
    std::fs::write(directory.path().join("admin-password"), "geheim\n").unwrap();
    let file = directory.path().join("silvacast.toml");
    std::fs::write(&file, "").unwrap();
    let mut command = silvacast();
    command.env("CREDENTIALS_DIRECTORY", directory.path()).args(["check", "--config"]).arg(file);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("geheim"));
}

#[test]
fn health_is_zero_or_one() {
    let server = Daemon::start();
    let health = |url: &str| silvacast().args(["health", "--url", url]).output().unwrap();
    assert_eq!(health(&server.url("/healthz")).status.code(), Some(0));
    let sick = health(&server.url("/nothing"));
    assert_eq!(sick.status.code(), Some(1));
    assert!(text(&sick.stderr).contains("it answers 404"));
    assert_eq!(health("http://127.0.0.1:1/healthz").status.code(), Some(1));
    assert_eq!(health("nonsense").status.code(), Some(2));
    let by_port =
        silvacast().arg("health").env("SILVASONIC_ICECAST_PORT", server.port.to_string()).output();
    assert_eq!(by_port.unwrap().status.code(), Some(0));
}

#[test]
fn a_busy_address_is_said_with_the_way_out() {
    let server = Daemon::start();
    let output = silvacast()
        .arg("demo")
        .env("SILVASONIC_ICECAST_PORT", server.port.to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("SILVASONIC_ICECAST_PORT chooses another port"));
}

/// A command that runs on, and its standard output.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Reads its output until a line holds `part`.
    fn line(&mut self, part: &str) -> String {
        let mut lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        lines.find_map(|line| line.ok().filter(|line| line.contains(part))).expect(part)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_a_configuration_it_prints_what_to_paste() {
    let mut server = Running::start(silvacast().env("SILVASONIC_ICECAST_PORT", "0"));
    let line = server.line("ffmpeg ");
    let url = line.split("icecast://source:").nth(1).unwrap();
    let (password, rest) = url.split_once('@').unwrap();
    assert!(password.len() >= 20 && rest.starts_with("127.0.0.1:"), "{line}");
    let output = silvacast()
        .args(["push", concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/missing.opus")])
        .arg(format!("icecast://source:{password}@{rest}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "a file that is not there");
}

#[test]
fn push_plays_a_clip_to_a_mount_and_around_its_end_without_a_break() {
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
    let _push = Running::start(&mut command);
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
fn push_comes_back_and_gives_up_only_where_it_is_refused() {
    let server = Daemon::start();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/dawn.opus");
    let wrong = silvacast()
        .args(["push", clip, &server.url("/m").replace("http://", "http://source:bad@")])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("Wrong user or password"));
    let _push = Running::start(silvacast().args(["push", clip, &server.push_url("/m")]));
    server.wait_for_line(&["stream-began"]);
    let _other = Source::connect(&server, "/m", 1);
    server.wait_for_line(&["source-ended", "took the mount over"]);
    server.wait_for_lines(&["stream-spliced"], 2);
}

#[test]
fn the_demo_has_two_microphones() {
    let mut demo = Running::start(silvacast().arg("demo").env("SILVASONIC_ICECAST_PORT", "0"));
    let line = demo.line("/mic-demo-night.opus");
    let port: u16 = line.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
    let mut log = BufReader::new(demo.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    for _ in 0..2 {
        log.find(|line| line.contains("stream-began")).unwrap();
    }
    for mount in ["/mic-demo-dawn.opus", "/mic-demo-night.opus"] {
        let mut listener = Listener::join(&port, mount);
        listener.headers();
        assert!(listener.page().is_some());
    }
    assert_eq!(get(&port, "/status-json.xsl").status, 200);
}
