//! The commands and the files of `README.md`, as a person who follows it would use them.

use crate::documents::Document;
use crate::needs::{Need, needs};
use crate::pen::Pen;
use crate::podman::text;
use crate::share;
use crate::units::{memory, memory_max};
use crate::wait::when;

const CONFIGURATION: &str = "/etc/silvacast/silvacast.toml";
/// Cargo, for a program that is already built.
const CARGO: &[u8] = b"#!/bin/sh -e
[ \"$1 $2 $3\" = 'run --release --' ]
shift 3
exec silvacast \"$@\"
";

/// Starts a command that runs until it is stopped, as a unit of this name.
fn start(pen: &Pen, unit: &str, line: &str) {
    pen.ok(&["systemd-run", "--quiet", "--unit", unit, "bash", "-c", line]);
}

/// Waits until a path has this status.
fn wait_for_status(pen: &Pen, path: &str, status: &str) {
    let url = format!("http://127.0.0.1:8080{path}");
    pen.wait_for(&format!("{status} for {path}"), |pen| {
        let seen = pen.run(&["curl", "-sI", "-o", "/dev/null", "-w", "%{http_code}", &url]);
        when(seen.stdout == status.as_bytes(), text(&seen.stdout))
    });
}

#[test]
fn every_command_and_file_of_the_readme_works_as_it_stands() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("ffmpeg")]) {
        return;
    }
    let mut document = Document::open("README.md");
    let pen = Pen::start();
    pen.put("/usr/bin/silvacast", &std::fs::read(env!("CARGO_BIN_EXE_silvacast")).unwrap(), 0o755);
    pen.put("/usr/local/bin/cargo", CARGO, 0o755);

    start(&pen, "demo", &document.take("sh", "demo").text);
    wait_for_status(&pen, "/", "200");
    pen.ok(&["systemctl", "stop", "demo"]);

    // The first line is what runs this test.
    let tests = document.take("sh", "tests/all").with(&[("tests/all    ", "true")]);
    let stages = ["lint", "unit", "coverage", "platform", "whole", "hostile", "page", "fuzz"];
    pen.copy("/root", &["tests/all"]);
    pen.copy("/root", &stages.map(|stage| format!("tests/stages/{stage}")));
    let said = pen.script("/root", &tests);
    assert!(stages.iter().all(|stage| said.contains(stage)), "{said}");

    pen.script("/", &document.take("sh", "share-key").text);
    let configuration = document.take("toml", CONFIGURATION).text;
    pen.put(CONFIGURATION, configuration.as_bytes(), 0o644);
    let commands = document.take("sh", "silvacast check").text;
    let (check, serve) = commands.trim_end().split_once('\n').unwrap();
    let said = pen.script("/", check);
    assert!(memory(&said) <= memory_max(), "the service does not have that much memory: {said}");
    start(&pen, "server", serve);
    wait_for_status(&pen, "/healthz", "200");

    let password = pen.ok(&["cat", "/etc/silvacast/source-password"]);
    let push = document.take("sh", "ffmpeg").with(&[
        ("-f alsa -i hw:1", "-nostdin -re -f lavfi -i sine"),
        ("PASSWORD", password.trim()),
        ("host:", "127.0.0.1:"),
    ]);
    start(&pen, "source", &push);
    wait_for_status(&pen, "/mic-ultramic.opus", "200");

    let mount = document.take("toml", "mic-nest").text;
    let commands = document.take("sh", "silvacast share").text;
    // The server reads the tokens only when the configuration names them.
    let (token, share) = commands.split_once("silvacast share").unwrap();
    pen.script("/", token);
    let both = configuration.replacen("[[mount]]", &format!("{mount}\n[[mount]]"), 1);
    pen.put(CONFIGURATION, both.as_bytes(), 0o644);
    let links = pen.script("/", &format!("silvacast share{share}"));
    pen.ok(&["systemctl", "kill", "--signal=HUP", "server"]);
    let nest = push.replace("mic-ultramic", "mic-nest");
    start(&pen, "nest", &nest);
    wait_for_status(&pen, "/mic-nest.opus", "401");
    let tokens = pen.ok(&["cat", "/etc/silvacast/tokens"]);
    let token = tokens.trim().strip_prefix("ana:").unwrap().to_owned();
    let link = share::link(&links, "stream").split_once("/mic-nest.opus?").unwrap().1.to_owned();
    for query in [format!("token={token}"), link] {
        wait_for_status(&pen, &format!("/mic-nest.opus?{query}"), "200");
    }
}
