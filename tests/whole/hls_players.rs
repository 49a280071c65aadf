//! Real players on HLS. Each writes what it plays to a pipe instead of a sound card, and goes on
//! when the Recorder is restarted.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use nix::sys::signal::Signal;

use crate::client::get;
use crate::daemon::Daemon;
use crate::players::OPUS;
use crate::process::Running;
use crate::wait::{PATIENCE, until, until_received, when};

/// The tones that are sent before and after the restart, in Hz.
const TONES: [f64; 2] = [1_000.0, 3_000.0];
/// Samples that are looked at together: 100 ms.
const BLOCK: usize = 4_800;

/// FFmpeg as a Recorder runs it, sending a tone.
fn source(server: &Daemon, tone: f64) -> Running {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-re", "-f", "lavfi", "-i", &format!("sine={tone}:r=48000")]);
    command.args(OPUS).args(["-f", "ogg", &server.push_url("/mic.opus")]);
    Running::start_quietly(&mut command)
}

/// Whether some samples are this tone and little else.
fn is_tone(samples: &[i16], tone: f64) -> bool {
    let omega = std::f64::consts::TAU * tone / 48_000.0;
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (at, &sample) in samples.iter().enumerate() {
        let sample = f64::from(sample);
        re += sample * (omega * at as f64).cos();
        im += sample * (omega * at as f64).sin();
        energy += sample * sample;
    }
    let count = samples.len() as f64;
    energy > count * 100.0 && (re * re + im * im) * 2.0 / count > energy * 0.5
}

/// Players whose standard output is mono audio of 16 bits at 48 kHz.
fn players(server: &Daemon, home: &Path) -> Vec<(&'static str, Command)> {
    let plain = server.url("/mic.opus/index.m3u8");
    let low = server.url("/mic.opus/low-latency.m3u8");
    let ffmpeg = |url: &str| {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-i", url]);
        command.args(["-f", "s16le", "-ac", "1", "-ar", "48000", "-"]);
        command
    };
    let mut ffplay = Command::new("ffplay");
    ffplay.env("SDL_AUDIODRIVER", "disk").env("SDL_DISKAUDIOFILE", "/dev/stdout");
    ffplay.args(["-v", "error", "-nodisp", &plain]);
    let mpv = |url: &str| {
        let mut command = Command::new("mpv");
        command.args(["--no-config", "--no-terminal", "--no-video", "--ao=pcm"]);
        command.args(["--ao-pcm-waveheader=no", "--ao-pcm-file=/dev/stdout"]);
        command.args(["--audio-format=s16", "--audio-channels=mono", url]);
        command
    };
    let mut vlc = Command::new("cvlc");
    if nix::unistd::geteuid().is_root() {
        // VLC refuses to run as root.
        vlc = Command::new("setpriv");
        vlc.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "cvlc"]);
    }
    let out = "#transcode{acodec=s16l,channels=1,samplerate=48000}:std{access=file,mux=raw,dst=-}";
    vlc.env("HOME", home).args(["--quiet", "--no-video", "--sout", out, &plain]);
    let gstreamer = |playbin: &str, url: &str| {
        let mut command = Command::new("gst-launch-1.0");
        let sink = "audio-sink=audioconvert ! audioresample ! \
                    audio/x-raw,format=S16LE,channels=1,rate=48000 ! fdsink fd=1 sync=true";
        command.args(["-q", playbin, &format!("uri={url}"), sink]);
        command
    };
    vec![
        ("FFmpeg", ffmpeg(&plain)),
        ("FFmpeg, low latency", ffmpeg(&low)),
        ("ffplay", ffplay),
        ("mpv", mpv(&plain)),
        ("mpv, low latency", mpv(&low)),
        ("VLC", vlc),
        ("GStreamer's playbin", gstreamer("playbin", &plain)),
        ("GStreamer's playbin3", gstreamer("playbin3", &plain)),
        ("GStreamer's playbin3, low latency", gstreamer("playbin3", &low)),
    ]
}

/// Reads what a player plays until it was both tones for a second, and counts the players that have
/// played each.
fn listen(name: &str, mut command: Command, counts: &[AtomicUsize; 2]) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut player = Running::start(&mut command);
    let mut audio = player.stdout();
    let (mut bytes, mut heard, mut other) = (vec![0; BLOCK * 2], [0, 0], 0);
    until_received(&format!("both tones of {name}"), 2 * PATIENCE, || {
        audio.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{name}: {error}, {heard:?}"));
        let (samples, _) = bytes.as_chunks::<2>();
        let samples: Vec<_> = samples.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        match TONES.iter().position(|&tone| is_tone(&samples, tone)) {
            Some(tone) => {
                heard[tone] += 1;
                if heard[tone] == 10 {
                    counts[tone].fetch_add(1, SeqCst);
                }
            }
            None => other += 1,
        }
        when(heard[1] >= 10, heard)
    });
    eprintln!("{name}: {heard:?} blocks of both tones, and {other} of something else");
}

#[test]
fn players_go_on_when_the_recorder_is_restarted() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"200ms\"");
    let source_before = source(&server, TONES[0]);
    // Some players stop early if they find fewer segments than they want to have before they play.
    let playlist = "/mic.opus/index.m3u8";
    until("four segments", PATIENCE, || {
        let text = get(&server, playlist).text();
        when(text.matches("#EXTINF").count() >= 4, text)
    });
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let (counts, players) = ([0, 0].map(AtomicUsize::new), players(&server, home.path()));
    let count = players.len();
    let all = |tone: usize| {
        until(&format!("tone {tone} in all players"), 2 * PATIENCE, || {
            let heard = counts[tone].load(SeqCst);
            when(heard == count, heard)
        });
    };
    thread::scope(|scope| {
        for (name, command) in players {
            let counts = &counts;
            scope.spawn(move || listen(name, command, counts));
        }
        all(0);
        source_before.signal(Signal::SIGKILL);
        server.wait_for_line(&["source-ended"]);
        let _source = source(&server, TONES[1]);
        all(1);
    });
}
