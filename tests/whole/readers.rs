//! Clients by other authors that read an Icecast server, on the real server.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::client::get;
use crate::daemon::{ADMIN_PASSWORD, Daemon};
use crate::fetched::readers;
use crate::players::{OPUS, ffmpeg_source, finish};
use crate::process::{Run, Running};

/// A server with a microphone.
fn station() -> (Daemon, Running) {
    let key = "of the station ".repeat(4);
    // A proxy that names no client is not locked out: Schemathesis tries a wrong password with each
    // operation.
    let proxies = "trusted_proxies = [\"127.0.0.1\"]";
    let server = Daemon::with(proxies, &format!("share_key = {key:?}"));
    let words = ["-metadata", "title=Dusk", "-ice_name", "The pond", "-content_type", "audio/ogg"];
    let url = server.push_url("/mic.opus");
    let source = ffmpeg_source(&OPUS, &[&words[..], &["-f", "ogg", &url]].concat());
    server.wait_for_line(&["stream-began"]);
    (server, source)
}

/// The output of a short program that uses a package from npm.
pub(crate) fn node(place: &Path, program: &str, args: &[&str]) -> String {
    let mut command = Command::new("node");
    command.current_dir(place).args(["--input-type=module", "-e", program]).args(args);
    String::from_utf8(finish(&mut command).stdout).unwrap()
}

#[test]
fn icecast_metadata_stats_reads_the_status_and_the_stream() {
    let Some(place) = readers() else { return };
    let (server, _source) = station();
    let program = "import Stats from 'icecast-metadata-stats';\
        const stats = new Stats(process.argv[1], { sources: ['icestats', 'ogg'] });\
        console.log(JSON.stringify(await stats.fetch())); process.exit();";
    let said = node(&place, program, &[&server.url("/mic.opus")]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let source = &said["icestats"]["source"];
    assert_eq!((&source["server_name"], &source["title"]), (&"The pond".into(), &"Dusk".into()));
    assert_eq!(said["ogg"]["TITLE"], "Dusk");
}

#[test]
fn icecast_parser_finds_a_stream_without_titles_in_it() {
    let Some(place) = readers() else { return };
    let (server, _source) = station();
    // Titles between the bytes of audio are for MP3; Icecast does not send them in Ogg either.
    let program = "import { Parser } from 'icecast-parser';\
        const parser = new Parser({ url: process.argv[1], autoUpdate: false });\
        const end = (said) => { console.log(said); process.exit(); };\
        parser.on('empty', () => end('empty'));\
        parser.on('metadata', () => end('metadata'));\
        parser.on('error', (error) => end(error.message));";
    assert_eq!(node(&place, program, &[&server.url("/mic.opus")]), "empty\n");
}

#[test]
fn the_interface_is_what_its_description_says() {
    let Some(place) = readers() else { return };
    let (server, _source) = station();
    // Otherwise it would wait for up to a minute each time.
    let settings = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let demand =
        "[[operations]]\ninclude-operation-id = \"demand\"\nparameters = { wait = \"50ms\" }\n";
    // A table needs the second parameter. Which text is a table cannot be described, and neither can it that
    // a detection ends after it begins.
    let detections = "[[operations]]\ninclude-operation-id = \"postDetections\"\n\
        parameters = { name = \"mic.opus\", start = \"2026-05-01T04:12:30Z\" }\n\
        checks.positive_data_acceptance.expected-statuses = [\"2xx\", 400, 429]\n";
    // Not each text is the name of a mount.
    let session = "[[operations]]\ninclude-operation-id = \"endSession\"\n\
        checks.positive_data_acceptance.expected-statuses = [200, 400, 404]\n";
    // Nor is each text a duration.
    let link = "[[operations]]\ninclude-operation-id = \"link\"\n\
        checks.positive_data_acceptance.expected-statuses = [200, 400, 404]\n";
    std::fs::write(settings.path(), [demand, detections, session, link].concat()).unwrap();
    let mut command = Command::new(place.join("python/bin/schemathesis"));
    command
        .current_dir(place)
        .arg("--config-file")
        .arg(settings.path())
        .arg("run")
        .arg(server.url("/api/v1/openapi.json"));
    // A response with events does not end.
    command.args(["--exclude-path", "/api/v1/events", "--checks", "all"]);
    // It writes no SDP; the tests of WHEP have offers.
    command.args(["--exclude-operation-id", "offer"]);
    command.args(["--auth", &format!("admin:{ADMIN_PASSWORD}")]);
    // A fixed seed gives the same requests each time.
    command.args(["--seed", "1", "--max-examples", "30", "--suppress-health-check", "all"]);
    let output = command.arg("--no-color").run();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(" passed"), "{said}");
    assert!(said.contains("Tested: 16\n"), "{said}");
    let metrics = get(&server, "/metrics").text();
    let taken = "silvacast_detections_total{mount=\"/mic.opus\"} ";
    let taken = metrics.lines().find_map(|line| line.strip_prefix(taken));
    assert!(taken.unwrap().parse::<u32>().unwrap() >= 1, "not even the example was taken");
}
