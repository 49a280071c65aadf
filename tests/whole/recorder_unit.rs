//! The Recorder as it is shipped, as a service under a real systemd and as a container in a real
//! Podman: it ends again and again, the clock shows the same second at each start, and no earlier
//! file changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::client::get;
use crate::containers::{import, pen_with_podman, without_limits};
use crate::daemon::PASSWORD;
use crate::documents::Document;
use crate::fetched::debian;
use crate::needs::{Need, needs};
use crate::pen::Pen;
use crate::podman::text;
use crate::process::Run;
use crate::quadlet::file;
use crate::recorder::{RAMP, recorded, samples};
use crate::wait::{PATIENCE, until, when};

const CRASHES: usize = 4;
/// A clock that does not advance, as after a start without a real-time clock and without a network.
const CLOCK: &[u8] = b"#!/bin/sh\necho 20260101T000000Z\n";

/// The recordings in a directory, and what they were when the Recorder was last seen to end.
struct Recordings {
    directory: PathBuf,
    ended: BTreeMap<PathBuf, Vec<u8>>,
}

impl Recordings {
    fn of(directory: PathBuf) -> Self {
        Self { directory, ended: BTreeMap::new() }
    }

    /// The segments of each start.
    fn starts(&self) -> Vec<Vec<PathBuf>> {
        let mut starts = BTreeMap::<String, Vec<PathBuf>>::new();
        for segment in recorded(&self.directory) {
            let name = segment.file_name().unwrap().to_str().unwrap();
            starts.entry(name.rsplit_once('-').unwrap().0.to_owned()).or_default().push(segment);
        }
        starts.into_values().collect()
    }

    /// Waits until this many starts have each recorded half a second.
    fn wait_for_starts(&self, count: usize) {
        until(&format!("the recording of start {count}"), PATIENCE, || {
            let starts = self.starts();
            let size = |start: &Vec<PathBuf>| fs::metadata(&start[0]).unwrap().len();
            let sizes: Vec<_> = starts.iter().map(size).collect();
            when(sizes.len() == count && sizes.iter().all(|&size| size > 48_000), sizes)
        });
    }

    /// Remembers the files of a Recorder that has ended.
    fn remember(&mut self) {
        let files = recorded(&self.directory).into_iter();
        self.ended = files.map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    }

    /// Asserts that the files of earlier starts have not changed, and that no start has a hole.
    fn check(&self, starts: usize) {
        for (file, bytes) in &self.ended {
            assert!(fs::read(file).unwrap() == *bytes, "{} has changed", file.display());
        }
        let found = self.starts();
        assert_eq!(found.len(), starts);
        assert!(found.iter().all(|start| samples(start) > 20_000));
    }
}

/// Waits until a unit has ended and waits for its restart.
fn wait_for_end(pen: &Pen, unit: &str) {
    pen.wait_for("its end", |pen| {
        let state = pen.property(unit, "SubState");
        when(state == "auto-restart", state)
    });
}

/// Ends a unit again and again while it records, and returns what it recorded. `after` is called
/// after each crash.
fn crash(pen: &Pen, unit: &str, directory: &str, after: impl Fn(usize)) -> Recordings {
    let directory = pen.path(directory);
    until("its directory", PATIENCE, || when(directory.exists(), "no such directory"));
    let mut recordings = Recordings::of(directory);
    for crash in 1..=CRASHES {
        recordings.wait_for_starts(crash);
        pen.ok(&["systemctl", "kill", "--signal=KILL", unit]);
        wait_for_end(pen, unit);
        recordings.remember();
        after(crash);
    }
    recordings.wait_for_starts(CRASHES + 1);
    recordings
}

/// A pen in which the clock does not advance.
fn pen() -> Pen {
    let pen = Pen::start();
    pen.put("/usr/local/bin/date", CLOCK, 0o755);
    pen.copy("/root", &["systemd/silvacast-recorder", "systemd/silvacast-recorder@.service"]);
    pen
}

#[test]
fn installed_as_the_guide_says_it_never_overwrites_a_recording() {
    let needed = [Need::Root, Need::Systemd, Need::Program("ffmpeg"), Need::Program("mmdebstrap")];
    if !needs(&needed) {
        return;
    }
    let mut document = Document::open("docs/recorder.md");
    let script = document.take("sh", "exec ffmpeg").text;
    assert_eq!(script, file("systemd/silvacast-recorder"), "the script that is explained");
    as_a_service(&mut document);
    as_a_container(&mut document);
    // What encoder_unit.rs and recorder_lines.rs run.
    for (language, part) in [
        ("toml", "on_demand"),
        ("sh", "silvacast-encoder@"),
        ("ini", "URL="),
        ("", "dsnoop"),
        ("sh", "silvasonic-encoder@"),
        ("ini", "afreqshift"),
        ("ini", "asetrate=19200"),
        ("ini", "asetrate=24000"),
        ("ini", "highpass=f=200"),
        ("sh", "/dev/fd/3"),
    ] {
        document.take(language, part);
    }
}

fn as_a_service(document: &mut Document) {
    let (pen, unit) = (pen(), "silvacast-recorder@ULTRAMIC.service");
    // Neither a sound card nor a server nor a password is there.
    pen.script("/root", &document.take("sh", "systemctl enable").text);
    wait_for_end(&pen, unit);
    let said = pen.ok(&["journalctl", "--no-pager", "--unit", unit]);
    assert!(said.contains("cannot open audio device hw:CARD=ULTRAMIC"), "{said}");
    let directory = "/var/lib/private/silvacast-recorder/ULTRAMIC";
    assert!(recorded(&pen.path(directory)).is_empty(), "a missing sound card leaves files");

    let settings = "/etc/silvacast/recorder-ULTRAMIC.env";
    let input = "INPUT=-f alsa -ar 192000 -ac 1 -i hw:CARD=ULTRAMIC\n";
    let ours = document
        .take("ini", input)
        .with(&[(input, &self::settings(RAMP)), ("station.example", "127.0.0.1")]);
    pen.put(settings, ours.as_bytes(), 0o644);
    let recordings = crash(&pen, unit, directory, |crash| {
        // The second crash finds a server that it can log in to.
        if crash == 1 {
            pen.install();
            pen.ok(&["systemctl", "start", "silvacast.service"]);
        }
    });
    until("a live mount", PATIENCE, || {
        let status = pen.inside(|| get(&8080, "/status-json.xsl")).text();
        when(status.contains("\"state\":\"live\""), status)
    });
    let process = pen.property(unit, "MainPID");
    let login = Command::new("base64").run_with_input(format!("source:{PASSWORD}").as_bytes());
    let login = text(&login.stdout);
    for name in ["cmdline", "environ"] {
        let seen = text(&fs::read(pen.path(&format!("/proc/{process}/{name}"))).unwrap());
        assert!(![PASSWORD, login.trim()].iter().any(|secret| seen.contains(secret)), "{name}");
    }
    pen.ok(&["systemctl", "stop", unit]);
    assert_eq!(pen.property(unit, "Result"), "success");
    recordings.check(CRASHES + 1);
}

fn as_a_container(document: &mut Document) {
    let commands = document.take("sh", "podman build").text;
    let (Some(station), Some(image)) = (debian("trixie"), debian("bookworm")) else { return };
    let pen = pen_with_podman(&station);
    import(&pen, &image, "docker.io/library/debian:12-slim");
    pen.ok(&["podman", "network", "create", "silvasonic-net"]);
    pen.script("/", "echo secret | podman secret create silvasonic-icecast-source-password -");
    pen.put("/root/date", CLOCK, 0o755);
    pen.put("/etc/silvasonic/recorder-ULTRAMIC.env", settings(RAMP).as_bytes(), 0o644);
    without_limits(
        &pen,
        "silvasonic-recorder@",
        "PodmanArgs=--env=INPUT --env=URL\nAddDevice=\nVolume=/root/date:/usr/local/bin/date:ro\n",
    );
    let files = ["quadlet/Containerfile.recorder", "quadlet/silvasonic-recorder@.container"];
    pen.copy("/root", &[&files[..], &["systemd/silvacast-recorder"]].concat());
    // The server's host, where nothing listens. FFmpeg stops late while it looks a name up.
    let (image, host) = ("docker.io/library/debian:12-slim", "--network-alias=icecast");
    let network = ["run", "--detach", "--network=silvasonic-net", host, image];
    pen.ok(&[&["podman"], &network[..], &["sleep", "infinity"]].concat());
    pen.script("/root", &commands);
    let unit = "silvasonic-recorder@ULTRAMIC.service";
    let recordings = crash(&pen, unit, "/var/lib/silvasonic/recordings/ULTRAMIC", |_| ());
    let status =
        pen.ok(&["podman", "exec", "silvasonic-recorder-ULTRAMIC", "cat", "/proc/1/status"]);
    assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
    pen.ok(&["systemctl", "stop", unit]);
    assert_eq!(pen.property(unit, "Result"), "success");
    recordings.check(CRASHES + 1);
}

/// The settings of a Recorder with this input.
fn settings(input: &str) -> String {
    format!("INPUT={}\n", input.replace('\\', r"\\"))
}

#[test]
fn systemd_understands_every_line_of_the_service() {
    if !needs(&[Need::Program("systemd-analyze")]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silvacast-recorder@TEST.service");
    let verify = |more: &str| {
        let program = "/usr/local/bin/silvacast-recorder";
        let unit = file("systemd/silvacast-recorder@.service").replace(program, "/bin/true");
        fs::write(&path, unit + more).unwrap();
        text(&Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).run().stderr)
    };
    assert_eq!(verify(""), "");
    assert!(verify("NoSuchKey=yes\n").contains("NoSuchKey"));
}
