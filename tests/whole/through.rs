//! Listeners through it all: real players keep playing while their source restarts and is taken over.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::browser::Browser;
use crate::client::{Listener, get};
use crate::daemon::{Daemon, PATIENCE};
use crate::valve::Valve;

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
    recorder_with(server, tone, "64k")
}

fn recorder_with(server: &Daemon, tone: f64, bitrate: &str) -> Running {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-re", "-f", "lavfi", "-i", &format!("sine={tone}:r=48000")]);
    command.args(["-af", "volume=4", "-c:a", "libopus", "-b:a", bitrate, "-vbr", "off"]);
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
        self.wait_for_more(tone, 0);
    }

    /// The same, after so many blocks.
    fn wait_for_more(&self, tone: usize, after: usize) {
        let mut heard = self.heard.0.lock().unwrap();
        while heard.blocks.iter().skip(after).filter(|&&block| block == Some(tone)).count() < 25 {
            assert!(!heard.ended, "{} stopped playing", self.name);
            let (guard, waited) = self.heard.1.wait_timeout(heard, PATIENCE).unwrap();
            heard = guard;
            assert!(!waited.timed_out(), "{} does not hear tone {tone}", self.name);
        }
    }

    /// How many blocks have been heard.
    fn blocks(&self) -> usize {
        self.heard.0.lock().unwrap().blocks.len()
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

/// Players that write what they hear, at this URL.
fn ears(url: &str) -> [Ear; 2] {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-i", url, "-f", "s16le", "-ac", "1", "-flush_packets", "1", "-"]);
    let mut mpv = Command::new("mpv");
    mpv.args(["--no-config", "--no-video", "--no-terminal", "--ao=pcm"]);
    mpv.args(["--ao-pcm-file=/dev/stdout", "--ao-pcm-waveheader=no"]);
    mpv.args(["--audio-format=s16", "--audio-channels=mono", url]);
    [Ear::open("ffmpeg", &mut ffmpeg), Ear::open("mpv", &mut mpv)]
}

#[test]
fn three_restarts_and_a_takeover_do_not_end_the_listening() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"1s\"");
    let mut source = recorder(&server, TONES[0]);
    server.wait_for_line(&["stream-began"]);
    let url = server.url("/m");
    let ears = ears(&url);
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

#[test]
fn a_listener_that_was_stuck_goes_on_at_the_live_edge() {
    let server = Daemon::with(
        "",
        "[limits]\nlistener_send_buffer = \"8KiB\"\n[mount-defaults]\nring = \"128KiB\"\ngap_after = \"1s\"",
    );
    let source = recorder_with(&server, TONES[1], "256k");
    server.wait_for_line(&["stream-began"]);
    let valve = Valve::before(server.port);
    let url = format!("http://127.0.0.1:{}/m", valve.port);
    let ears = ears(&url);
    let browsers = [Browser::chromium(&url), Browser::firefox(&url)];
    for ear in &ears {
        ear.wait_for(1);
    }
    for browser in &browsers {
        browser.wait_for(0, |said| said.is_tone(TONES[1]) && said.time > 1.0);
    }
    valve.close();
    // Until more than the ring and what lies on the way has gone by.
    let mut other = Listener::join(&server, "/m?burst=0ms");
    let mut bytes = 0;
    while bytes < 400_000 {
        bytes += other.page().unwrap().len();
    }
    let before: Vec<_> = ears.iter().map(Ear::blocks).collect();
    let said: Vec<_> = browsers.iter().map(|browser| browser.said().len()).collect();
    valve.open();
    for (ear, before) in ears.iter().zip(before) {
        // What it had in stock may still come first.
        ear.wait_for_more(1, before + 250);
    }
    for (browser, from) in browsers.iter().zip(said) {
        let time = browser.said()[from - 1].time;
        browser.wait_for(from, |said| said.is_tone(TONES[1]) && said.time > time + 3.0);
    }
    for ear in ears {
        let name = ear.name;
        let blocks = ear.close();
        let quiet = blocks.iter().skip_while(|b| b.is_none()).filter(|b| **b != Some(1)).count();
        // A block or two at the hole; the tone is as clean after it as before.
        assert!(quiet <= 5, "{name}: {quiet} blocks are not the tone");
    }
    drop((browsers, source, valve));
    for line in server.wait_for_lines(&["listener-left", "agent="], 4) {
        assert!(!line.contains("skips=0") || line.contains("bytes=0"), "{line}");
    }
}
