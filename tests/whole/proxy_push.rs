//! Encoders that push through a proxy: what works, and who is told where it cannot.

use std::io::Write;
use std::process::Command;

use crate::client::{Listener, Server, Source, connect, get, login, read_head};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;
use crate::players::{OPUS, ffmpeg_source};
use crate::process::Run;
use crate::proxies::Proxy;
use crate::wait::{PATIENCE, until};

/// The directives with which nginx passes an upload on while it comes.
const NGINX: &str = "location / {\n proxy_pass http://UPSTREAM;\n proxy_http_version 1.1;\n \
                     proxy_request_buffering off;\n client_max_body_size 0;\n }";

/// A proxy in front of this server.
type Start = fn(&Daemon) -> Proxy;

fn caddy(server: &Daemon) -> Proxy {
    Proxy::caddy(server, "reverse_proxy UPSTREAM")
}

fn nginx(server: &Daemon) -> Proxy {
    Proxy::nginx(server, NGINX)
}

const PROXIES: [(&str, Start); 3] =
    [("Caddy", caddy), ("nginx", nginx), ("HAProxy", Proxy::haproxy)];

#[test]
fn ffmpeg_pushes_in_chunks_through_every_proxy() {
    for (name, start) in PROXIES {
        let server = Daemon::with("trusted_proxies = [\"127.0.0.1\"]", "");
        let proxy = start(&server);
        let url = format!("http://source:{PASSWORD}@127.0.0.1:{}/m.opus", proxy.port());
        let line = ["-method", "PUT", "-chunked_post", "1", "-auth_type", "basic"];
        let line = [&line[..], &["-content_type", "audio/ogg", "-f", "ogg", &url]].concat();
        let _source = ffmpeg_source(&OPUS, &line);
        server.wait_for_line(&["stream-began", "/m.opus"]);
        let mut listener = Listener::join(&server, "/m.opus?burst=0ms");
        listener.headers();
        (0..50).for_each(|_| assert!(listener.page().is_some(), "{name}: the stream ended"));
    }
}

#[test]
fn an_upload_that_a_proxy_takes_for_empty_is_a_warning_that_names_the_cause() {
    const TIMEOUT: &str = "[mount-defaults]\nsource_timeout = \"1s\"";
    for (name, start) in PROXIES {
        let server = Daemon::with("trusted_proxies = [\"127.0.0.1\"]", TIMEOUT);
        let proxy = start(&server);
        let url = format!("icecast://source:{PASSWORD}@127.0.0.1:{}/m.opus", proxy.port());
        let line = ["-t", "2", "-content_type", "audio/ogg", "-f", "ogg", &url];
        let mut ffmpeg = ffmpeg_source(&OPUS, &line);
        let line = server.wait_for_line(&["a proxy on the way", "-chunked_post 1"]);
        assert!(line.contains("WARN"), "{name}: {line}");
        let status = ffmpeg.wait(PATIENCE);
        // nginx tells FFmpeg to continue before it asks the server, and then nobody can tell FFmpeg.
        assert!(name == "nginx" || !status.success(), "{name}: FFmpeg noticed nothing");
        assert!(get(&server, "/api/v1/mounts").text().contains("[]"));
    }
}

#[test]
fn an_empty_body_takes_no_place_and_no_mount() {
    let server = Daemon::with("", "[limits]\nsources = 1");
    let login = login(PASSWORD);
    let put = |fields: &str, body: &str| {
        let mut socket = connect(&server);
        write!(socket, "PUT /other HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}").unwrap();
        read_head(&mut socket).status
    };
    let empty = format!("{login}Content-Length: 0\r\n");
    // The login comes first, so nobody else learns more than before.
    assert_eq!(put("Content-Length: 0\r\n", ""), 401);
    for fields in [&empty, &format!("{empty}Expect: 100-continue\r\n")] {
        assert_eq!(put(fields, ""), 400);
    }
    let chunked = format!("{login}Transfer-Encoding: chunked\r\n");
    assert_eq!(put(&chunked, "0\r\n\r\n"), 400);
    server.wait_for_line(&["WARN", "source-ended", "an empty body", "mount=\"/other\""]);
    // The only place is free, and it is not lost to an empty body either.
    let mut source = Source::connect(&server, "/m", 1);
    let lines = |text: &str| server.count_lines(&[text]);
    let connected = lines("source-connected");
    assert_eq!(put(&empty, ""), 400, "not 403: too many sources");
    assert_eq!(lines("source-connected"), connected);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    source.send(1, 100);
    assert_eq!(listener.number(), 0);
    for (fields, body) in [(&empty, ""), (&chunked, "0\r\n\r\n")] {
        let mut socket = connect(&server);
        write!(socket, "PUT /m HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}").unwrap();
        assert_eq!(read_head(&mut socket).status, 400);
        source.send(1, 100);
        listener.number();
    }
    source.leave();
}

#[test]
fn curl_is_told_that_its_upload_was_empty() {
    let server = Daemon::start();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body", "-T", "-", "-u", &format!("source:{PASSWORD}")]);
    let output = curl.arg(server.url("/m")).run_with_input(b"");
    assert_eq!(output.status.code(), Some(22), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("the source sent an empty body"), "{said}");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body", "-T", "-", "-u", &format!("source:{PASSWORD}")]);
    let output = curl.arg(server.url("/m")).run_with_input(&ogg::headers(1));
    assert!(output.status.success(), "{output:?}");
    until("the stream", PATIENCE, || {
        let began = server.count_lines(&["stream-began"]);
        if began == 1 { Ok(()) } else { Err(began) }
    });
}
