//! The Recorder as it is shipped, as a service under a real systemd and as a container in a real
//! Podman: it ends again and again, the clock shows the same second at each start, and no earlier
//! file changes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::get;
use crate::daemon::PASSWORD;
use crate::fetched::{debian, generator};
use crate::needs::{Need, had, needs};
use crate::pen::Pen;
use crate::podman::{Podman, text};
use crate::process::{Run, Running};
use crate::quadlet::{file, generated, start_command};
use crate::recorder::{RAMP, recorded, samples};
use crate::wait::{PATIENCE, until, when};

const UNIT: &str = "silvacast-recorder@test.service";
const SETTINGS: &str = "/etc/silvacast/recorder-test.env";
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

/// Installs the Recorder in a pen where the clock does not advance, with a ramp as the microphone.
fn install(pen: &Pen) {
    let unit = "/etc/systemd/system/silvacast-recorder@.service";
    pen.put(
        "/usr/local/bin/silvacast-recorder",
        file("systemd/silvacast-recorder").as_bytes(),
        0o755,
    );
    pen.put(unit, file("systemd/silvacast-recorder@.service").as_bytes(), 0o644);
    pen.put("/usr/local/bin/date", CLOCK, 0o755);
    let input = RAMP.replace('\\', r"\\");
    pen.put(
        SETTINGS,
        format!("INPUT={input}\nURL=http://127.0.0.1:8080/mic.opus\n").as_bytes(),
        0o644,
    );
    pen.ok(&["systemctl", "daemon-reload"]);
}

#[test]
fn the_service_never_overwrites_what_it_recorded_before_a_crash() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("ffmpeg")]) {
        return;
    }
    let pen = Pen::start();
    install(&pen);
    // Neither a server nor a password is there.
    pen.ok(&["systemctl", "enable", "--now", UNIT]);
    let directory = pen.path("/var/lib/private/silvacast-recorder/test");
    until("its directory", PATIENCE, || when(directory.exists(), "no such directory"));
    let mut recordings = Recordings::of(directory);
    for crash in 1..=CRASHES {
        recordings.wait_for_starts(crash);
        pen.ok(&["systemctl", "kill", "--signal=KILL", UNIT]);
        pen.wait_for("its end", |pen| {
            let state = pen.property(UNIT, "SubState");
            when(state == "auto-restart", state)
        });
        recordings.remember();
        // The second crash finds a server that it can log in to.
        if crash == 1 {
            pen.install();
            pen.ok(&["systemctl", "start", "silvacast.service"]);
        }
    }
    recordings.wait_for_starts(CRASHES + 1);
    until("a live mount", PATIENCE, || {
        let status = pen.inside(|| get(&8080, "/status-json.xsl")).text();
        when(status.contains("\"state\":\"live\""), status)
    });
    let process = pen.property(UNIT, "MainPID");
    for name in ["cmdline", "environ"] {
        let seen = fs::read(pen.path(&format!("/proc/{process}/{name}"))).unwrap();
        let login = text(
            &Command::new("base64").run_with_input(format!("source:{PASSWORD}").as_bytes()).stdout,
        );
        assert!(
            ![PASSWORD, login.trim()].iter().any(|secret| text(&seen).contains(secret)),
            "{name}"
        );
    }
    pen.ok(&["systemctl", "stop", UNIT]);
    assert_eq!(pen.property(UNIT, "Result"), "success");
    recordings.check(CRASHES + 1);
}

#[test]
fn a_missing_sound_card_leaves_no_files() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("ffmpeg")]) {
        return;
    }
    let pen = Pen::start();
    install(&pen);
    let unit = "silvacast-recorder@NONE.service";
    pen.ok(&["systemctl", "start", unit]);
    pen.wait_for("two restarts", |pen| {
        let restarts = pen.property(unit, "NRestarts");
        when(restarts.parse::<u32>().unwrap() >= 2, restarts)
    });
    let said = pen.ok(&["journalctl", "--no-pager", "--unit", unit]);
    assert!(said.contains("cannot open audio device hw:CARD=NONE"), "{said}");
    assert!(recorded(&pen.path("/var/lib/private/silvacast-recorder/NONE")).is_empty());
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

const NAME: &str = "silvasonic-recorder@";
const IMAGE: &str = "localhost/silvacast-recorder:latest";

/// The Debian that the image is made from, as an image of the name that the Containerfile has.
fn base_image(podman: &Podman, debian: &Path) {
    let mut tar = Command::new("tar");
    tar.args(["--exclude=./usr/share/doc", "--exclude=./usr/share/locale", "--exclude=./dev"]);
    let mut tar =
        tar.arg("-C").arg(debian).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
    let mut import = podman.inside("podman");
    import.args(["import", "--quiet", "-", "docker.io/library/debian:12-slim"]);
    let mut import =
        import.stdin(tar.stdout.take().unwrap()).stdout(Stdio::null()).spawn().unwrap();
    assert!(import.wait().unwrap().success());
    assert!(tar.wait().unwrap().success());
}

#[test]
fn the_container_never_overwrites_what_it_recorded_before_a_crash() {
    if !needs(&[Need::Root, Need::Podman, Need::Program("mmdebstrap")]) {
        return;
    }
    let (Some(generator), Some(debian)) = (generator(), debian()) else { return };
    let Some(podman) = had("namespaces", Podman::start()) else { return };
    base_image(&podman, &debian);
    let context = env!("CARGO_MANIFEST_DIR");
    let recipe = format!("{context}/quadlet/Containerfile.recorder");
    podman.run(&["build", "--isolation=chroot", "-t", IMAGE, "-f", &recipe, context]);
    podman.run(&["network", "create", "silvasonic-net"]);
    podman.secret("silvasonic-icecast-source-password", PASSWORD);

    let container = file("quadlet/silvasonic-recorder@.container").replace("%i", "test");
    let unit = generated(&generator, NAME, &container);
    assert!(unit.lines().any(|line| line == "Restart=always"), "{unit}");
    let place = podman.place("recordings");
    fs::create_dir(&place).unwrap();
    podman.write("date", &text(CLOCK));
    let clock = podman.place("date");
    Command::new("chmod").args(["+x", &clock]).run();
    let cidfile = format!("--cidfile={}", podman.place("cid"));
    let volume = format!("{place}:/recordings");
    let changes = [
        ("/var/lib/silvasonic/recordings/test:/recordings", volume.as_str()),
        // A machine without a sound card.
        ("/dev/snd", "/dev/null"),
    ];
    let mut command = start_command(&unit, &cidfile, &changes);
    let image = command.len() - 1;
    let clock = format!("--volume={clock}:/usr/local/bin/date:ro");
    let limits = ["nofile=1024:1024", "nproc=1000:1000"].map(|limit| format!("--ulimit={limit}"));
    command.splice(image..image, limits.into_iter().chain([clock]));
    let log = podman.place("log");
    let mut recordings = Recordings::of(PathBuf::from(place));
    for crash in 1..=CRASHES {
        let mut start = podman.inside(&command[0]);
        start.args(&command[1..]).env("INPUT", RAMP).env("URL", "http://icecast:8080/mic.opus");
        // The container writes to what its start writes to.
        start.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let started = Running::start(&mut start).wait(PATIENCE);
        assert!(started.success(), "{}", fs::read_to_string(&log).unwrap());
        recordings.wait_for_starts(crash);
        let user = podman.run(&["exec", "silvasonic-recorder-test", "cat", "/proc/1/status"]);
        assert!(user.contains("CapEff:\t0000000000000000\n"), "{user}");
        podman.run(&["kill", "--signal=KILL", "silvasonic-recorder-test"]);
        podman.run(&["rm", "--force", "--ignore", "silvasonic-recorder-test"]);
        fs::remove_file(podman.place("cid")).unwrap();
        recordings.remember();
    }
    recordings.check(CRASHES);
}
