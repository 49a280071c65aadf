//! The encoder on demand as it is shipped: as a service under a real systemd, and as a container in
//! a real Podman.

use std::fs;
use std::process::Command;

use crate::client::Listener;
use crate::containers::{import, pen_with_podman, without_limits};
use crate::daemon::PASSWORD;
use crate::documents::block;
use crate::fetched::debian;
use crate::needs::{Need, had, needs};
use crate::other_servers::wait_for_state;
use crate::pen::Pen;
use crate::players::{assert_unbroken_tone, decode};
use crate::podman::{static_binary, text};
use crate::process::Run;
use crate::recorder::RAMP;
use crate::wait::{PATIENCE, until, when};

const GUIDE: &str = "docs/recorder.md";
const MOUNT: &str = "/mic-ULTRAMIC.opus";
const SETTINGS: &[u8] = b"INPUT=-re -f lavfi -i sine=997:r=48000\n";
const IDLE: &str = "idle: nobody listens";

/// The rule of the guide, with waits that suit a test.
fn rule() -> String {
    let rule = block(GUIDE, "toml", "on_demand").text;
    rule + "linger = \"200ms\"\ngap_after = \"100ms\"\nhold = \"100ms\"\n"
}

fn wait_for_status(pen: &Pen, unit: &str, status: &str) {
    pen.wait_for(status, |pen| {
        let seen = pen.property(unit, "StatusText");
        when(seen == status, seen)
    });
}

/// The command lines of all processes in a pen, one a line.
fn commands(pen: &Pen) -> String {
    pen.script("/", "for it in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $it || true; echo; done")
}

/// Listens twice, and sees the encoder start and stop.
fn listen_twice(pen: &Pen, unit: &str) {
    let login = Command::new("base64").run_with_input(format!("source:{PASSWORD}").as_bytes());
    let login = text(&login.stdout);
    for _ in 0..2 {
        wait_for_status(pen, unit, IDLE);
        pen.inside(|| wait_for_state(&8080, MOUNT, "idle"));
        assert!(!commands(pen).contains("-fpre"));
        let mut listener = pen.inside(|| Listener::join(&8080, MOUNT));
        listener.headers();
        assert_unbroken_tone(unit, &pen.inside(|| decode(&8080, MOUNT)));
        wait_for_status(pen, unit, "encoding");
        let commands = commands(pen);
        assert!(commands.contains("-fpre /dev/stdin"), "{commands}");
        assert!(![PASSWORD, login.trim()].iter().any(|it| commands.contains(it)), "{commands}");
    }
    wait_for_status(pen, unit, IDLE);
    assert!(!commands(pen).contains("-fpre"));
}

#[test]
fn the_service_encodes_while_somebody_listens_and_only_then() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("ffmpeg")]) {
        return;
    }
    let (pen, unit) = (Pen::start(), "silvacast-encoder@ULTRAMIC.service");
    pen.install();
    let configuration = pen.ok(&["cat", "/etc/silvacast/silvacast.toml"]) + &rule();
    pen.put("/etc/silvacast/silvacast.toml", configuration.as_bytes(), 0o644);
    pen.ok(&["systemctl", "start", "silvacast.service"]);
    pen.copy("/root", &["systemd/silvacast-encoder", "systemd/silvacast-encoder@.service"]);
    pen.put("/etc/silvacast/encoder-ULTRAMIC.env", SETTINGS, 0o644);
    pen.script("/root", &block(GUIDE, "sh", "systemctl enable --now silvacast-encoder@").text);
    listen_twice(&pen, unit);

    // It comes back, whatever ends it, and leaves no encoder behind.
    let listener = pen.inside(|| Listener::join(&8080, MOUNT));
    wait_for_status(&pen, unit, "encoding");
    pen.ok(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit]);
    pen.wait_for_restarts(unit, 1);
    drop(listener);
    let _listener = pen.inside(|| Listener::join(&8080, MOUNT));
    wait_for_status(&pen, unit, "encoding");
    assert_eq!(commands(&pen).matches("-fpre").count(), 1);
    pen.ok(&["systemctl", "stop", unit]);
    assert_eq!(pen.property(unit, "Result"), "success");
    assert!(!commands(&pen).contains("-fpre"));
}

/// The sound cards that this Debian's ALSA looks for, and does not find.
#[test]
fn alsa_understands_the_devices_and_a_missing_card_is_said() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("ffmpeg")]) {
        return;
    }
    let pen = Pen::start();
    pen.put("/etc/asound.conf", block(GUIDE, "", "dsnoop").text.as_bytes(), 0o644);
    let open = |device: &str| {
        let input = ["ffmpeg", "-nostdin", "-f", "alsa", "-ar", "192000", "-ac", "1", "-i", device];
        text(&pen.run(&[&input[..], &["-f", "null", "-"]].concat()).stderr)
    };
    let settings = block(GUIDE, "ini", "URL=\n").text;
    let device = settings.lines().find(|line| line.starts_with("INPUT=")).unwrap();
    for device in [device.rsplit(' ').next().unwrap(), "ultramic"] {
        let said = open(device);
        assert!(said.contains("(No such device)") && said.contains("ULTRAMIC"), "{said}");
    }
    let said = open("dsnoop:CARD=ULTRAMIC,SPEED=1");
    assert!(said.contains("Unknown parameter SPEED"), "{said}");
}

#[test]
fn the_memory_of_a_shared_sound_card_outlives_a_recorder() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("ffmpeg"), Need::Program("ipcmk")]) {
        return;
    }
    let (pen, encoder) = (Pen::start(), "silvacast-encoder@ULTRAMIC.service");
    let recorder = "silvacast-recorder@ULTRAMIC.service";
    pen.install();
    pen.copy("/usr/local", &["systemd/silvacast-recorder", "systemd/silvacast-encoder"]);
    pen.script("/usr/local/systemd", "install -m 755 silvacast-* /usr/local/bin/");
    let input = format!("INPUT={}\nURL=\n", RAMP.replace('\\', r"\\"));
    pen.put("/etc/silvacast/recorder-ULTRAMIC.env", input.as_bytes(), 0o644);
    pen.ok(&["systemctl", "start", encoder, recorder]);
    let user = format!("/proc/{}", pen.property(recorder, "MainPID"));
    let user = pen.ok(&["stat", "--format=%u", &user]);
    // What ALSA does for the first reader of a sound card.
    pen.ok(&["setpriv", "--reuid", user.trim(), "ipcmk", "--shmem", "64"]);
    let memory = || pen.ok(&["ipcs", "--shmems"]).lines().filter(|it| it.starts_with("0x")).count();
    pen.ok(&["systemctl", "restart", recorder]);
    assert_eq!(memory(), 1);
    pen.ok(&["systemctl", "stop", recorder, encoder]);
    // Otherwise the units need not share a user. It is removed with the user, a moment after the units have stopped.
    until("the removal of the memory", PATIENCE, || when(memory() == 0, memory()));
}

#[test]
fn the_container_encodes_while_somebody_listens_and_only_then() {
    if !needs(&[Need::Root, Need::Systemd, Need::Program("mmdebstrap"), Need::Podman]) {
        return;
    }
    let (Some(station), Some(image)) = (debian("trixie"), debian("bookworm")) else { return };
    let Some(binary) = had("a static binary", static_binary()) else { return };
    let pen = pen_with_podman(&station);
    import(&pen, &image, "docker.io/library/debian:12-slim");
    let files = ["quadlet/Containerfile", "quadlet/Containerfile.recorder"];
    let more = ["quadlet/Containerfile.encoder", "quadlet/silvasonic-encoder@.container"];
    let scripts = ["systemd/silvacast-recorder", "systemd/silvacast-encoder"];
    pen.copy("/root", &[&files[..], &more, &scripts, &["quadlet/silvacast.toml"]].concat());
    pen.put("/root/silvacast", &fs::read(binary).unwrap(), 0o755);
    let toml = pen.ok(&["cat", "/root/quadlet/silvacast.toml"]) + &rule();
    pen.put("/root/quadlet/silvacast.toml", toml.as_bytes(), 0o644);
    let script = "podman build -t localhost/silvacast:latest --build-arg BINARY=silvacast \
                  -f quadlet/Containerfile .
        podman build -t localhost/silvacast-recorder:latest -f quadlet/Containerfile.recorder .
        podman network create silvasonic-net";
    pen.script("/root", script);
    for name in ["source-password", "admin-password"] {
        let password = if name == "source-password" { PASSWORD } else { "another" };
        let name = format!("silvasonic-icecast-{name}");
        pen.script("/", &format!("echo {password} | podman secret create {name} -"));
    }
    let secret = |name: &str| {
        format!("--secret=silvasonic-icecast-{name},target={name},uid=65534,mode=0400")
    };
    let secrets = [secret("source-password"), secret("admin-password")];
    let network = ["run", "--detach", "--network=silvasonic-net", "--network-alias=icecast"];
    let server = ["--publish=8080:8080", &*secrets[0], &*secrets[1], "localhost/silvacast:latest"];
    pen.ok(&[&["podman"], &network[..], &server].concat());

    pen.put("/etc/silvasonic/encoder-ULTRAMIC.env", SETTINGS, 0o644);
    let lines = "PodmanArgs=--ipc=host --env=INPUT --env=FILTER --env=SERVER --env=MOUNT \
                 --env=JOURNAL_STREAM\nAddDevice=\n";
    without_limits(&pen, "silvasonic-encoder@", lines);
    pen.script("/root", &block(GUIDE, "sh", "silvasonic-encoder@.container").text);
    listen_twice(&pen, "silvasonic-encoder@ULTRAMIC.service");
    let unit = "silvasonic-encoder@ULTRAMIC.service";
    let status =
        pen.ok(&["podman", "exec", "silvasonic-encoder-ULTRAMIC", "cat", "/proc/1/status"]);
    assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
    pen.ok(&["systemctl", "stop", unit]);
    assert_eq!(pen.property(unit, "Result"), "success");
}
