//! The recording contract: one FFmpeg writes WAV and sends live, and whatever happens to the server, the WAV
//! has every sample and the live mount comes back by itself.

use std::fs::read_dir;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::client::{Listener, get};
use crate::daemon::{Daemon, PASSWORD};
use crate::valve::Valve;

const LIVE: [&str; 3] = ["event=\"stream-", "codec=", "mount=\"/mic.opus\""];

/// What `docs/recorder.md` recommends, recording a ramp: each sample is one more than the last.
struct Recorder {
    ffmpeg: Child,
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
        let ffmpeg = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { ffmpeg: ffmpeg.expect("ffmpeg is needed here"), directory, seconds }
    }

    /// Waits for the recording's own end, and counts its samples.
    fn finish(mut self) {
        assert!(self.ffmpeg.try_wait().unwrap().is_none(), "it should be recording still");
        self.ffmpeg.wait().unwrap();
        assert_eq!(samples(self.directory.path()), self.seconds * 48_000);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}

/// The arguments of the manual's first command line, from the file it stands in.
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

/// How many samples all segments have together; none of them may be missing in between.
fn samples(directory: &Path) -> usize {
    let mut files: Vec<_> = read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut count = 0;
    for file in files {
        let wav = std::fs::read(&file).unwrap();
        let data = wav.windows(4).position(|bytes| bytes == b"data").unwrap() + 8;
        for pair in wav[data..].as_chunks::<2>().0 {
            // From the lowest value to the highest, and over.
            let wanted = (count as u16 ^ 0x8000).cast_signed();
            assert_eq!(i16::from_le_bytes(*pair), wanted, "sample {count} in {}", file.display());
            count += 1;
        }
    }
    count
}

fn wait_until_live(server: &Daemon, times: usize) {
    server.wait_for_lines(&LIVE, times);
    while !get(server, "/status-json.xsl").text().contains("\"state\":\"live\"") {
        thread::yield_now();
    }
}

/// A server, once for its port and once for real.
fn restart(server: Daemon) -> Daemon {
    let port = server.port;
    drop(server);
    Daemon::on(port, PASSWORD, "", "")
}

#[test]
fn the_server_is_absent_at_first() {
    let server = Daemon::start();
    let port = server.port;
    drop(server);
    let recorder = Recorder::start(port, 12);
    // It is recording before there is a server.
    while !samples_begun(&recorder) {
        thread::yield_now();
    }
    let server = Daemon::on(port, PASSWORD, "", "");
    wait_until_live(&server, 1);
    recorder.finish();
}

fn samples_begun(recorder: &Recorder) -> bool {
    let files = read_dir(recorder.directory.path()).unwrap();
    files.into_iter().any(|file| file.unwrap().metadata().unwrap().len() > 48_000)
}

#[test]
fn the_server_is_killed_and_comes_back() {
    let server = Daemon::start();
    let recorder = Recorder::start(server.port, 15);
    wait_until_live(&server, 1);
    // Dropping it kills it.
    let server = restart(server);
    wait_until_live(&server, 1);
    let server = restart(server);
    wait_until_live(&server, 1);
    recorder.finish();
}

#[test]
fn the_server_is_stopped_for_twenty_seconds() {
    let server = Daemon::start();
    let recorder = Recorder::start(server.port, 32);
    wait_until_live(&server, 1);
    server.signal(Signal::SIGSTOP);
    // The recorder's own clock: this much has been recorded meanwhile.
    let segment = |number: usize| recorder.directory.path().join(format!("{number:03}.wav"));
    while !segment(5).exists() {
        thread::yield_now();
    }
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
    // And from the beginning, and without an answer.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap().port();
    let recorder = Recorder::start(port, 15);
    // Until it has given up on one connection and tries another.
    let _held = [deaf.accept().unwrap(), deaf.accept().unwrap()];
    drop(deaf);
    let server = Daemon::on(port, PASSWORD, "", "");
    wait_until_live(&server, 1);
    recorder.finish();
}

#[test]
fn the_password_is_wrong_for_a_while() {
    let server = Daemon::on(0, "another password", "", "");
    let recorder = Recorder::start(server.port, 15);
    server.wait_for_lines(&["401"], 2);
    let server = restart(server);
    wait_until_live(&server, 1);
    recorder.finish();
}

#[test]
fn the_mount_is_taken_over() {
    let server = Daemon::start();
    let recorder = Recorder::start(server.port, 12);
    wait_until_live(&server, 1);
    // Somebody who does not come back.
    let mut other = Command::new("ffmpeg");
    other.args(["-nostdin", "-re", "-f", "lavfi", "-i", "sine", "-c:a", "libopus", "-f", "ogg"]);
    let url = server.push_url("/mic.opus");
    let mut other = other.arg(url).stderr(Stdio::null()).spawn().unwrap();
    server.wait_for_lines(&["source-ended", "took the mount over"], 2);
    other.wait().unwrap();
    wait_until_live(&server, 3);
    recorder.finish();
}
