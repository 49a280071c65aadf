//! Listeners through it all: real players keep playing while their source restarts and is taken over.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::browser::Browser;
use crate::client::get;
use crate::daemon::{Daemon, PATIENCE};

/// One for each source, so that it is known whom a player hears.
const TONES: [f64; 5] = [500.0, 900.0, 1300.0, 1700.0, 2100.0];
/// Samples in 20 ms.
const BLOCK: usize = 960;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Recorder's FFmpeg, sending a tone.
fn recorder(server: &Daemon, tone: f64) -> Running {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-re", "-f", "lavfi", "-i", &format!("sine={tone}:r=48000")]);
    command.args(["-af", "volume=4", "-c:a", "libopus", "-b:a", "64k", "-vbr", "off"]);
    command.args(["-page_duration", "20000"]);
    command.args(["-content_type", "audio/ogg", "-f", "ogg", &server.push_url("/m")]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(quiet.spawn().expect("ffmpeg is needed here"))
}

/// A player that writes what it plays, as samples, to its standard output.
struct Ear {
    name: &'static str,
    player: Running,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

#[derive(Default)]
struct Heard {
    /// For each 20 ms the tone, or `None` for silence.
    blocks: Vec<Option<usize>>,
    ended: bool,
}

impl Ear {
    fn open(name: &'static str, command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut player = Running(
            command.spawn().unwrap_or_else(|error| panic!("{name} is needed here: {error}")),
        );
        let mut sound = player.0.stdout.take().unwrap();
        let heard = Arc::<(Mutex<Heard>, Condvar)>::default();
        let sink = Arc::clone(&heard);
        thread::spawn(move || {
            let mut block = [0; BLOCK * 2];
            while sound.read_exact(&mut block).is_ok() {
                let (samples, _) = block.as_chunks::<2>();
                let samples: Vec<_> =
                    samples.iter().map(|pair| f64::from(i16::from_le_bytes(*pair))).collect();
                sink.0.lock().unwrap().blocks.push(tone_of(&samples));
                sink.1.notify_all();
            }
            sink.0.lock().unwrap().ended = true;
            sink.1.notify_all();
        });
        Self { name, player, heard }
    }

    /// Waits until half a second of a tone has been heard.
    fn wait_for(&self, tone: usize) {
        let mut heard = self.heard.0.lock().unwrap();
        while heard.blocks.iter().filter(|&&block| block == Some(tone)).count() < 25 {
            assert!(!heard.ended, "{} stopped playing", self.name);
            let (guard, waited) = self.heard.1.wait_timeout(heard, PATIENCE).unwrap();
            heard = guard;
            assert!(!waited.timed_out(), "{} does not hear tone {tone}", self.name);
        }
    }

    fn close(self) -> Vec<Option<usize>> {
        kill(Pid::from_raw(self.player.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        let mut heard = self.heard.0.lock().unwrap();
        while !heard.ended {
            heard = self.heard.1.wait(heard).unwrap();
        }
        heard.blocks.clone()
    }
}

/// Which of the tones this is, if it is one.
fn tone_of(samples: &[f64]) -> Option<usize> {
    let strength = |tone: f64| {
        let omega = std::f64::consts::TAU * tone / 48_000.0;
        let part = |wave: fn(f64) -> f64| {
            samples.iter().enumerate().map(|(at, s)| s * wave(omega * at as f64)).sum::<f64>()
        };
        part(f64::cos).hypot(part(f64::sin)) / samples.len() as f64
    };
    let loudest =
        (0..TONES.len()).max_by(|&a, &b| strength(TONES[a]).total_cmp(&strength(TONES[b])))?;
    (strength(TONES[loudest]) > 200.0).then_some(loudest)
}

/// The seconds of silence that were put in.
fn silence(server: &Daemon) -> f64 {
    let status = get(server, "/status-json.xsl");
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    status["icestats"]["source"]["silence_inserted_seconds"].as_f64().unwrap()
}

#[test]
fn three_restarts_and_a_takeover_do_not_end_the_listening() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"1s\"");
    let mut source = recorder(&server, TONES[0]);
    server.wait_for_line(&["stream-began"]);
    let url = server.url("/m");
    let ears = [
        Ear::open(
            "ffmpeg",
            Command::new("ffmpeg")
                .args(["-nostdin", "-i", &url, "-f", "s16le", "-ac", "1"])
                .args(["-flush_packets", "1", "-"]),
        ),
        Ear::open(
            "mpv",
            Command::new("mpv")
                .args(["--no-config", "--no-video", "--no-terminal", "--ao=pcm"])
                .args([
                    "--ao-pcm-file=/dev/stdout",
                    "--ao-pcm-waveheader=no",
                    "--audio-format=s16",
                    "--audio-channels=mono",
                    &url,
                ]),
        ),
    ];
    let browsers = [Browser::chromium(&url), Browser::firefox(&url)];
    let mut at = [0; 2];
    for (round, tone) in TONES.into_iter().enumerate() {
        if round > 0 {
            if round < 4 {
                drop(source);
                server.wait_for_lines(&["gap-began"], round);
                // One absence longer than any player's stock.
                while round == 2 && silence(&server) < 10.0 {
                    thread::yield_now();
                }
                source = recorder(&server, tone);
                server.wait_for_lines(&["stream-spliced"], round);
            } else {
                // While the other one still sends.
                let next = recorder(&server, tone);
                server.wait_for_line(&["source-ended", "took the mount over"]);
                source = next;
            }
        }
        for ear in &ears {
            ear.wait_for(round);
        }
        for (browser, at) in browsers.iter().zip(&mut at) {
            *at = browser.wait_for(*at, |said| said.is_tone(tone));
        }
    }
    let silence = silence(&server);
    assert!(silence > 3.0, "there was silence in between: {silence} s");
    for ear in ears {
        let name = ear.name;
        let blocks = ear.close();
        let mut order = blocks.iter().flatten().copied().collect::<Vec<_>>();
        order.dedup();
        assert_eq!(order, [0, 1, 2, 3, 4], "{name}");
        // The silence heard is the silence put in: each source is heard at once.
        let from = blocks.iter().position(Option::is_some).unwrap();
        let quiet = blocks[from..].iter().filter(|block| block.is_none()).count() as f64 * 0.02;
        assert!((quiet - silence).abs() < 1.0, "{name}: {quiet} s of silence, {silence} s put in");
    }
    for (browser, name) in browsers.iter().zip(["chromium", "firefox"]) {
        let said = browser.said();
        let from = said.iter().position(super::browser::Said::is_loud).unwrap();
        let times: Vec<_> = said[from..].iter().map(|said| said.time).collect();
        assert!(times.is_sorted(), "{name}: its clock runs backwards");
        // Measured by its own clock, which stands still while it waits for data.
        let quiet: f64 = said[from..]
            .windows(2)
            .filter(|pair| !pair[1].is_loud())
            .map(|pair| pair[1].time - pair[0].time)
            .sum();
        assert!((quiet - silence).abs() < 1.5, "{name}: {quiet} s of silence, {silence} s put in");
    }
    drop(source);
}
