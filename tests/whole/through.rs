//! Real players keep playing while their source restarts, is taken over, or cannot reach them.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::Signal;

use crate::browser::Browser;
use crate::client::{Listener, get};
use crate::daemon::Daemon;
use crate::process::Running;
use crate::valve::Valve;
use crate::wait::{PATIENCE, until, until_received, when};

/// One tone per source, so that a test knows which source a player hears.
const TONES: [f64; 5] = [500.0, 900.0, 1300.0, 1700.0, 2100.0];
/// Samples in 20 ms.
const BLOCK: usize = 960;

/// A Recorder's FFmpeg that sends a tone.
fn recorder(server: &Daemon, tone: f64) -> Running {
    recorder_with(server, tone, "64k")
}

fn recorder_with(server: &Daemon, tone: f64, bitrate: &str) -> Running {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-re", "-f", "lavfi", "-i", &format!("sine={tone}:r=48000")]);
    command.args(["-af", "volume=4", "-c:a", "libopus", "-b:a", bitrate, "-vbr", "off"]);
    command.args(["-page_duration", "20000"]);
    command.args(["-content_type", "audio/ogg", "-f", "ogg", &server.push_url("/m")]);
    Running::start_quietly(&mut command)
}

/// A player that writes the samples it plays to its standard output.
struct Ear {
    name: &'static str,
    player: Running,
    played: Arc<Mutex<Played>>,
}

#[derive(Default)]
struct Played {
    /// The tone of each 20 ms, or `None` for silence.
    blocks: Vec<Option<usize>>,
    ended: bool,
}

impl Ear {
    fn open(name: &'static str, command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut player = Running::start(command);
        let mut sound = player.0.stdout.take().unwrap();
        let played = Arc::<Mutex<Played>>::default();
        let sink = Arc::clone(&played);
        thread::spawn(move || {
            let mut block = [0; BLOCK * 2];
            while sound.read_exact(&mut block).is_ok() {
                let (samples, _) = block.as_chunks::<2>();
                let samples: Vec<_> =
                    samples.iter().map(|pair| f64::from(i16::from_le_bytes(*pair))).collect();
                sink.lock().unwrap().blocks.push(tone_of(&samples));
            }
            sink.lock().unwrap().ended = true;
        });
        Self { name, player, played }
    }

    /// Waits until it has played half a second of a tone.
    fn wait_for(&self, tone: usize) {
        self.wait_for_more(tone, 0);
    }

    /// The same, not counting the first `after` blocks.
    fn wait_for_more(&self, tone: usize, after: usize) {
        until(&format!("{} to play tone {tone}", self.name), PATIENCE, || {
            let played = self.played.lock().unwrap();
            assert!(!played.ended, "{} stopped playing", self.name);
            let blocks = played.blocks.iter().skip(after);
            when(blocks.filter(|&&block| block == Some(tone)).count() >= 25, played.blocks.last())
        });
    }

    /// How many blocks it has played.
    fn blocks(&self) -> usize {
        self.played.lock().unwrap().blocks.len()
    }

    fn close(self) -> Vec<Option<usize>> {
        self.player.signal(Signal::SIGTERM);
        until(&format!("{} to end", self.name), PATIENCE, || {
            let played = self.played.lock().unwrap();
            if played.ended { Ok(played.blocks.clone()) } else { Err("it is playing") }
        })
    }
}

/// Which of the tones these samples are, if any.
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

/// Seconds of silence that the server has inserted.
fn silence(server: &Daemon) -> f64 {
    let status = get(server, "/status-json.xsl");
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    status["icestats"]["source"]["silence_inserted_seconds"].as_f64().unwrap()
}

/// Players of this URL that write their samples.
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
fn listeners_stay_through_three_restarts_and_a_takeover() {
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
                if round == 2 {
                    // One absence that is longer than any player's buffer.
                    until("ten seconds of silence", PATIENCE, || {
                        let inserted = silence(&server);
                        when(inserted >= 10.0, inserted)
                    });
                }
                source = recorder(&server, tone);
                server.wait_for_lines(&["stream-spliced"], round);
            } else {
                // The other source still sends.
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
    assert!(silence > 3.0, "the server inserted only {silence} s of silence");
    for ear in ears {
        let name = ear.name;
        let blocks = ear.close();
        let mut order = blocks.iter().flatten().copied().collect::<Vec<_>>();
        order.dedup();
        assert_eq!(order, [0, 1, 2, 3, 4], "{name}");
        // A player hears no more silence than the server inserted: each source is heard at once.
        let from = blocks.iter().position(Option::is_some).unwrap();
        let quiet = blocks[from..].iter().filter(|block| block.is_none()).count() as f64 * 0.02;
        assert!(
            (quiet - silence).abs() < 1.0,
            "{name}: {quiet} s of silence, {silence} s inserted"
        );
    }
    for (browser, name) in browsers.iter().zip(["chromium", "firefox"]) {
        let said = browser.said();
        let from = said.iter().position(super::browser::Said::is_loud).unwrap();
        let times: Vec<_> = said[from..].iter().map(|said| said.time).collect();
        assert!(times.is_sorted(), "{name}: its clock runs backwards");
        // Measured by the browser's own clock, which stops while it waits for data.
        let quiet: f64 = said[from..]
            .windows(2)
            .filter(|pair| !pair[1].is_loud())
            .map(|pair| pair[1].time - pair[0].time)
            .sum();
        assert!(
            (quiet - silence).abs() < 1.5,
            "{name}: {quiet} s of silence, {silence} s inserted"
        );
    }
    drop(source);
}

#[test]
fn a_listener_that_was_stuck_continues_at_the_live_edge() {
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
    // Wait until more has passed than the ring and all buffers on the way can hold.
    let mut other = Listener::join(&server, "/m?burst=0ms");
    let mut bytes = 0;
    until_received("400,000 bytes of audio", PATIENCE, || {
        bytes += other.page().expect("the stream ended").len();
        when(bytes >= 400_000, bytes)
    });
    let before: Vec<_> = ears.iter().map(Ear::blocks).collect();
    let said: Vec<_> = browsers.iter().map(|browser| browser.said().len()).collect();
    valve.open();
    for (ear, before) in ears.iter().zip(before) {
        // It may play what it has buffered first.
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
        // One or two blocks differ at the hole; after it the tone is as clean as before.
        assert!(quiet <= 5, "{name}: {quiet} blocks are not the tone");
    }
    drop((browsers, source, valve));
    for line in server.wait_for_lines(&["listener-left", "agent="], 4) {
        assert!(!line.contains("skips=0") || line.contains("bytes=0"), "{line}");
    }
}
