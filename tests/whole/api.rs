//! Plain JSON, metrics and playlists.

use std::io::Write;

use serde_json::Value;

use crate::client::{Listener, Source, admin, connect, get, get_with, login, read_head, request};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;
use crate::wait::{PATIENCE, until};

fn json(server: &Daemon, path: &str) -> Value {
    let answer = get(server, path);
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (200, Some("application/json")),
        "{path}"
    );
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_mount_has_every_documented_field() {
    let server = Daemon::start();
    assert_eq!(
        json(&server, "/api/v1/mounts"),
        serde_json::json!({"station": null, "mounts": [], "off": []})
    );
    let mut source = Source::connect(&server, "/mic%20%C3%B6.opus", 1);
    let mut listener = Listener::join(&server, "/mic%20%C3%B6.opus");
    listener.headers();
    source.send(50, 160);
    (0..50).for_each(|number| assert_eq!(listener.number(), number));
    let mount = json(&server, "/api/v1/mounts/mic%20%C3%B6.opus");
    for (field, wanted) in [
        ("name", Value::from("/mic ö.opus")),
        ("state", "live".into()),
        ("codec", "Opus".into()),
        ("channels", 1.into()),
        ("sample_rate", 48_000.into()),
        ("page_ms", 20.0.into()),
        ("listeners", 1.into()),
        ("listener_peak", 1.into()),
        ("pages_in", 50.into()),
        ("title", "Dusk".into()),
        ("access", "public".into()),
        ("gaps", 0.into()),
        ("splices", 0.into()),
        ("max_listeners", Value::Null),
    ] {
        assert_eq!(mount[field], wanted, "{field} in {mount}");
    }
    assert!(
        mount["bitrate"].as_u64().unwrap() > 0
            && mount["seconds_since_page"].as_f64().unwrap() < 60.0
    );
    assert_eq!(mount["clock"]["granule"].as_u64().unwrap() % 960, 0);
    assert!(mount["clock"]["unix_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(json(&server, "/api/v1/mounts")["mounts"][0]["name"], "/mic ö.opus");

    let missing = get(&server, "/api/v1/mounts/nothing");
    assert_eq!((missing.status, missing.field("content-type")), (404, Some("application/json")));
    assert!(serde_json::from_slice::<Value>(&missing.body).unwrap()["error"].is_string());
    let delete = request(&server, "DELETE /api/v1/mounts HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((delete.status, delete.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn only_the_administrator_can_list_listeners() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let _listener = Listener::join_with(&server, "/m", "User-Agent: ear\r\n");
    assert_eq!(get(&server, "/api/v1/listeners").status, 401);
    let answer = get_with(&server, "/api/v1/listeners", &admin());
    let all: Value = serde_json::from_slice(&answer.body).unwrap();
    let one = &all["listeners"][0];
    assert_eq!(
        (&one["mount"], &one["agent"], &one["address"]),
        (&"/m".into(), &"ear".into(), &"127.0.0.1".into())
    );
}

#[test]
fn the_administrator_sees_the_limits_and_how_much_is_used() {
    let station =
        "[server]\nname = \"Reed bed\"\nlocation = \"Wood\"\nadmin = \"me@wood.example\"\n";
    let sections = |limits: &str| {
        format!("{station}[limits]\n{limits}\n[[mount]]\nname = \"/nest\"\nhidden = true")
    };
    let server = Daemon::with(
        "",
        &sections("sources = 3\nlisteners = 5\nconnections_per_ip = 30\nrequest_head = \"4KiB\""),
    );
    for fields in ["", &*login(PASSWORD)] {
        assert_eq!(get_with(&server, "/api/v1/server", fields).status, 401, "{fields}");
    }
    let ask = || {
        let answer = get_with(&server, "/api/v1/server", &admin());
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let limit = |limit: usize, used: usize| serde_json::json!({"limit": limit, "used": used});
    let empty = ask();
    assert_eq!(empty["software"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(empty["station"]["name"], "Reed bed");
    assert_eq!(empty["station"]["location"], "Wood");
    assert_eq!(empty["station"]["admin"], "me@wood.example");
    assert_eq!((&empty["mounts"], &empty["limits"]["sources"]), (&0.into(), &limit(3, 0)));
    assert_eq!(empty["limits"]["request_head_bytes"], 4096);
    assert!(empty["uptime_seconds"].is_u64() && empty["started"].is_string(), "{empty}");

    let _sources = [Source::connect(&server, "/m", 1), Source::connect(&server, "/nest", 2)];
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    let used = ask();
    assert_eq!(used["mounts"], 2, "hidden mounts count too");
    assert_eq!(used["limits"]["sources"], limit(3, 2));
    assert_eq!(used["limits"]["listeners"], limit(5, 1));
    let connections = &used["limits"]["connections_per_ip"];
    assert_eq!(connections["limit"], 30);
    // Two sources, a listener, and the request itself.
    assert!((4..=30).contains(&connections["used"].as_u64().unwrap()), "{connections}");

    let memory = &used["memory"];
    let parts = memory["parts"].as_array().unwrap();
    let sum: u64 = parts.iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert!(memory["ceiling_bytes"] == sum && parts.len() > 5, "{memory}");
    let resident = memory["resident_bytes"].as_u64().unwrap();
    assert!(resident > 0 && resident < sum, "{memory}");
    for part in parts {
        let product = part["count"].as_u64().unwrap() * part["each_bytes"].as_u64().unwrap();
        assert_eq!(part["bytes"], product, "{part}");
    }

    server.configure(PASSWORD, "", &sections("listeners = 6\nconnections_per_ip = 0"));
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_line(&["reloaded"]);
    let limits = &ask()["limits"];
    assert_eq!(limits["listeners"], limit(6, 1));
    let none = serde_json::json!({"limit": null, "used": null});
    assert_eq!(limits["connections_per_ip"], none);
}

#[test]
fn prometheus_can_read_the_metrics() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m%22", 1);
    let mut listener = Listener::join(&server, "/m%22");
    listener.headers();
    source.send(3, 100);
    assert_eq!(listener.number(), 0);
    assert_eq!(get(&server, "/nothing").status, 404);
    let answer = get(&server, "/metrics");
    let kind = answer.field("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = answer.text();
    for line in [
        r#"silvacast_source_pages_total{mount="/m\""} 3"#,
        r#"silvacast_listeners{mount="/m\""} 1.0"#,
        r#"silvacast_live{mount="/m\""} 1.0"#,
        "silvacast_listener_connections_total 1",
        "silvacast_join_seconds_count 1",
        r#"silvacast_refused_requests_total{status="404"} 1"#,
        "silvacast_journal_dropped_lines_total 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && text.contains("silvacast_memory_ceiling_bytes "));
}

#[test]
fn a_playlist_has_the_url_that_the_client_used() {
    let server = Daemon::with("path_prefix = \"/stream\"\ntrusted_proxies = [\"127.0.0.1\"]", "");
    let login = login(PASSWORD);
    let mut socket = connect(&server);
    write!(socket, "SOURCE /mic%20a.opus HTTP/1.0\r\n{login}Ice-Name: The pond\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    socket.write_all(&ogg::headers(1)).unwrap();
    server.wait_for_line(&["stream-began"]);
    let forwarded = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: birds.example\r\n";
    let answer = get_with(&server, "/stream/mic%20a.opus.m3u", forwarded);
    assert_eq!(answer.field("content-type"), Some("audio/x-mpegurl; charset=utf-8"));
    let text = "#EXTM3U\r\n#EXTINF:-1,The pond\r\nhttps://birds.example/stream/mic%20a.opus\r\n";
    assert_eq!(answer.text(), text);
    assert_eq!(get(&server, "/nothing.m3u").status, 404);
}

#[test]
fn a_combined_log_is_written_if_configured() {
    let mut command = crate::daemon::silvacast();
    let output = tempfile::NamedTempFile::new().unwrap();
    command.stdout(output.reopen().unwrap());
    let server = Daemon::of_with_output(command, "", "[log]\ncombined = true");
    let _source = Source::connect(&server, "/m", 1);
    drop(Listener::join_with(&server, "/m", "User-Agent: an \"ear\"\r\n"));
    server.wait_for_line(&["listener-left"]);
    let line = until("a whole line", PATIENCE, || {
        let text = std::fs::read_to_string(output.path()).unwrap();
        if text.ends_with('\n') { Ok(text) } else { Err(text) }
    });
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.contains(" +0000] \"GET /m HTTP/1.0\" 200 "),
        "{line}"
    );
    assert!(line.trim_end().ends_with("\"-\" \"an \\\"ear\\\"\" 0"), "{line}");
}

#[test]
fn a_source_s_names_are_escaped_everywhere() {
    let server = Daemon::start();
    for (number, name) in
        ["\"><script>alert(1)</script>", "123", "-", "&amp;]]>", &"🦉".repeat(400)]
            .iter()
            .enumerate()
    {
        let mut socket = connect(&server);
        write!(
            socket,
            "SOURCE /{number} HTTP/1.0\r\n{}Ice-Name: {name}\r\nIce-Description: {name}\r\nIce-Genre: {name}\r\nUser-Agent: {name}\r\n\r\n",
            login(PASSWORD)
        )
        .unwrap();
        assert_eq!(read_head(&mut socket).status, 200);
        socket.write_all(&ogg::headers(1)).unwrap();
        server.wait_for_lines(&["stream-began"], number + 1);
        std::mem::forget(socket);
    }
    let status: Value = serde_json::from_slice(&get(&server, "/status-json.xsl").body).unwrap();
    assert_eq!(status["icestats"]["source"][1]["server_name"], "123");
    assert_eq!(json(&server, "/api/v1/mounts")["mounts"][2]["station_name"], "-");
    let stats = get_with(&server, "/admin/stats", &admin()).text();
    assert!(stats.contains("&quot;&gt;&lt;script&gt;") && !stats.contains("<script"), "{stats}");
    let playlist = get(&server, "/0.m3u").text();
    assert_eq!(playlist.lines().count(), 3, "{playlist}");
    for head in [get(&server, "/api/v1/mounts"), get(&server, "/metrics")] {
        assert_eq!(head.status, 200);
    }
    let mut listener = Listener::join(&server, "/4");
    listener.headers();
}
