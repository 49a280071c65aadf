//! The log on standard error: every line can be read by a logfmt parser, or by a JSON parser.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{Listener, Source, connect, get, login, read_head, request};
use crate::daemon::{Daemon, PASSWORD};
use crate::ogg;

/// Two addresses, on any port.
const LISTEN: &str = "listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]";

/// The fields of a line by their names. The time, the level and the words of the message are keys
/// without a value.
type Fields = BTreeMap<String, Option<String>>;

/// Reads a line as logfmt: keys and `key=value`, separated by spaces; a value is a JSON string, or has
/// no spaces, quotes or `=`.
fn logfmt(line: &str) -> Result<Fields, String> {
    let ends_word = |c: char| c <= ' ' || matches!(c, '=' | '"');
    let mut fields = Fields::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_at(rest.find(ends_word).unwrap_or(rest.len()));
        if key.is_empty() {
            return Err(format!("no key at {rest:?}"));
        }
        let mut value = None;
        rest = after;
        if let Some(after) = rest.strip_prefix('=') {
            if after.starts_with('"') {
                let mut strings = serde_json::Deserializer::from_str(after).into_iter::<String>();
                let text =
                    strings.next().unwrap().map_err(|error| format!("{error}: {after:?}"))?;
                rest = &after[strings.byte_offset()..];
                value = Some(text);
            } else {
                let (text, after) = after.split_at(after.find(ends_word).unwrap_or(after.len()));
                value = Some(text.to_owned());
                rest = after;
            }
        }
        if !rest.is_empty() && !rest.starts_with(' ') {
            return Err(format!("no space at {rest:?}"));
        }
        rest = rest.trim_start_matches(' ');
        // The words of an unquoted value would follow as keys.
        let follows_fields = fields.values().any(Option::is_some);
        if value.is_none() && follows_fields {
            return Err(format!("{key:?} has no value"));
        }
        // A word of the message may be the name of a field too.
        if let Some(Some(_)) = fields.insert(key.to_owned(), value) {
            return Err(format!("{key:?} has two values"));
        }
    }
    Ok(fields)
}

#[test]
fn the_parser_refuses_what_is_not_logfmt() {
    let fields = logfmt(r#"12:00  INFO it is event="a \"b\"" peer=[::1]:80 reason="x y""#).unwrap();
    assert_eq!(fields["event"].as_deref(), Some("a \"b\""));
    assert_eq!(fields["peer"].as_deref(), Some("[::1]:80"));
    assert_eq!((fields["it"].as_ref(), fields.len()), (None, 7));
    for line in [
        "a reason=the source",
        "a=b=c",
        "a=b\"c\"",
        "a=\"b",
        "a=\"b\"c",
        "a=\"\\u{9b}\"",
        "a=1 a=2",
    ] {
        assert!(logfmt(line).is_err(), "{line}");
    }
}

/// A server in whose log nearly every kind of value occurs, with its lines until it has stopped.
fn busy_log(log: &str) -> Vec<String> {
    let sections = format!(
        "[auth]\nsource_password = \"{PASSWORD}\"\nadmin_password = \"other\"\n\
         [mount-defaults]\ngap_after = \"1s\"\nhold = \"1s\"\nsource_timeout = \"3s\"\n{log}"
    );
    let configuration = format!("{LISTEN}\n{sections}");
    let mut server = Daemon::of_text(configuration);
    let mut source = Source::introduce(&server, "/m", 1);
    server.wait_for_line(&["stream-began"]);
    let agent = "User-Agent: a \"player\" of=x \\ 🦉\r\n";
    let mut listener = Listener::join_with(&server, "/m", agent);
    listener.headers();
    source.send(1, 100);
    listener.number();
    drop(listener);
    server.wait_for_line(&["listener-left"]);
    let mut again = connect(&server);
    write!(again, "SOURCE /m HTTP/1.0\r\n{}User-Agent:\r\n\r\n", login(PASSWORD)).unwrap();
    assert_eq!(read_head(&mut again).status, 200);
    again.write_all(&ogg::headers(2)).unwrap();
    again.write_all(&vec![b'x'; 70_000]).unwrap();
    server.wait_for_line(&["source-damage"]);
    assert_eq!(get(&server, "/a%20%22b%22=c").status, 404);
    let wrong = login("wrong");
    for _ in 0..6 {
        request(&server, &format!("SOURCE /other HTTP/1.0\r\n{wrong}\r\n"));
    }
    server.wait_for_line(&["lockout"]);
    for stage in ["sent nothing for", "stream-ended"] {
        server.wait_for_line(&[stage]);
    }
    std::fs::write(server.file(), "listne = [\"=\"]\nworkers = \"many of\"").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for_line(&["reload-failed", "workers"]);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0));
    server.wait_for_line(&["event", "stopped"]);
    server.lines()
}

#[test]
fn every_line_is_logfmt() {
    let lines = busy_log("");
    let mut events = BTreeSet::new();
    for line in &lines {
        let fields = logfmt(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let event = fields["event"].clone().unwrap_or_else(|| panic!("{line}"));
        match &*event {
            "ready" => assert_eq!(fields["listen"].as_ref().unwrap().matches(", ").count(), 1),
            "listener-left" => {
                assert_eq!(fields["agent"].as_deref(), Some("a \"player\" of=x \\ 🦉"));
            }
            _ => {}
        }
        events.insert(event);
    }
    assert!(events.len() >= 12, "{events:?}");
}

#[test]
fn every_line_is_a_json_object_if_configured() {
    let lines = busy_log("[log]\nformat = \"json\"\n");
    let mut events = BTreeSet::new();
    for line in &lines {
        let fields: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        let text = |name: &str| fields[name].as_str().unwrap_or_else(|| panic!("{name} in {line}"));
        // Such as 2026-11-26T08:30:00.123456Z.
        let (date, time) = text("timestamp").split_once('T').unwrap();
        let digits = |text: &str| text.split(['-', ':', '.']).map(str::len).collect::<Vec<_>>();
        assert_eq!(digits(date), [4, 2, 2], "{line}");
        assert_eq!(digits(time.strip_suffix('Z').unwrap())[..3], [2, 2, 2], "{line}");
        assert!(["INFO", "WARN", "ERROR"].contains(&text("level")), "{line}");
        assert!(!text("message").is_empty() && fields.get("message_id").is_none(), "{line}");
        for name in ["status", "bytes", "seconds", "skips", "channels", "uid", "damaged"] {
            let is_number = |value: &Value| value.is_number();
            assert!(fields.get(name).is_none_or(is_number), "{name} in {line}");
        }
        if text("event") == "listener-left" {
            assert_eq!(text("agent"), "a \"player\" of=x \\ 🦉");
            assert!(fields["bytes"].as_u64().unwrap() > 0, "{line}");
        }
        events.insert(text("event").to_owned());
    }
    assert!(events.len() >= 12, "{events:?}");
}
