//! The recording contract: one FFmpeg writes WAV files and sends live audio. Whatever happens to the server, the WAV
//! files have every sample, and the live mount returns without help.

use std::fs::read_dir;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::client::{Listener, get};
use crate::daemon::{Daemon, PASSWORD};
use crate::port::Port;
use crate::process::Running;
use crate::valve::Valve;
use crate::wait::{PATIENCE, until, when};

const LIVE: [&str; 3] = ["event=\"stream-", "codec=", "mount=\"/mic.opus\""];

/// The command that `docs/recorder.md` recommends, recording a ramp: each sample is one more than the last.
struct Recorder {
    ffmpeg: Running,
    directory: TempDir,
    seconds: usize,
}

impl Recorder {
    fn start(port: u16, seconds: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ramp = format!("aevalsrc=(mod(n\\,65536)-32768)/32768:s=48000:d={seconds}");
        let url = format!("http://source:{PASSWORD}@127.0.0.1:{port}/mic.opus");
        let mut command = Command::new("ffmpeg");
        command.args([
            "-nostdin",
            "-loglevel",
            "warning",
            "-probesize",
            "32",
            "-re",
            "-f",
            "lavfi",
            "-i",
            &ramp,
        ]);
        command.args(recommended(&directory.path().join("%03d.wav").display().to_string(), &url));
        Self { ffmpeg: Running::start_quietly(&mut command), directory, seconds }
    }

    /// Waits until the recording ends by itself, and counts its samples.
    fn finish(mut self) {
        assert!(self.ffmpeg.is_running(), "the recording ended too early for this test");
        self.ffmpeg.wait(PATIENCE);
        assert_eq!(samples(self.directory.path()), self.seconds * 48_000);
    }
}

/// The arguments of the first command line in `docs/recorder.md`, after its input.
fn recommended(wav: &str, url: &str) -> Vec<String> {
    let manual = include_str!("../../docs/recorder.md");
    let line = manual.split("```").nth(1).expect("a command line");
    let line = line.split_once("hw:CARD=ULTRAMIC").expect("its input").1.replace("\\\n", " ");
    let words = line.split_whitespace().map(|word| match word {
        word if word.starts_with("segment-") => wav.to_owned(),
        word if word.starts_with("http://") => url.to_owned(),
        word => word.to_owned(),
    });
    words.collect()
}

/// The number of samples in all segments together; asserts that none is missing between them.
fn samples(directory: &Path) -> usize {
    let mut files: Vec<_> = read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut count = 0;
    for file in files {
        let wav = std::fs::read(&file).unwrap();
        let data = wav.windows(4).position(|bytes| bytes == b"data").unwrap() + 8;
        for pair in wav[data..].as_chunks::<2>().0 {
            // The ramp goes from the lowest value to the highest and wraps.
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
fn the_server_is_absent_at_first() {
    let port = Port::reserve();
    let recorder = Recorder::start(port.number(), 12);
    until("half a second of audio in a file", PATIENCE, || {
        let files = read_dir(recorder.directory.path()).unwrap();
        let sizes: Vec<_> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
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
    let segment = recorder.directory.path().join("005.wav");
    until("the sixth segment", PATIENCE, || when(segment.exists(), "no such file"));
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
