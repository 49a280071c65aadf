//! The recording contract: one FFmpeg writes WAV files and sends live audio. Whatever happens to
//! the server, the WAV files have every sample, and the live mount returns without help.

use std::fs::read_dir;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::client::{Listener, get};
use crate::daemon::{Daemon, PASSWORD};
use crate::players::finish;
use crate::port::Port;
use crate::process::Running;
use crate::valve::Valve;
use crate::wait::{PATIENCE, until, when};

const LIVE: [&str; 3] = ["event=\"stream-", "codec=", "mount=\"/mic.opus\""];

/// The script of `docs/recorder.md`, recording a ramp: each sample is one more than the last.
struct Recorder {
    ffmpeg: Running,
    recordings: TempDir,
    seconds: usize,
    /// The script and the password.
    _files: TempDir,
}

impl Recorder {
    fn start(port: u16, seconds: usize) -> Self {
        let (recordings, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (script, password) = (files.path().join("recorder"), files.path().join("password"));
        std::fs::write(&script, recommended()).unwrap();
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let mut command = Command::new("sh");
        command.arg(script);
        command.env("INPUT", format!("{RAMP}:d={seconds}"));
        command.env("RECORDINGS", recordings.path()).env("PASSWORD_FILE", password);
        command.env("URL", format!("http://127.0.0.1:{port}/mic.opus"));
        let ffmpeg = Running::start_quietly(&mut command);
        Self { ffmpeg, recordings, seconds, _files: files }
    }

    /// Waits until the recording ends by itself, and counts its samples.
    fn finish(mut self) {
        assert!(self.ffmpeg.is_running(), "the recording ended too early for this test");
        self.ffmpeg.wait(PATIENCE);
        assert_eq!(samples(&recorded(self.recordings.path())), self.seconds * 48_000);
    }
}

/// An input whose samples go from the lowest value to the highest, one at a time, and wrap.
pub(crate) const RAMP: &str = r"-re -f lavfi -i aevalsrc=(mod(n\,65536)-32768)/32768:s=48000";

/// The script in `docs/recorder.md`.
fn recommended() -> &'static str {
    let manual = include_str!("../../docs/recorder.md");
    let script = manual.split("```sh\n").nth(1).expect("a script");
    script.split("```").next().unwrap()
}

/// The segments in a directory, in the order of their names.
pub(crate) fn recorded(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// The number of samples in the segments of one start; asserts that none is missing between them.
pub(crate) fn samples(segments: &[PathBuf]) -> usize {
    let mut count = 0;
    for file in segments {
        let wav = std::fs::read(file).unwrap();
        let data = wav.windows(4).position(|bytes| bytes == b"data").unwrap() + 8;
        for pair in wav[data..].as_chunks::<2>().0 {
            // The ramp begins with the lowest value.
            let wanted = (count as u16 ^ 0x8000).cast_signed();
            assert_eq!(i16::from_le_bytes(*pair), wanted, "sample {count} in {}", file.display());
            count += 1;
        }
    }
    count
}

fn wait_until_live(server: &Daemon, times: usize) {
    server.wait_for_lines(&LIVE, times);
    until("a live mount", PATIENCE, || {
        let status = get(server, "/status-json.xsl").text();
        when(status.contains("\"state\":\"live\""), status)
    });
}

fn start(port: &Port) -> Daemon {
    Daemon::on(port, PASSWORD, "", "")
}

#[test]
fn ffmpeg_alone_overwrites_segments_as_the_guide_says() {
    let directory = tempfile::tempdir().unwrap();
    let record = |options: &[&str], name: &str| {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-n", "-f", "lavfi", "-i", "sine=d=3", "-f", "segment"]);
        ffmpeg.args(["-segment_time", "1"]).args(options).arg(directory.path().join(name));
        finish(&mut ffmpeg);
    };
    record(&[], "segment-%06d.wav");
    let first = &recorded(directory.path())[0];
    std::fs::write(first, "recorded before").unwrap();
    record(&[], "segment-%06d.wav");
    assert!(std::fs::read(first).unwrap().starts_with(b"RIFF"), "-n protects the file");
    assert_eq!(recorded(directory.path()).len(), 3);
    record(&["-strftime", "1"], "clock-%Y%m%dT%H%M%SZ.wav");
    // Three segments, written within a second or two.
    assert!(recorded(directory.path()).len() < 3 + 3, "each has a name of its own");
}

#[test]
fn the_server_is_absent_at_first() {
    let port = Port::reserve();
    let recorder = Recorder::start(port.number(), 12);
    until("half a second of audio in a file", PATIENCE, || {
        let files = recorded(recorder.recordings.path()).into_iter();
        let sizes: Vec<_> = files.map(|file| file.metadata().unwrap().len()).collect();
        when(sizes.iter().any(|&size| size > 48_000), sizes)
    });
    let server = start(&port);
    wait_until_live(&server, 1);
    recorder.finish();
}

#[test]
fn the_server_is_killed_and_comes_back() {
    let port = Port::reserve();
    let server = start(&port);
    let recorder = Recorder::start(port.number(), 15);
    wait_until_live(&server, 1);
    drop(server);
    let server = start(&port);
    wait_until_live(&server, 1);
    drop(server);
    let server = start(&port);
    wait_until_live(&server, 1);
    recorder.finish();
}

#[test]
fn the_server_is_stopped_for_twenty_seconds() {
    let server = Daemon::start();
    let recorder = Recorder::start(server.port, 32);
    wait_until_live(&server, 1);
    server.signal(Signal::SIGSTOP);
    // The Recorder's files are the clock: each segment is 5 s long.
    until("the sixth segment", PATIENCE, || {
        let segments = recorded(recorder.recordings.path()).len();
        when(segments == 6, segments)
    });
    server.signal(Signal::SIGCONT);
    wait_until_live(&server, 2);
    recorder.finish();
}

#[test]
fn something_accepts_and_never_reads() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"1s\"");
    let valve = Valve::before(server.port);
    let recorder = Recorder::start(valve.port, 25);
    wait_until_live(&server, 1);
    let mut listener = Listener::join(&server, "/mic.opus");
    listener.headers();
    assert!(listener.page().is_some());
    valve.close();
    server.wait_for_line(&["gap-began"]);
    valve.open();
    wait_until_live(&server, 1);
    recorder.finish();
    // The same from the start of a recording, from a server that never answers.
    let port = Port::reserve();
    let deaf = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let recorder = Recorder::start(port.number(), 15);
    // The second connection shows that the Recorder has given up on the first.
    let mut held = Vec::new();
    until("two connections of the Recorder", PATIENCE, || {
        held.extend(deaf.accept().ok());
        when(held.len() == 2, held.len())
    });
    drop(deaf);
    let server = start(&port);
    wait_until_live(&server, 1);
    recorder.finish();
}

#[test]
fn the_password_is_wrong_for_a_while() {
    let port = Port::reserve();
    let server = Daemon::on(&port, "another password", "", "");
    let recorder = Recorder::start(port.number(), 15);
    server.wait_for_lines(&["401"], 2);
    drop(server);
    let server = start(&port);
    wait_until_live(&server, 1);
    recorder.finish();
}

#[test]
fn the_mount_is_taken_over() {
    let server = Daemon::start();
    let recorder = Recorder::start(server.port, 12);
    wait_until_live(&server, 1);
    // An encoder that does not reconnect.
    let mut other = Command::new("ffmpeg");
    other.args(["-nostdin", "-re", "-f", "lavfi", "-i", "sine", "-c:a", "libopus", "-f", "ogg"]);
    let url = server.push_url("/mic.opus");
    let mut other = Running::start_quietly(other.arg(url));
    server.wait_for_lines(&["source-ended", "took the mount over"], 2);
    other.wait(PATIENCE);
    wait_until_live(&server, 3);
    recorder.finish();
}
