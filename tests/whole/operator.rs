//! What the administrator sees of a running server, and can do about it.

use std::fs;
use std::time::SystemTime;

use serde_json::Value;

use crate::client::{
    Answer, Listener, Server, Source, admin, get, get_with, login, login_as, request,
};
use crate::daemon::{Daemon, PASSWORD};
use crate::wait::{PATIENCE, until, when};

/// A document that the administrator may read.
fn read(server: &impl Server, path: &str) -> Value {
    let answer = get_with(server, path, &admin());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn send(server: &impl Server, method: &str, target: &str, fields: &str) -> Answer {
    request(server, &format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"))
}

/// Gives a command, and returns the response.
fn command(server: &Daemon, what: &str) -> String {
    let answer = send(server, "POST", &format!("/admin/{what}"), &admin());
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    answer.text()
}

/// The lines of this kind, the newest first.
fn lines(server: &Daemon, event: &str) -> Vec<Value> {
    let mut all = read(server, "/api/v1/journal")["lines"].as_array().unwrap().clone();
    all.retain(|line| line["event"] == event);
    all
}

fn agent(name: &str) -> String {
    format!("User-Agent: {name}\r\n")
}

#[test]
fn only_the_administrator_sees_it() {
    let server = Daemon::start();
    for path in ["journal", "blocks", "links", "configuration", "mounts?hidden=true"] {
        let path = format!("/api/v1/{path}");
        assert_eq!(get(&server, &path).status, 401, "{path}");
        assert_eq!(get_with(&server, &path, &login(PASSWORD)).status, 401, "{path}");
        assert_eq!(get_with(&server, &path, &admin()).status, 200, "{path}");
    }
    assert_eq!(get(&server, "/api/v1/mounts?hidden=false").status, 200);
    assert_eq!(get(&server, "/api/v1/mounts?hidden=1").status, 400);
}

#[test]
fn hidden_mounts_are_listed_for_the_administrator() {
    let hidden =
        "[[mount]]\nname = \"/h\"\nhidden = true\n[[mount]]\nname = \"/off\"\nhidden = true";
    let server = Daemon::with("", hidden);
    let _source = Source::connect(&server, "/h", 1);
    let names = |list: &Value| {
        let all = ["mounts", "off"].map(|part| list[part].as_array().unwrap().clone()).concat();
        all.iter().map(|mount| mount["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(names(&read(&server, "/api/v1/mounts")).is_empty());
    assert_eq!(names(&read(&server, "/api/v1/mounts?hidden=true")), ["/h", "/off"]);
}

#[test]
fn the_newest_lines_of_the_log_are_explained() {
    let server = Daemon::start();
    let refused = send(&server, "PUT", "/mic", &login("wrong"));
    assert_eq!(refused.status, 401);
    let line = until("the line", PATIENCE, || {
        let line = lines(&server, "refused").into_iter().next();
        when(line.is_some(), ()).map(|()| line.unwrap())
    });
    assert_eq!(line["fields"]["path"], "/mic");
    assert_eq!(line["fields"]["status"], "401");
    assert_eq!(line["message"], "request refused");
    assert!(line["subject"].as_str().unwrap().contains("refused"), "{line}");
    assert!(line["explanation"].as_str().unwrap().len() > 50, "{line}");
    // Repeated refusals do not displace other lines.
    for _ in 0..200 {
        get(&server, "/none");
    }
    until("the last refusal", PATIENCE, || {
        let path = lines(&server, "refused")[0]["fields"]["path"].clone();
        when(path == "/none", path)
    });
    assert_eq!(lines(&server, "ready").len(), 1);
    assert!(lines(&server, "refused").len() <= 25);
}

#[test]
fn who_is_locked_out_or_blocked_is_listed() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    for _ in 0..5 {
        assert_eq!(send(&server, "PUT", "/other", &login("wrong")).status, 401);
    }
    let blocks = read(&server, "/api/v1/blocks");
    let lockout = &blocks["lockouts"][0];
    assert_eq!((&lockout["kind"], &lockout["address"]), (&"source".into(), &"127.0.0.1".into()));
    assert_eq!(
        (blocks["lockouts"].as_array().unwrap().len(), &lockout["is_network"]),
        (1, &false.into())
    );

    let listener = Listener::join_with(&server, "/m", &agent("ear"));
    let id = read(&server, "/api/v1/listeners")["listeners"][0]["id"].to_string();
    for wrong in ["soon", "1s", "25h"] {
        let target = format!("/admin/killclient?mount=/m&id={id}&block={wrong}");
        let answer = send(&server, "POST", &target, &admin());
        assert!(answer.status == 400 && answer.text().contains("from 1m to 24h"), "{wrong}");
    }
    command(&server, &format!("killclient?mount=/m&id={id}&block=1h"));
    drop(listener);
    // Another player at the same address too.
    for player in ["ear", "another"] {
        let answer = get_with(&server, "/m", &agent(player));
        assert_eq!(answer.status, 403);
        let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!(wait > 3_000 || player == "ear", "{wait}");
    }
    let blocked = read(&server, "/api/v1/blocks")["listeners"].clone();
    let of_all = blocked.as_array().unwrap().iter().find(|ban| ban["agent"].is_null()).unwrap();
    assert_eq!((&of_all["mount"], &of_all["address"]), (&"/m".into(), &"127.0.0.1".into()));

    let said = command(&server, "unblock?mount=/m&address=127.0.0.1");
    assert!(said.contains("127.0.0.1 may listen again"), "{said}");
    Listener::join_with(&server, "/m", &agent("ear"));
    let said = command(&server, "unblock?mount=/m&address=127.0.0.1");
    assert!(said.contains("was not blocked"), "{said}");
    let wrong = send(&server, "POST", "/admin/unblock?mount=/m&address=x", &admin());
    assert_eq!(wrong.status, 400);
}

#[test]
fn how_each_listener_listens_and_how_far_it_is_behind_is_listed() {
    let server = Daemon::with(
        "",
        "[mount-defaults]\nring = \"256KiB\"\nburst = \"0ms\"\nlistener_timeout = \"60s\"",
    );
    let mut source = Source::connect(&server, "/m", 1);
    let mut quick = Listener::join_with(&server, "/m", &agent("quick"));
    quick.headers();
    let mut slow = Listener::join_with(&server, "/m", &agent("slow"));
    let of = |name: &str| {
        let all = read(&server, "/api/v1/listeners")["listeners"].clone();
        let mut all = all.as_array().unwrap().iter();
        all.find(|listener| listener["agent"] == name).unwrap().clone()
    };
    let mut sent = 0;
    until("a listener that is behind", PATIENCE, || {
        source.send(500, 200);
        sent += 500;
        (sent - 500..sent).for_each(|number| assert_eq!(quick.number(), number));
        let slow = of("slow");
        when(slow["seconds_behind"].as_f64() > Some(1.0), slow)
    });
    // More than the ring has.
    source.send(2_000, 200);
    (sent..sent + 2_000).for_each(|number| assert_eq!(quick.number(), number));
    slow.headers();
    until("a listener that was overtaken", PATIENCE, || {
        slow.page();
        let slow = of("slow");
        when(slow["skips"].as_u64() > Some(0), slow)
    });
    let quick = of("quick");
    assert_eq!((&quick["protocol"], &quick["link_expires"]), (&"stream".into(), &Value::Null));
    assert_eq!(quick["skips"], 0);
}

#[test]
fn a_link_can_be_revoked_alone() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, "anna:0123456789abcdef\n").unwrap();
    let rules = format!(
        "share_key = \"of the station of the station of the station\"\n\
         [[mount]]\nname = \"/m\"\naccess = \"token\"\ntokens_file = {tokens:?}"
    );
    let server = Daemon::with("", &rules);
    let _source = Source::connect(&server, "/m", 1);
    let sign = |time: &str| {
        let link = read(&server, &format!("/api/v1/mounts/m/link?for={time}"));
        let (_, query) = link["stream"].as_str().unwrap().split_once('?').unwrap();
        let expires = query.split(['=', '&']).nth(1).unwrap().to_owned();
        (format!("/m?{query}"), expires)
    };
    let ((first, expires), (second, _)) = (sign("2h"), sign("3h"));
    let mut listener = Listener::join(&server, &first);
    let mut other = Listener::join(&server, &second);
    listener.headers();
    other.headers();
    let of_listener = read(&server, "/api/v1/listeners")["listeners"][0]["link_expires"].clone();
    let listed = read(&server, "/api/v1/links")["links"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let link = &listed[1];
    assert_eq!((&link["mount"], &link["listeners"]), (&"/m".into(), &1.into()));
    assert_eq!((&link["expires"], &link["revoked"]), (&of_listener, &false.into()));
    assert!(link["last_used"].is_string(), "{link}");

    command(&server, &format!("revokelink?mount=/m&expires={expires}"));
    assert_eq!(listener.page(), None);
    let answer = get(&server, &first);
    assert!(answer.status == 403 && answer.text().contains("revoked"), "{}", answer.text());
    assert_eq!(read(&server, "/api/v1/links")["links"][1]["revoked"], true);
    assert_eq!(send(&server, "HEAD", &second, "").status, 200);
    let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for wrong in [0, unix - 10, unix + 400 * 86_400, u64::MAX] {
        let target = format!("/admin/revokelink?mount=/m&expires={wrong}");
        assert_eq!(send(&server, "POST", &target, &admin()).status, 400, "{wrong}");
    }
}

#[test]
fn the_configuration_is_shown_without_secrets_and_its_file_is_checked() {
    let server = Daemon::with("", "[limits]\nlisteners = 7");
    let shown = read(&server, "/api/v1/configuration");
    let in_force = shown["in_force"].as_str().unwrap();
    assert!(in_force.contains("listeners = 7"), "{in_force}");
    assert!(!in_force.contains(PASSWORD) && in_force.contains("\"***\""), "{in_force}");
    assert_eq!(shown["file"]["path"], server.file().to_str().unwrap());
    assert_eq!(
        (&shown["file"]["is_in_force"], &shown["warnings"]),
        (&true.into(), &Value::Array(vec![]))
    );

    let text = fs::read_to_string(server.file()).unwrap();
    fs::write(server.file(), text.replace("listeners = 7", "listeners = 8\nsources = 0")).unwrap();
    let file = read(&server, "/api/v1/configuration")["file"].clone();
    let problem = file["problems"][0].as_str().unwrap();
    assert!(problem.contains("sources") && problem.starts_with("line "), "{problem}");
    assert_eq!(file["is_in_force"], false);

    fs::write(
        server.file(),
        text.replace("listeners = 7", "listeners = 8") + "[log]\ncombined = true",
    )
    .unwrap();
    let file = read(&server, "/api/v1/configuration")["file"].clone();
    assert_eq!((&file["problems"], &file["is_in_force"]), (&Value::Array(vec![]), &false.into()));
    assert_eq!(file["needs_restart"], serde_json::json!(["[log] combined"]));
    assert!(command(&server, "reloadconfig").contains("successfully"));
    let shown = read(&server, "/api/v1/configuration");
    assert!(shown["in_force"].as_str().unwrap().contains("listeners = 8"), "{shown}");
    assert_eq!(shown["file"]["is_in_force"], true);
}

#[test]
fn a_browser_gets_the_page_and_a_program_the_statistics() {
    let server = Daemon::start();
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let page = get_with(&server, "/admin/", browser);
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.field("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert!(page.field("vary").unwrap().to_lowercase().contains("accept,"));
    let slash = get_with(&server, "/admin", browser);
    assert_eq!((slash.status, slash.field("location")), (308, Some("/admin/")));
    assert_eq!(get(&server, "/admin/").status, 401);
    let stats = get_with(&server, "/admin/stats", &format!("{}{browser}", admin()));
    assert_eq!(stats.field("content-type"), Some("text/xml; charset=utf-8"));
    for any in ["", "Accept: */*\r\n", "Accept: text/xml\r\n"] {
        let answer = get_with(&server, "/admin/", &format!("{}{any}", admin()));
        assert_eq!(answer.field("content-type"), Some("text/xml; charset=utf-8"), "{any}");
    }
    // A page of another site cannot command what this page can.
    let foreign = format!("{}User-Agent: Mozilla/5.0\r\nOrigin: http://evil.example\r\n", admin());
    for what in ["unblock?mount=/m&address=127.0.0.1", "revokelink?mount=/m&expires=1"] {
        assert_eq!(send(&server, "POST", &format!("/admin/{what}"), &foreign).status, 403);
    }
    let source = login_as("source", PASSWORD);
    let answer = send(&server, "POST", "/admin/unblock?mount=/m&address=127.0.0.1", &source);
    assert_eq!(answer.status, 401);
}
