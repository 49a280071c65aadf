//! The commands of `docs/station.md`, pasted into a new Debian 12.

use std::fs;

use crate::containers::pen_with_podman;
use crate::documents::Document;
use crate::fetched::debian;
use crate::needs::{Need, needs, package};
use crate::pen::Pen;
use crate::recorder::RAMP;
use crate::wait::when;

/// The site of rustup, with nothing to install: this machine's Rust has built the package.
const CURL: &[u8] = b"#!/bin/sh
case $* in *https://sh.rustup.rs) echo 'mkdir -p ~/.cargo && touch ~/.cargo/env' ;;
*) exec /usr/bin/curl \"$@\" ;; esac
";
/// What builds the package, where it is built: `tests/stages/platform` has run it before.
const BUILD: &[u8] = b"#!/bin/sh
echo target/debian/silvacast_0.1.0-1_arm64.deb
";
const PASSWORD_OF_ANNA: &str = "The password of anna is ";
const LINK: &str = "stream    https://station.local/mic-ULTRAMIC.opus?";
const ULTRAMIC: &str = "http://127.0.0.1:8080/mic-ULTRAMIC.opus";
const OTHER: &str = "http://127.0.0.1:8080/mic-other.opus";

/// Waits until a request for the head of a stream has this status.
fn wait_for_status(pen: &Pen, arguments: &[&str], status: &str) {
    let curl = ["curl", "-sI", "-o", "/dev/null", "-w", "%{http_code}"];
    pen.wait_for(&format!("{status} for {arguments:?}"), |pen| {
        let seen = pen.run(&[&curl[..], arguments].concat());
        when(seen.stdout == status.as_bytes(), String::from_utf8_lossy(&seen.stdout))
    });
}

#[test]
fn every_command_of_the_guide_makes_a_station_of_a_new_debian_12() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("mmdebstrap"), Need::Package]) {
        return;
    }
    let mut document = Document::open("docs/station.md");
    let Some(debian) = debian("bookworm") else { return };
    let pen = pen_with_podman(&debian);
    let caddy = fs::read(debian.join("usr/lib/systemd/system/caddy.service")).unwrap();
    pen.put("/usr/lib/systemd/system/caddy.service", &caddy, 0o644);

    pen.put("/usr/local/bin/curl", CURL, 0o755);
    pen.put("/root/systemd/debian/build", BUILD, 0o755);
    pen.script("/root", &document.take("sh", "rustup").text);
    let package = fs::read(package().unwrap()).unwrap();
    pen.put("/root/silvacast_0.1.0-1_arm64.deb", &package, 0o644);
    let said = pen.script("/root", &document.take("sh", "apt-get install").text);
    assert!(said.ends_with("ok\n"), "{said}");

    let input = format!("INPUT={}\n", RAMP.replace('\\', r"\\"));
    pen.put("/etc/silvacast/recorder-ULTRAMIC.env", input.as_bytes(), 0o644);
    pen.script("/root", &document.take("sh", "silvacast-recorder").text);
    wait_for_status(&pen, &[ULTRAMIC], "200");

    restrict_access(&pen, &mut document);

    let caddyfile = document.take("caddyfile", "reverse_proxy").text;
    pen.put("/etc/caddy/Caddyfile", caddyfile.as_bytes(), 0o644);
    pen.script("/root", &document.take("sh", "caddy.service").text);
    let health = document.take("sh", "root.crt").text;
    pen.wait_for("Caddy's certificate", |pen| {
        let said = pen.run(&["bash", "-e", "-c", &health]);
        when(said.stdout == b"ok\n", said)
    });

    container(&pen, &mut document);
}

fn restrict_access(pen: &Pen, document: &mut Document) {
    let said = pen.script("/root", &document.take("sh", "htpasswd").text);
    let password = said.lines().find_map(|line| line.strip_prefix(PASSWORD_OF_ANNA)).unwrap();
    let token = said.lines().find_map(|line| line.strip_prefix("camera:")).unwrap();
    let drop_in = document.take("ini", "access.conf").text;
    pen.put("/etc/systemd/system/silvacast.service.d/access.conf", drop_in.as_bytes(), 0o644);
    let configuration = document.take("toml", "listeners_file").text;
    pen.put("/etc/silvacast/silvacast.toml", configuration.as_bytes(), 0o644);
    pen.script("/root", &document.take("sh", "systemctl restart").text);
    let link = pen.script("/root", &document.take("sh", "silvacast share").text);
    let link = link.lines().find_map(|line| line.strip_prefix(LINK)).expect("a link");

    pen.put("/root/dawn.opus", include_bytes!("../../src/demo/dawn.opus"), 0o644);
    let push = ["push", "--loop", "--password-file", "/etc/silvacast/source-password"];
    let run = ["systemd-run", "--quiet", "--unit", "other", "silvacast"];
    pen.ok(&[&run[..], &push[..], &["/root/dawn.opus", OTHER]].concat());
    wait_for_status(pen, &["--user", &format!("anna:{password}"), OTHER], "200");
    wait_for_status(pen, &[OTHER], "401");
    // The Recorder reconnects by itself.
    wait_for_status(pen, &[&format!("{ULTRAMIC}?token={token}")], "200");
    wait_for_status(pen, &[&format!("{ULTRAMIC}?{link}")], "200");
    wait_for_status(pen, &[ULTRAMIC], "401");
}

fn container(pen: &Pen, document: &mut Document) {
    // Without what needs rights that a pen does not have: limits of memory and tasks, a raised
    // limit of processes, and control groups with filters for devices.
    let unit = include_str!("../../quadlet/silvasonic-icecast.service");
    let command = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    let mut words: Vec<_> = command.split(' ').collect();
    let limit = words.iter().position(|word| *word == "--pids-limit").unwrap();
    words.splice(limit..limit + 2, ["--ulimit", "nproc=1000:1000"]);
    words.retain(|word| !word.starts_with("--memory"));
    let command = words.join(" ").replace("--cgroups=split", "--cgroups=disabled");
    let drop_in = format!("[Service]\nExecStart=\n{command}\n");
    let path = "/etc/systemd/system/silvasonic-icecast.service.d/pen.conf";
    pen.put(path, drop_in.as_bytes(), 0o644);
    pen.script("/root", &document.take("sh", "podman build").text);
    assert_eq!(pen.property("silvasonic-icecast.service", "ActiveState"), "active");
}
