//! `docs/detections.md`: what detectors are told to send, by the programs that they send it with.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::UtcOffset;
use time::macros::format_description;

use crate::client::{Server, Source};
use crate::daemon::{Daemon, binary, silvacast};
use crate::detections::{TOKEN, list, post, station};
use crate::documents::Document;
use crate::fake_server::FakeServer;
use crate::fetched::readers;
use crate::players::finish;

const MOUNT: &str = "/mic-ultramic.opus";

/// The date and the time of day of a time ago, in a zone of its own.
fn local(ago: Duration) -> (String, String) {
    let at = OffsetDateTime::from(SystemTime::now() - ago);
    let at = at.to_offset(UtcOffset::from_hms(5, 45, 0).unwrap());
    let date = at.format(format_description!("[year]-[month]-[day]")).unwrap();
    (date, at.format(format_description!("[hour]:[minute]:[second]")).unwrap())
}

/// What a detector has sent, about what was heard a time ago.
fn payload(name: &str, ago: Duration) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(name);
    let (date, time) = local(ago);
    let text = fs::read_to_string(path).unwrap();
    let text = text.replace("\"2026-05-04\"", &format!("\"{date}\""));
    let moved = |text: String, time_there| text.replace(time_there, &format!("\"{time}\""));
    ["\"05:12:33\"", "\"05:12:44\""].into_iter().fold(text, moved)
}

/// How long ago the only detection of the mount began, in seconds.
fn age(server: &Daemon) -> f64 {
    let all = list(server, MOUNT);
    assert_eq!(all.len(), 1, "{all:?}");
    let start = all[0]["start"].as_str().unwrap();
    let start = OffsetDateTime::parse(start, &time::format_description::well_known::Rfc3339);
    (OffsetDateTime::now_utc() - start.unwrap()).as_seconds_f64()
}

/// Runs a script of the guide in a directory, with this server in place of the one in it.
fn script(text: &str, server: &Daemon, directory: &Path) -> Output {
    let text = text
        .replace("http://127.0.0.1:8080", &server.url(""))
        .replace("http://station:8080", &server.url(""))
        .replace("/etc/silvacast", directory.to_str().unwrap())
        .replace(" -g nogroup", "");
    finish(Command::new("bash").args(["-euo", "pipefail", "-c", &text]).current_dir(directory))
}

/// The value of a key in a block of YAML.
fn value<'a>(yaml: &'a str, key: &str) -> &'a str {
    let mut lines = yaml.lines().map(|line| line.trim().trim_start_matches("- "));
    let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("{key} in {yaml}")).trim_matches('"')
}

/// A server with the microphone of the guide.
fn microphone() -> (Daemon, Source) {
    let server = station("");
    let source = Source::connect(&server, MOUNT, 1);
    (server, source)
}

#[test]
fn detectors_that_are_set_up_as_the_guide_says_are_understood() {
    let mut guide = Document::open("docs/detections.md");
    let Some(place) = readers() else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (server, _source) = microphone();

    // The token.
    script(&guide.take("sh", "detector-token").text, &server, at);
    let token = at.join("detector-token");
    assert!(fs::read_to_string(&token).unwrap().len() > 30);
    let toml = guide.take("toml", "detector_token_file").text;
    let toml = toml.replace("/etc/silvacast", at.to_str().unwrap());
    let toml = format!("{toml}source_password = \"a\"\nadmin_password = \"b\"\n");
    fs::write(at.join("silvacast.toml"), toml).unwrap();
    finish(silvacast().args(["check", "--config"]).arg(at.join("silvacast.toml")));
    let credential = guide.take("ini", "LoadCredential=detector-token:").text;
    assert!(credential.trim_end().ends_with(":/etc/silvacast/detector-token"), "{credential}");
    let toml = "[auth]\nsource_password = \"a\"\nadmin_password = \"b\"\n";
    let mut command = Command::new("env");
    command.arg(format!("CREDENTIALS_DIRECTORY={}", at.display()));
    command.arg("SILVASONIC_ICECAST_PORT=0").arg(binary());
    let server_of_credential = Daemon::of_command_with_text(command, toml);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let written = fs::read_to_string(&token).unwrap();
    let post_there = |token: &str| {
        post(&server_of_credential, "/api/v1/mounts/m/detections", &bearer(token), "[]").status
    };
    assert_eq!((post_there(written.trim()), post_there("another")), (404, 401));
    // From here on that of the server.
    fs::write(&token, TOKEN).unwrap();

    // The first detection, and what is said of it.
    let said = script(&guide.take("sh", "curl --json").text, &server, at);
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        guide.take("json", "accepted").text.trim_end()
    );
    assert!((5.0..60.0).contains(&age(&server)), "{}", age(&server));
    let path = format!("/api/v1/mounts{MOUNT}/detections");
    let wrong = post(&server, &path, &bearer(TOKEN), r#"{"common_name":"a","confidence":87}"#);
    assert_eq!(wrong.text(), guide.take("json", "Nothing was taken").text.trim_end());

    birdnet_go(&mut guide, at);
    birdnet_pi(&mut guide, &place);

    // The table of a file that began a minute ago.
    let (server, _source) = microphone();
    let table = payload("birdnet-analyzer.csv", Duration::ZERO);
    fs::write(at.join("garden.BirdNET.results.csv"), table).unwrap();
    let said = script(&guide.take("sh", "text/csv").text, &server, at);
    let taken = r#"{"accepted":4,"duplicates":0,"ignored":0}"#;
    assert_eq!(String::from_utf8_lossy(&said.stdout), taken);
    assert_eq!(list(&server, MOUNT)[1]["start"], "2026-05-04T03:00:06.000Z");
}

fn birdnet_go(guide: &mut Document, at: &Path) {
    let yaml = guide.take("yaml", "type: webhook").text;
    let rules: Value = serde_json::from_str(&guide.take("json", "rules").text).unwrap();
    assert_eq!(rules["rules"][0]["event_name"], "detection.occurred");
    assert!(yaml.contains("method: POST") && yaml.contains("type: bearer"), "{yaml}");
    let path = value(&yaml, "url").strip_prefix("http://station:8080").unwrap();
    let fields = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
         User-Agent: BirdNET-Go-Webhook/1.0\r\n",
        value(&yaml, "token").replace("TOKEN", TOKEN)
    );
    let (server, _source) = microphone();
    // When it posts, the file that it saves began 23 s ago, and the call 13 s ago.
    for (name, accepted) in [
        ("birdnet-go-webhook-warning.json", 0),
        ("birdnet-go-webhook-test.json", 0),
        ("birdnet-go-webhook.json", 1),
        ("birdnet-go-webhook.json", 0),
    ] {
        let answer = post(&server, path, &fields, &payload(name, Duration::from_secs(23)));
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &said["accepted"]), (200, &accepted.into()), "{name}: {said}");
    }
    assert!((12.0..60.0).contains(&age(&server)), "{}", age(&server));
    assert_eq!(list(&server, MOUNT)[0]["common_name"], "Eurasian Wren");

    // The events of its page.
    let (server, _source) = microphone();
    let events = payload("birdnet-go-events.txt", Duration::from_secs(13));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let birdnet_go = FakeServer::saying(format!("{head}{events}"));
    let lines = guide.take("sh", "detections/stream").text;
    let lines =
        lines.replace("http://birdnet-go:8080", &format!("http://127.0.0.1:{}", birdnet_go.port()));
    script(&lines, &server, at);
    assert!(birdnet_go.heads()[0].starts_with("GET /api/v2/detections/stream "));
    assert!((14.0..60.0).contains(&age(&server)), "{}", age(&server));
}

fn birdnet_pi(guide: &mut Document, place: &Path) {
    let url = guide.take("text", "json://").text;
    let body = guide.take("text", "$sciname").text;
    let (server, _source) = microphone();
    let url = url.trim().replace("station:8080", server.url("").trim_start_matches("http://"));
    let url = url.replace("TOKEN", TOKEN);
    let notify = |body: &str| {
        let title = ["-t", "New BirdNET-Pi Detection", "-b"];
        finish(Command::new(place.join("python/bin/apprise")).args(title).args([body, &url]));
    };
    notify("A Eurasian Wren (Troglodytes troglodytes) was just detected (detection)");
    assert!(list(&server, MOUNT).is_empty());
    // As BirdNET-Pi does (`scripts/utils/notifications.py`).
    let (date, time) = local(Duration::from_secs(30));
    let mut body = body.trim().to_owned();
    for (variable, text) in [
        ("$sciname", "Thryomanes bewickii"),
        ("$comname", "Bewick's Wren"),
        ("$confidence", "0.8731"),
        ("$listenurl", "http://birdnetpi.local?filename=Bewicks_Wren-87-birdnet-05:12:33.mp3"),
        ("$date", &date),
        ("$time", &time),
    ] {
        assert!(body.contains(variable), "{body}");
        body = body.replace(variable, text);
    }
    notify(&body);
    let heard = &list(&server, MOUNT)[0];
    assert_eq!(
        (&heard["common_name"], &heard["model"]),
        (&"Bewick's Wren".into(), &"BirdNET-Pi".into())
    );
    assert!((30.0..60.0).contains(&age(&server)), "{}", age(&server));
}
