//! The Debian package, from its installation to its purge.

use std::process::Command;

use crate::needs::{Need, needs, package};
use crate::pen::Pen;
use crate::process::{Run, Running};
use crate::quadlet::file;
use crate::wait::when;

const UNIT: &str = "silvacast.service";
const CONFIGURATION: &str = "/etc/silvacast/silvacast.toml";
const PASSWORDS: [&str; 2] = ["/etc/silvacast/source-password", "/etc/silvacast/admin-password"];
const PACKAGE: &str = "/tmp/silvacast.deb";

fn curl(pen: &Pen, path: &str) -> String {
    let url = format!("http://127.0.0.1:8080{path}");
    pen.ok(&["curl", "--silent", "--show-error", "--fail", &url])
}

fn read(pen: &Pen, file: &str) -> String {
    pen.ok(&["cat", file])
}

/// Every path on the machine with `silvacast` in it.
fn traces(pen: &Pen) -> String {
    pen.ok(&["find", "/etc", "/usr", "/var", "/run", "-path", "*silvacast*"])
}

fn catalog_knows_it(pen: &Pen) -> bool {
    pen.ok(&["journalctl", "--list-catalog"]).contains("silvacast")
}

/// A pen with the package installed, and the traces that were there before.
fn pen_with_package() -> (Pen, String) {
    let pen = Pen::start();
    let before = traces(&pen);
    pen.put(PACKAGE, &std::fs::read(package().unwrap()).unwrap(), 0o644);
    pen.ok(&["dpkg", "--install", PACKAGE]);
    (pen, before)
}

/// The same package under a higher version, with one of its files edited by sed.
fn repack(pen: &Pen, version: &str, file: &str, edit: &str) -> String {
    let (folder, result) = (format!("/tmp/{version}"), format!("/tmp/{version}.deb"));
    pen.ok(&["dpkg-deb", "--raw-extract", PACKAGE, &folder]);
    let control = format!("{folder}/DEBIAN/control");
    pen.ok(&["sed", "--in-place", &format!("s/^Version:.*/Version: {version}/"), &control]);
    pen.ok(&["sed", "--in-place", edit, &format!("{folder}{file}")]);
    pen.ok(&["dpkg-deb", "-Znone", "--build", &folder, &result]);
    result
}

#[test]
fn installed_it_serves_on_loopback_with_generated_passwords() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("dpkg"), Need::Package]) {
        return;
    }
    let (pen, _) = pen_with_package();
    assert_eq!(pen.property(UNIT, "ActiveState"), "active");
    assert_eq!(pen.ok(&["systemctl", "is-enabled", UNIT]).trim(), "enabled");
    let socket = pen.run(&["systemctl", "is-enabled", "silvacast.socket"]).stdout;
    assert_eq!(String::from_utf8_lossy(&socket).trim(), "disabled");
    assert_eq!(curl(&pen, "/healthz").trim(), "ok");
    pen.ok(&["ip", "address", "add", "192.0.2.1/32", "dev", "lo"]);
    let beyond = pen.run(&["curl", "--silent", "http://192.0.2.1:8080/healthz"]);
    assert_eq!(beyond.status.code(), Some(7), "it listens on loopback only");

    for file in PASSWORDS {
        assert_eq!(
            pen.ok(&["stat", "--format=%a %U:%G %F", file]).trim(),
            "600 root:root regular file"
        );
        let password = read(&pen, file);
        let password = password.trim();
        assert_eq!(password.len(), 24);
        assert!(password.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
    }
    assert_ne!(read(&pen, PASSWORDS[0]), read(&pen, PASSWORDS[1]));
    assert!(catalog_knows_it(&pen));
    let configuration = read(&pen, CONFIGURATION);
    let schema = configuration.lines().next().unwrap().strip_prefix("#:schema ").unwrap();
    assert_eq!(read(&pen, schema), include_str!("../../docs/silvacast.schema.json"));

    for example in [
        "systemd/silvacast-recorder",
        "systemd/silvacast-recorder@.service",
        "systemd/silvacast-encoder",
        "systemd/silvacast-encoder@.service",
        "quadlet/silvasonic-encoder@.container",
        "quadlet/Containerfile.encoder",
    ] {
        let installed = read(&pen, &format!("/usr/share/doc/silvacast/examples/{example}"));
        assert_eq!(installed, file(example), "{example}");
    }

    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/dawn.opus");
    pen.put("/tmp/dawn.opus", &std::fs::read(clip).unwrap(), 0o644);
    let mut push = pen.command(&["silvacast", "push", "--loop", "--password-file", PASSWORDS[0]]);
    push.args(["/tmp/dawn.opus", "http://127.0.0.1:8080/dawn.opus"]);
    let push = Running::start_quietly(&mut push);
    let status_with = |part: &str| {
        pen.wait_for(part, |pen| {
            let status = curl(pen, "/status-json.xsl");
            when(status.contains(part), status)
        });
    };
    status_with("dawn.opus");
    drop(push);
    status_with("\"gap\"");
}

#[test]
fn an_upgrade_keeps_the_administrator_s_changes() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("dpkg"), Need::Package]) {
        return;
    }
    let (pen, _) = pen_with_package();
    let secrets = PASSWORDS.map(|file| read(&pen, file));
    let first = pen.property(UNIT, "MainPID");
    pen.ok(&["sed", "--in-place", "s/^location.*/location = \"Fen\"/", CONFIGURATION]);
    let edited = read(&pen, CONFIGURATION);
    assert!(edited.contains("Fen"));

    // A package with the same configuration does not ask, and the new version runs.
    let unit = "/usr/lib/systemd/system/silvacast.service";
    let same = repack(&pen, "9.0.0-1", unit, "s/^Description=.*/Description=The new one/");
    pen.ok(&["dpkg", "--install", &same]);
    assert_eq!(read(&pen, CONFIGURATION), edited);
    assert_eq!(pen.property(UNIT, "ActiveState"), "active");
    assert_eq!(pen.property(UNIT, "Description"), "The new one");
    assert_ne!(pen.property(UNIT, "MainPID"), first);
    assert!(curl(&pen, "/status-json.xsl").contains("Fen"));

    // A package with another configuration asks. Without an answer it is not configured, and the old version runs on.
    let running = pen.property(UNIT, "MainPID");
    let other = repack(&pen, "9.0.1-1", CONFIGURATION, "s/Earth/Moor/");
    let asked = pen.run(&["dpkg", "--install", &other]);
    assert!(!asked.status.success());
    let question = String::from_utf8_lossy(&asked.stderr);
    assert!(question.contains("Modified (by you or by a script) since installation"), "{question}");
    assert!(question.contains("keep your current version"), "{question}");
    assert_eq!(pen.property(UNIT, "MainPID"), running);
    pen.ok(&["dpkg", "--force-confold", "--install", &other]);
    assert_eq!(read(&pen, CONFIGURATION), edited);
    assert!(read(&pen, &format!("{CONFIGURATION}.dpkg-dist")).contains("Moor"));
    assert_ne!(pen.property(UNIT, "MainPID"), running);
    assert!(curl(&pen, "/status-json.xsl").contains("Fen"));

    assert_eq!(PASSWORDS.map(|file| read(&pen, file)), secrets);
}

#[test]
fn removed_it_leaves_its_configuration_and_purged_it_leaves_nothing() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("dpkg"), Need::Package]) {
        return;
    }
    let (pen, before) = pen_with_package();
    let secrets = PASSWORDS.map(|file| read(&pen, file));
    // The socket would start the service again if it stayed open.
    pen.ok(&["systemctl", "stop", UNIT]);
    pen.ok(&["systemctl", "enable", "--now", "silvacast.socket", UNIT]);

    pen.ok(&["dpkg", "--remove", "silvacast"]);
    for unit in [UNIT, "silvacast.socket"] {
        assert_eq!(pen.property(unit, "ActiveState"), "inactive", "{unit}");
    }
    assert!(!pen.run(&["curl", "--silent", "http://127.0.0.1:8080/healthz"]).status.success());
    assert!(!pen.run(&["test", "-e", "/usr/bin/silvacast"]).status.success());
    assert!(read(&pen, CONFIGURATION).contains("127.0.0.1:8080"));
    assert_eq!(PASSWORDS.map(|file| read(&pen, file)), secrets);

    pen.ok(&["dpkg", "--install", PACKAGE]);
    assert_eq!(pen.property(UNIT, "ActiveState"), "active");
    assert_eq!(PASSWORDS.map(|file| read(&pen, file)), secrets);

    pen.ok(&["dpkg", "--purge", "silvacast"]);
    assert_eq!(traces(&pen), before);
    assert!(!catalog_knows_it(&pen));
}

#[test]
fn files_that_the_administrator_added_survive_a_purge() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("dpkg"), Need::Package]) {
        return;
    }
    let (pen, _) = pen_with_package();
    pen.put("/etc/silvacast/notes", b"mine", 0o644);
    pen.ok(&["dpkg", "--purge", "silvacast"]);
    assert_eq!(pen.ok(&["ls", "/etc/silvacast"]).trim(), "notes");
}

#[test]
fn lintian_does_not_complain() {
    if !needs(&[Need::Program("lintian"), Need::Package]) {
        return;
    }
    let mut lintian = Command::new("lintian");
    let output = lintian.args(["--fail-on", "error,warning"]).arg(package().unwrap()).run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_packages_changelog_is_about_this_version() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/debian/changelog");
    let changelog = std::fs::read_to_string(file).unwrap();
    let entry = concat!("silvacast (", env!("CARGO_PKG_VERSION"), "-");
    assert!(changelog.starts_with(entry), "{changelog}");
}
