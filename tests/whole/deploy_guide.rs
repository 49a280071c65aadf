//! The commands of `docs/deploy.md`, pasted into a Debian 13 with its own systemd, Podman and
//! Quadlet, where an Icecast container runs that silvacast replaces.

use std::fs;
use std::process::Command;

use crate::containers::{pen_with_podman, without_limits};
use crate::daemon::{Daemon, PASSWORD};
use crate::documents::Document;
use crate::fetched::debian;
use crate::needs::{Need, had, needs};
use crate::pen::Pen;
use crate::players::finish;
use crate::podman::static_binary;
use crate::wait::when;

/// `just cross` on a machine that has built the binary.
const JUST: &[u8] = b"#!/bin/sh -e
[ \"$*\" = cross ]
install -D /usr/bin/silvacast target/aarch64-unknown-linux-musl/release/silvacast
";
/// The station is this machine.
const SSH: &[u8] = b"#!/bin/sh -e
[ \"$1\" = STATION ]
shift
exec \"$@\"
";
const FILES: [&str; 6] = [
    "quadlet/Containerfile",
    "quadlet/silvacast.toml",
    "quadlet/silvasonic-icecast.container",
    "systemd/silvacast.toml",
    "systemd/silvacast.service",
    "systemd/silvacast.socket",
];

#[test]
fn every_command_of_the_guide_works_as_it_stands() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("mmdebstrap")]) {
        return;
    }
    let mut document = Document::open("docs/deploy.md");
    let Some(debian) = debian("trixie") else { return };
    let Some(binary) = had("a static binary", static_binary()) else { return };
    let pen = pen_with_podman(&debian);
    pen.put("/usr/bin/silvacast", &fs::read(binary).unwrap(), 0o755);
    pen.copy("/root", &FILES);
    replace_a_container(&pen, &mut document);
    pen.script("/root", "mv /usr/bin/silvacast .");
    install_a_service(&pen, &mut document);
}

fn replace_a_container(pen: &Pen, document: &mut Document) {
    pen.put("/usr/local/bin/just", JUST, 0o755);
    pen.put("/usr/local/bin/ssh", SSH, 0o755);
    pen.script("/root", &document.take("sh", "podman build").text);

    // The container that is replaced answers as Icecast behind Caddy does.
    let secrets = "/root/old";
    for name in ["source-password", "admin-password"] {
        pen.put(&format!("{secrets}/{name}"), b"the Recorders have it\n", 0o644);
    }
    pen.script(
        "/",
        "podman network create silvasonic-net
        podman run --detach --name silvasonic-icecast --network silvasonic-net --publish 80:8080 \
            --volume /root/old:/run/secrets localhost/silvacast:latest",
    );
    let host = ("HOST", "127.0.0.1");
    pen.wait_for("the old container", |pen| {
        let status = pen.run(&["curl", "-sf", "http://127.0.0.1/stream/status-json.xsl"]);
        when(status.status.success(), status)
    });
    pen.script("/root", &document.take("sh", "podman inspect").with(&[host]));
    assert!(pen.ok(&["cat", "/root/before.json"]).contains("icestats"));

    let files = ["source-password", "admin-password"]
        .map(|name| (format!("{name} FILE"), format!("{name} {secrets}/{name}")));
    let files = files.each_ref().map(|(from, to)| (from.as_str(), to.as_str()));
    pen.script("/root", &document.take("sh", "podman secret create").with(&files));
    let said = pen.script("/root", &document.take("sh", " check --config").text);
    assert!(said.contains(" MiB  in all"), "{said}");
    pen.ok(&["podman", "stop", "silvasonic-icecast"]);
    pen.script("/root", &document.take("sh", "podman rename").text);
    without_limits(pen, "silvasonic-icecast", "PodmanArgs=--env=JOURNAL_STREAM\n");
    pen.script("/root", &document.take("sh", "systemctl start").text);

    // Caddy would find it at its name in this network.
    let address = "{{(index .NetworkSettings.Networks \"silvasonic-net\").IPAddress}}";
    let address = pen.ok(&["podman", "inspect", "--format", address, "silvasonic-icecast"]);
    let host = format!("{}:8080", address.trim());
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/dawn.opus");
    pen.put("/root/dawn.opus", &fs::read(clip).unwrap(), 0o644);
    let url = format!("http://{host}/dawn.opus");
    let push = ["silvacast", "push", "--loop", "--password-file", "/root/old/source-password"];
    let run = ["systemd-run", "--quiet", "--unit", "push"];
    pen.ok(&[&run[..], &push[..], &["/root/dawn.opus", &url]].concat());
    pen.wait_for("the mount", |pen| {
        let mount = pen.run(&["curl", "-sfI", &url]);
        when(mount.status.success(), mount)
    });
    let after =
        document.take("sh", "journalctl -u").with(&[("HOST", &host), ("MOUNT", "dawn.opus")]);
    let said = pen.script("/root", &after);
    for part in ["active (running)", "well\n", "found\n", "icestats", "OggS"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    pen.ok(&["systemctl", "stop", "push"]);

    pen.script("/root", &document.take("sh", "podman rename icecast-before").text);
    pen.ok(&["podman", "start", "silvasonic-icecast"]);
    pen.ok(&["podman", "rm", "--force", "silvasonic-icecast"]);
}

fn install_a_service(pen: &Pen, document: &mut Document) {
    pen.script("/root", &document.take("sh", "systemctl enable --now silvacast.service").text);
    let health = pen.ok(&["curl", "-sf", "http://127.0.0.1:8080/healthz"]);
    assert_eq!(health, "ok\n");
    let check = document.take("sh", "CREDENTIALS_DIRECTORY=").text;
    assert!(pen.script("/root", &check).contains(" MiB  in all"));
    push_through_a_proxy(document);
    let schema = document.take("toml", "#:schema").text;
    let shipped = pen.ok(&["cat", "/etc/silvacast/silvacast.toml"]);
    assert!(shipped.starts_with(&schema), "{schema}");
    pen.put("/etc/silvacast/silvacast.toml", schema.as_bytes(), 0o644);
    pen.script("/root", &check);
}

/// `proxy.rs` and `proxy_push.rs` run the setups whole; here their lines are those of the page.
fn push_through_a_proxy(document: &mut Document) {
    let settings = document.take("toml", "path_prefix").text;
    let server = Daemon::with(&settings, "");
    let forwarding = document.take("", "proxy_set_header").text;
    let push = document.take("", "-chunked_post 1").with(&[
        ("ffmpeg …", "ffmpeg -nostdin -loglevel error -f lavfi -i sine -t 1 -c:a libopus"),
        ("PASSWORD@HOST", &format!("{PASSWORD}@127.0.0.1:{}", server.port)),
    ]);
    finish(Command::new("bash").args(["-e", "-c", &push]));
    server.wait_for_line(&["stream-began", "mount=\"/mic-a.opus\""]);
    let streaming = document.take("", "proxy_request_buffering").text;
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    let configuration = format!(
        "pid {place}/pid; error_log stderr; events {{}} http {{ access_log off; server {{
        listen unix:{place}/socket; location /stream/ {{ proxy_pass http://127.0.0.1:9;
        {forwarding} {streaming} }} }} }}"
    );
    let file = directory.path().join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    finish(Command::new("nginx").args(["-t", "-q", "-c"]).arg(&file));
}
