//! Who may listen, and who may send.

use std::process::Command;

use tempfile::TempDir;

use crate::client::{Listener, Source, get, get_with, login, login_as, read_head, request};
use crate::daemon::{ADMIN_PASSWORD, Daemon, PASSWORD, silvacast};
use crate::process::Run;
use crate::share;

pub(crate) const TOKEN: &str = "0123456789abcdef-token";

/// A server with a mount of each kind, and the files that they need.
pub(crate) fn server(directory: &TempDir) -> Daemon {
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let users = file("users", &htpasswd("anna", "vögel"));
    let tokens = file("tokens", &format!("# who\nweb:{TOKEN}\n"));
    let key = file("key", &"k".repeat(40));
    Daemon::with(
        "trusted_proxies = [\"127.0.0.1\"]",
        &format!(
            "share_key_file = {key:?}\n\
             [[mount]]\nname = \"/password\"\naccess = \"password\"\nlisteners_file = {users:?}\n\
             [[mount]]\nname = \"/token\"\naccess = \"token\"\ntokens_file = {tokens:?}\n\
             [[mount]]\nname = \"/closed\"\naccess = \"closed\"\n\
             [[mount]]\nname = \"/near\"\nallow = [\"100.64.0.0/10\"]\ndeny = [\"100.64.0.9\"]\n\
             [[mount]]\nname = \"/own\"\nsource_user = \"garden\"\nsource_password = \"its own\"\n\
             [[mount]]\nname = \"/hidden\"\nhidden = true\n"
        ),
    )
}

/// A line that htpasswd wrote.
fn htpasswd(user: &str, password: &str) -> String {
    let output = Command::new("htpasswd").args(["-nbB", "-C", "5", user, password]).run();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

/// The status of a listener's request, by HEAD and by GET.
pub(crate) fn status(server: &Daemon, target: &str, fields: &str) -> u16 {
    let head = format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let asked = request(server, &head).status;
    let mut socket = crate::client::connect(server);
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
    let got = read_head(&mut socket).status;
    assert_eq!(asked, got, "HEAD and GET of {target}");
    got
}

#[test]
fn each_mount_admits_the_listeners_that_it_is_configured_for() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let _sources: Vec<_> = ["/password", "/token", "/closed", "/near", "/hidden", "/open"]
        .map(|mount| Source::connect(&server, mount, 1))
        .into();
    assert_eq!(status(&server, "/open", ""), 200);
    assert_eq!(status(&server, "/closed", &login(PASSWORD)), 403);

    let ask = get(&server, "/password");
    assert_eq!(ask.status, 401);
    assert!(ask.field("www-authenticate").unwrap().starts_with("Basic realm="));
    assert_eq!(status(&server, "/password", &login_as("anna", "vögel")), 200);
    assert_eq!(status(&server, "/password", &login_as("anna", "vogel")), 401);
    assert_eq!(status(&server, "/password", &login_as("bert", "vögel")), 401);

    let ask = get_with(&server, "/token", &from("192.0.2.1"));
    assert_eq!(ask.status, 401);
    assert!(ask.field("www-authenticate").unwrap().starts_with("Bearer "));
    assert_eq!(status(&server, &format!("/token?token={TOKEN}"), ""), 200);
    assert_eq!(status(&server, "/token", &format!("Authorization: Bearer {TOKEN}\r\n")), 200);
    assert_eq!(status(&server, &format!("/token?token={TOKEN}x"), &from("192.0.2.1")), 401);

    assert_eq!(status(&server, "/near", ""), 403);
    assert_eq!(status(&server, "/near", &from("100.64.0.8")), 200);
    assert_eq!(status(&server, "/near", &from("100.64.0.9")), 403);
    assert!(server.lines().iter().all(|line| !line.contains(TOKEN) && !line.contains("vögel")));

    // A hidden mount can be heard, and no page lists it.
    assert_eq!(status(&server, "/hidden", ""), 200);
    for page in ["/status-json.xsl", "/api/v1/mounts", "/metrics"] {
        let text = get(&server, page).text();
        assert!(text.contains("/open") && !text.contains("/hidden"), "{page}: {text}");
    }
}

#[test]
fn guessing_locks_out_the_guesser_and_no_source() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let _sources = ["/password", "/token"].map(|mount| Source::connect(&server, mount, 1));
    let guesser = from("192.0.2.7");
    let wrong = format!("{}{guesser}", login_as("anna", "?"));
    let right = format!("{}{guesser}", login_as("anna", "vögel"));
    for _ in 0..5 {
        assert_eq!(get_with(&server, "/password", &wrong).status, 401);
    }
    assert_eq!(get_with(&server, "/password", &right).status, 429);
    assert_eq!(get_with(&server, "/token?token=guessed", &guesser).status, 429);
    assert_eq!(status(&server, "/password", &login_as("anna", "vögel")), 200, "another client");
    let push =
        format!("PUT /x HTTP/1.0\r\n{}{guesser}Content-Length: 4\r\n\r\nRIFF", login(PASSWORD));
    assert_eq!(request(&server, &push).status, 415, "a Recorder at the same address");
}

#[test]
fn passwords_are_checked_while_streams_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let mut source = Source::connect(&server, "/password", 1);
    let mut listener = Listener::join_with(&server, "/password", &login_as("anna", "vögel"));
    listener.headers();
    // Each check of a password takes long; pages do not wait for it.
    let mut waiting = Vec::new();
    for n in 0..40 {
        let mut socket = crate::client::connect(&server);
        let fields = format!("{}{}", login_as("anna", "?"), from(&format!("192.0.2.{n}")));
        let head = format!("GET /password HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
        waiting.push(socket);
        source.send(1, 100);
        assert_eq!(listener.number(), n);
    }
    for mut socket in waiting {
        assert!(matches!(read_head(&mut socket).status, 401 | 503));
    }
}

#[test]
fn a_mount_with_a_password_of_its_own_takes_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let push = |mount: &str, login: String| {
        request(&server, &format!("PUT {mount} HTTP/1.0\r\n{login}Content-Length: 4\r\n\r\nRIFF"))
            .status
    };
    assert_eq!(push("/own", login(PASSWORD)), 401);
    assert_eq!(push("/own", login_as("garden", "its own")), 415);
    assert_eq!(push("/open", login_as("garden", "its own")), 401);
    assert_eq!(push("/open", login(PASSWORD)), 415);
}

#[test]
fn a_link_opens_its_mount_until_its_key_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let _sources = ["/token", "/password"].map(|mount| Source::connect(&server, mount, 1));
    let print = |arguments: &[&str]| {
        let output =
            silvacast().arg("share").arg("--config").arg(server.file()).args(arguments).run();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) =
        print(&["--mount", "/token", "--for", "2h", "--url", "https://birds.example/stream/"]);
    assert_eq!(code, Some(0), "{said}");
    let base = "https://birds.example/stream";
    let link = share::path(&said, "stream", base);
    assert_eq!(status(&server, link, ""), 200);
    // The page has the link in its address, and the playlist too.
    let query = link.strip_prefix("/token?").unwrap();
    assert_eq!(share::path(&said, "page", base), format!("/?mount=/token&{query}"));
    assert_eq!(share::path(&said, "playlist", base), format!("/token.m3u?{query}"));
    for (mount, warning) in
        [("/open", "is open to everybody"), ("/closed", "no link opens it"), ("/token", "")]
    {
        let (code, said) = print(&["--mount", mount, "--for", "2h"]);
        assert_eq!((code, said.contains("silvacast: /")), (Some(0), !warning.is_empty()), "{said}");
        assert!(said.contains(warning), "{said}");
    }
    // A playlist for the link has the link.
    let playlist = get(&server, &link.replace("/token?", "/token.m3u?")).text();
    let listed = playlist.lines().last().unwrap().strip_prefix("http://x").unwrap();
    assert_eq!((listed, status(&server, listed, "")), (link, 200));
    assert_eq!(status(&server, &link.replace("/token", "/password"), ""), 403);
    assert_eq!(status(&server, &link.replace("expires=1", "expires=2"), ""), 403);
    for (wrong, said) in [
        (["--mount", "token", "--for", "2h"], "must begin with a slash"),
        (["--mount", "/token", "--for", "soon"], "it takes a duration"),
        (["--mount", "/token", "--for", "0s"], "it takes a duration"),
    ] {
        let (code, text) = print(&wrong);
        assert!(code == Some(2) && text.contains(said), "{text}");
    }
    // A listener that came by a link is disconnected when the link expires.
    let (_, short) = print(&["--mount", "/token", "--for", "2s", "--url", "http://x"]);
    let mut listener = Listener::join(&server, share::path(&short, "stream", "http://x"));
    listener.headers();
    assert_eq!(listener.page(), None);
    server.wait_for_line(&["listener-left", "the listener's link has expired"]);

    std::fs::write(directory.path().join("key"), "another".repeat(8)).unwrap();
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_line(&["event=\"reloaded\""]);
    assert_eq!(status(&server, link, ""), 403);
}

#[test]
fn the_administrator_gets_links_from_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let _source = Source::connect(&server, "/token", 1);
    let path = "/api/v1/mounts/token/link?for=2h";
    assert_eq!(get(&server, path).status, 401);
    let response = get_with(&server, path, &login_as("admin", ADMIN_PASSWORD));
    assert_eq!((response.status, response.field("cache-control")), (200, Some("no-store")));
    let link: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let stream = link["stream"].as_str().unwrap().strip_prefix("http://x").unwrap();
    assert_eq!(status(&server, stream, ""), 200);
    let query = stream.strip_prefix("/token?").unwrap();
    assert_eq!(link["page"], format!("http://x/?mount=/token&{query}"));
    assert_eq!(link["playlist"], format!("http://x/token.m3u?{query}"));
    assert_eq!(link["doubt"], serde_json::Value::Null);
    let asked = |path: &str| get_with(&server, path, &login_as("admin", ADMIN_PASSWORD));
    let open = asked("/api/v1/mounts/open/link?for=1d").text();
    assert!(open.contains("/open is open to everybody"), "{open}");
    for wrong in ["", "?for=0s", "?for=9000h", "?for=soon"] {
        let response = asked(&format!("/api/v1/mounts/token/link{wrong}"));
        assert_eq!(response.status, 400, "{wrong}");
    }
    assert!(server.lines().iter().all(|line| !line.contains("signature=")));

    let without = Daemon::start();
    let response = get_with(&without, path, &login_as("admin", ADMIN_PASSWORD));
    assert_eq!((response.status, response.text().contains("share_key_file")), (409, true));
}

#[test]
fn clients_in_a_denied_network_are_refused() {
    let server = Daemon::with("trusted_proxies = [\"127.0.0.1\"]\ndeny = [\"192.0.2.0/24\"]", "");
    assert_eq!(get_with(&server, "/healthz", &from("192.0.2.1")).status, 403);
    assert_eq!(get_with(&server, "/healthz", &from("198.51.100.1")).status, 200);
    assert_eq!(get(&server, "/healthz").status, 200);
}

#[test]
fn a_login_beside_a_token_is_neither_taken_for_right_nor_an_excuse_for_a_guess() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory);
    let _source = Source::connect(&server, "/token", 1);
    // A listener that sends a guess of the administrator's password beside its right token.
    let guess =
        |number: u32| format!("{}{}", login_as("admin", &number.to_string()), from("192.0.2.8"));
    let mut answers = Vec::new();
    for number in 0..6 {
        let fields = guess(number);
        let target = format!("/token?token={TOKEN}");
        let head = format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        assert_eq!(request(&server, &head).status, 200);
        answers.push(get_with(&server, "/admin/stats", &fields).status);
    }
    assert_eq!(answers, [401, 401, 401, 401, 401, 429]);
    // A source's right login does not make guesses of tokens go uncounted.
    let fields = format!("{}{}", login(PASSWORD), from("192.0.2.9"));
    let guesses: Vec<_> = (0..6)
        .map(|number| get_with(&server, &format!("/token?token=guess-{number}"), &fields).status)
        .collect();
    assert_eq!(guesses, [401, 401, 401, 401, 401, 429]);
}
