//! FFmpeg's filters in `docs/recorder.md`, through the encoder's script and the server to a
//! listener, and a Recorder beside an encoder that starts and stops.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::client::Listener;
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::documents::block;
use crate::other_servers::wait_for_state;
use crate::players::decode;
use crate::process::Running;
use crate::quadlet::file;
use crate::recorder::{RAMP, recorded, samples};
use crate::wait::PATIENCE;

const GUIDE: &str = "docs/recorder.md";

/// A directory with the source password in a file.
fn password() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    directory
}

/// A script of the repository with its environment.
fn script(name: &str, files: &TempDir, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new("sh");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    command.env("PASSWORD_FILE", files.path().join("password")).envs(settings.iter().copied());
    command
}

/// The filter in the only settings with this text.
fn filter(part: &str) -> String {
    let text = block(GUIDE, "ini", part).text;
    text.lines().find_map(|line| line.strip_prefix("FILTER=")).expect("a filter").to_owned()
}

/// Three seconds of what a listener hears of this input through a filter.
fn heard(filter: &str, input: &str) -> Vec<i16> {
    let (server, files) = (Daemon::start(), password());
    let address = server.url("");
    let input = format!("-re -f lavfi -i {input}");
    let settings =
        [("INPUT", &*input), ("FILTER", filter), ("SERVER", &*address), ("MOUNT", "/m.opus")];
    let _encoder =
        Running::start_quietly(&mut script("systemd/silvacast-encoder", &files, &settings));
    server.wait_for_line(&["stream-began"]);
    decode(&server, "/m.opus")
}

fn sine(frequency: u32, rate: u32) -> String {
    format!("sine=f={frequency}:r={rate}")
}

/// The level of a tone, in dB below that of FFmpeg's `sine`.
fn level(samples: &[i16], frequency: f64) -> f64 {
    let samples = &samples[9_600..];
    assert!(samples.len() > 48_000, "only {} samples", samples.len());
    let omega = std::f64::consts::TAU * frequency / 48_000.0;
    let (mut re, mut im) = (0.0, 0.0);
    for (at, &sample) in samples.iter().enumerate() {
        let sample = f64::from(sample);
        re += sample * (omega * at as f64).cos();
        im -= sample * (omega * at as f64).sin();
    }
    // Its amplitude is an eighth of the highest sample.
    let amplitude = 2.0 * f64::hypot(re, im) / samples.len() as f64;
    20.0 * (amplitude / 4096.0).max(1e-6).log10()
}

/// Asserts that a tone is heard at its level, give or take 3 dB, and another not at all.
#[track_caller]
fn assert_tone(samples: &[i16], frequency: f64, wanted: f64, absent: f64) {
    let seen = level(samples, frequency);
    assert!((seen - wanted).abs() < 3.0, "{frequency} Hz: {seen} dB instead of {wanted}");
    let seen = level(samples, absent);
    assert!(seen < wanted - 20.0, "{absent} Hz: {seen} dB");
}

#[test]
fn a_bat_is_heard_at_the_difference_to_the_tuned_frequency() {
    let filter = filter("afreqshift");
    for (frequency, rate) in [(45_000, 192_000), (45_000, 384_000), (41_000, 192_000)] {
        assert_tone(&heard(&filter, &sine(frequency, rate)), 2_000.0, 0.0, 4_000.0);
    }
    // 20 kHz away from the tuned frequency.
    assert!(level(&heard(&filter, &sine(63_000, 192_000)), 20_000.0) < -20.0);
}

#[test]
fn a_bat_is_heard_at_a_tenth_of_its_frequency() {
    let filter = filter("asetrate=19200");
    assert_tone(&heard(&filter, &sine(45_000, 192_000)), 4_500.0, 0.0, 2_250.0);
    let faster = filter.replace("asetrate=19200", "asetrate=38400");
    assert_tone(&heard(&faster, &sine(45_000, 384_000)), 4_500.0, 0.0, 2_250.0);
}

/// The share of the calls of a bat, 5 ms in each 97 ms, that are heard.
fn calls(filter: &str) -> f64 {
    let input = r"aevalsrc=0.5*sin(2*PI*45000*t)*lt(mod(t\,0.097)\,0.005):s=192000";
    let samples = heard(filter, input);
    // The filter needs some tenths of a second until it is filled.
    let calls = samples[48_000..].chunks_exact(4_656);
    let all = calls.len() as f64;
    calls.filter(|call| call.iter().any(|sample| sample.abs() > 4_000)).count() as f64 / all
}

#[test]
fn division_leaves_no_call_out_as_a_single_step_does() {
    let filter = filter("asetrate=19200");
    let all = calls(&filter);
    assert!(all > 0.99, "{all}");
    let (before, _) = filter.split_once("atempo").unwrap();
    let some = calls(&format!("{before}atempo=10"));
    assert!(some < 0.9, "{some}");
}

#[test]
fn high_birds_are_heard_an_octave_lower_and_low_ones_where_they_are() {
    let filter = filter("asetrate=24000");
    assert_tone(&heard(&filter, &sine(8_000, 48_000)), 4_000.0, 0.0, 8_000.0);
    assert_tone(&heard(&filter, &sine(1_000, 48_000)), 1_000.0, -10.5, 500.0);
    let at_96 = format!("aresample=48000,{filter}");
    assert_tone(&heard(&at_96, &sine(8_000, 96_000)), 4_000.0, 0.0, 8_000.0);
}

#[test]
fn wind_is_not_heard() {
    let filter = filter("highpass=f=200,");
    let wind = level(&heard(&filter, &sine(100, 48_000)), 100.0);
    assert!((-27.0..-21.0).contains(&wind), "{wind} dB");
    assert_tone(&heard(&filter, &sine(400, 48_000)), 400.0, 0.0, 100.0);
}

#[test]
fn one_process_records_and_sends_two_mounts() {
    let (server, files, recordings) = (Daemon::start(), password(), tempfile::tempdir().unwrap());
    let recorder = file("systemd/silvacast-recorder");
    let (before, _) = recorder.split_once("# The live stream").unwrap();
    let both = files.path().join("recorder");
    fs::write(&both, format!("{before}{}", block(GUIDE, "sh", "/dev/fd/3").text)).unwrap();
    let (url, input) = (server.url("/mic.opus"), "-re -f lavfi -i sine=f=45000:r=192000");
    let settings = [("INPUT", input), ("URL", &*url), ("RECORDINGS", path(&recordings))];
    let both = both.to_str().unwrap().to_owned();
    let recorder = Running::start_quietly(&mut script(&both, &files, &settings));
    server.wait_for_lines(&["stream-began"], 2);
    assert_tone(&decode(&server, "/mic-bat.opus"), 2_000.0, 0.0, 4_000.0);
    assert!(level(&decode(&server, "/mic.opus"), 2_000.0) < -40.0);
    let command = fs::read(format!("/proc/{}/cmdline", recorder.0.id())).unwrap();
    let command = String::from_utf8_lossy(&command);
    assert!(command.contains("/dev/fd/3") && !command.contains("Basic"), "{command}");
    assert!(fs::metadata(&recorded(recordings.path())[0]).unwrap().len() > 192_000);
}

fn path(directory: &TempDir) -> &str {
    directory.path().to_str().unwrap()
}

#[test]
fn a_recorder_beside_an_encoder_that_starts_ten_times_loses_nothing() {
    const SECONDS: usize = 40;
    let rule = "[[mount]]\nname = \"/m.opus\"\non_demand = true\nlinger = \"0s\"\n\
                gap_after = \"100ms\"\nhold = \"100ms\"\n";
    let (server, files, recordings) =
        (Daemon::with("", rule), password(), tempfile::tempdir().unwrap());
    let input = format!("{RAMP}:d={SECONDS}");
    // Without a URL, it only records.
    let settings = [("INPUT", &*input), ("URL", ""), ("RECORDINGS", path(&recordings))];
    let mut recorder = script("systemd/silvacast-recorder", &files, &settings);
    let mut recorder = Running::start_quietly(&mut recorder);

    let address = server.url("");
    let mut encoder = silvacast();
    encoder.args(["on-demand", "--url", &address, "--mount", "/m.opus", "--password-file"]);
    encoder.arg(files.path().join("password")).arg("--");
    encoder.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/silvacast-encoder"));
    encoder.env("PASSWORD_FILE", files.path().join("password"));
    encoder.envs([("SERVER", &*address), ("MOUNT", "/m.opus")]);
    encoder.env("INPUT", RAMP).stdout(Stdio::null());
    let _encoder = Running::start_quietly(&mut encoder);
    for _ in 0..10 {
        wait_for_state(&server, "/m.opus", "idle");
        let mut listener = Listener::join(&server, "/m.opus");
        listener.headers();
        (0..10).for_each(|_| assert!(listener.page().is_some()));
    }
    assert!(recorder.is_running(), "the recording ended too early for this test");
    assert_eq!(server.count_lines(&["event=\"source-connected\""]), 10);
    assert!(recorder.wait(PATIENCE).success());
    assert_eq!(samples(&recorded(recordings.path())), SECONDS * 48_000);
}
