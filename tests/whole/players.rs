//! Real encoders and real players. `tests/all` installs them; a test fails if its program is missing.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::sync_channel;

use nix::sys::signal::Signal;

use crate::browser::{self, BROWSER, Browser, CHROMIUM};
use crate::client::{Listener, Server, get};
use crate::daemon::Daemon;
use crate::ogg;
use crate::process::{Run, Running};
use crate::wait::{PATIENCE, until_received, when};

/// The tone that encoders send. A packet does not hold a whole number of its periods, so a lost packet shifts its phase.
const TONE: f64 = 997.0;

/// Runs a command that must succeed.
pub(crate) fn finish(command: &mut Command) -> Output {
    let output = command.run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}

/// FFmpeg as a Recorder runs it, sending a tone.
pub(crate) fn ffmpeg_source(codec: &[&str], output: &[&str]) -> Running {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-re", "-f", "lavfi", "-i", &format!("sine={TONE}:r=48000")]);
    Running::start_quietly(command.args(codec).args(output))
}

/// FFmpeg with this input and this output.
pub(crate) fn ffmpeg(input: &[&str], output: &[&str]) -> Running {
    Running::start_quietly(Command::new("ffmpeg").arg("-nostdin").args(input).args(output))
}

pub(crate) const OPUS: [&str; 6] = ["-c:a", "libopus", "-b:a", "64k", "-page_duration", "20000"];

/// Asserts that decoded mono samples at 48 kHz are the tone, with no sample missing or added.
pub(crate) fn assert_unbroken_tone(name: &str, samples: &[i16]) {
    // A decoder that joins in mid-stream needs time to converge (RFC 7845: 80 ms).
    let samples = &samples[9_600..];
    assert!(samples.len() > 48_000, "{name}: only {} samples", samples.len());
    let omega = std::f64::consts::TAU * TONE / 48_000.0;
    let phase = |block: usize| {
        let (mut re, mut im) = (0.0, 0.0);
        for (at, &sample) in samples.iter().enumerate().skip(block * 960).take(960) {
            let sample = f64::from(sample);
            re += sample * (omega * at as f64).cos();
            im -= sample * (omega * at as f64).sin();
        }
        assert!(re.hypot(im) > 960.0 * 500.0, "{name}: no tone in block {block}");
        im.atan2(re)
    };
    let first = phase(0);
    for block in 1..samples.len() / 960 {
        let turn = (phase(block) - first).rem_euclid(std::f64::consts::TAU);
        let off = turn.min(std::f64::consts::TAU - turn);
        // One sample is 0.13 rad.
        assert!(off < 0.06, "{name}: block {block} is {off} rad off: samples are missing");
    }
}

/// Three seconds of a mount as FFmpeg decodes them: mono, at 48 kHz.
pub(crate) fn decode(server: &impl Server, mount: &str) -> Vec<i16> {
    let mut command = Command::new("ffmpeg");
    let url = format!("http://127.0.0.1:{}{mount}", server.port());
    command.args(["-nostdin", "-loglevel", "warning", "-i", &url]);
    // Timestamps counted in samples: FFmpeg's clock jumps after the first page of FLAC that is joined in mid-stream.
    command.args(["-af", "asetpts=N/SR/TB"]);
    let output = finish(command.args(["-t", "3", "-f", "s16le", "-ac", "1", "-ar", "48000", "-"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "FFmpeg complains");
    let (samples, _) = output.stdout.as_chunks::<2>();
    samples.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

#[test]
fn ffmpeg_pushes_in_every_manner_and_a_listener_decodes_what_it_sent() {
    let server = Daemon::start();
    let url = |mount: &str| server.push_url(mount);
    let _sources = [
        ffmpeg_source(&OPUS, &["-content_type", "audio/ogg", "-f", "ogg", &url("/put.opus")]),
        ffmpeg_source(&OPUS, &["-legacy_icecast", "1", "-f", "ogg", &url("/legacy.opus")]),
        ffmpeg_source(&OPUS[..4], &["-f", "ogg", &url("/seconds.opus")]),
        ffmpeg_source(&["-c:a", "flac"], &["-f", "ogg", &url("/flac.ogg")]),
        ffmpeg_source(&["-c:a", "libvorbis"], &["-f", "ogg", &url("/vorbis.ogg")]),
    ];
    server.wait_for_lines(&["stream-began"], 5);
    for mount in ["/put.opus", "/legacy.opus", "/seconds.opus", "/flac.ogg", "/vorbis.ogg"] {
        assert_unbroken_tone(mount, &decode(&server, mount));
    }
    let status = get(&server, "/status-json.xsl").text();
    for codec in ["Opus", "FLAC", "Vorbis"] {
        assert!(status.contains(&format!("\"subtype\":\"{codec}\"")), "{status}");
    }
}

#[test]
fn ffmpeg_leaves_with_a_reset_and_that_is_a_source_that_hung_up() {
    let server = Daemon::start();
    let source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    source.signal(Signal::SIGINT);
    let line = server.wait_for_line(&["source-ended"]);
    assert!(line.contains("WARN") && line.contains("the source disconnected"), "{line}");
    assert!(line.contains("seconds="), "{line}");
}

#[test]
fn ffmpeg_is_told_of_a_wrong_password_and_ends() {
    let server = Daemon::start();
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-f", "lavfi", "-i", "sine"]).args(OPUS).args(["-f", "ogg"]);
    let output = command.arg(server.push_url("/m").replace("test-source", "wrong")).run();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("401"));
}

#[test]
fn curl_uploads_a_file_in_chunks() {
    let server = Daemon::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("clip.opus");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-f", "lavfi", "-i", "sine=997:r=48000:d=2"]).args(OPUS);
    finish(command.arg(&file));
    let bytes = std::fs::read(&file).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-T", "-", &server.push_url("/m").replace("icecast:", "http:")]);
    let mut curl = Running::start(curl.stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut input = curl.0.stdin.take().unwrap();
    assert!(bytes.len() < 64 * 1024, "more than a pipe holds could block the test");
    input.write_all(&bytes).unwrap();
    server.wait_for_line(&["stream-began"]);
    let mut listener = Listener::join(&server, "/m?burst=10s");
    listener.headers();
    assert!((0..90).all(|_| listener.page().is_some()));
    drop(input);
    assert!(curl.wait(PATIENCE).success());
    server.wait_for_line(&["source-ended", "ended its upload"]);
}

#[test]
fn curl_that_waits_for_100_sends_a_live_stream_without_framing() {
    let server = Daemon::start();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-T", "-", "-H", "Transfer-Encoding:", "-H", "Expect: 100-continue"]);
    curl.arg(server.push_url("/m").replace("icecast:", "http:"));
    let mut curl = Running::start(curl.stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut input = curl.0.stdin.take().unwrap();
    input.write_all(&ogg::headers(1)).unwrap();
    server.wait_for_line(&["stream-began"]);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    for number in 0..3 {
        input.write_all(&ogg::audio(1, number, 4_000)).unwrap();
        assert_eq!(listener.number(), number);
    }
}

#[test]
fn a_media_element_sees_the_end_when_the_number_of_channels_changes() {
    let server = Daemon::start();
    let url = server.url("/m");
    let output = ["-f", "ogg", &server.push_url("/m")];
    let source = ffmpeg_source(&OPUS, &output);
    server.wait_for_line(&["stream-began"]);
    let browsers = [Browser::chromium(&url), Browser::firefox(&url)];
    let mut fetched = Listener::join(&server, "/m");
    fetched.headers();
    for browser in &browsers {
        browser.wait_for(0, |said| said.is_tone(TONE));
    }
    source.signal(Signal::SIGINT);
    let _stereo = ffmpeg_source(&[&OPUS[..], &["-ac", "2"]].concat(), &output);
    server.wait_for_line(&["stream-chained"]);
    for browser in &browsers {
        browser.wait_for_end();
    }
    // Other players go on: the second stream has new headers.
    until_received("the stereo stream", PATIENCE, || {
        let page = fetched.page().expect("the response ended");
        when(page.windows(10).any(|bytes| bytes == b"OpusHead\x01\x02"), page.len())
    });
}

#[test]
fn curl_receives_the_headers_and_the_pages() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    let mut curl = Command::new("curl");
    let mut curl = Running::start(curl.args(["-sSN", &server.url("/m")]).stdout(Stdio::piped()));
    let mut heard = vec![0; 10_000];
    curl.stdout().read_exact(&mut heard).unwrap();
    assert!(heard.starts_with(b"OggS") && &heard[28..36] == b"OpusHead");
}

#[test]
fn mpv_plays_near_live() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    let mut mpv = Command::new("mpv");
    mpv.args(["--no-config", "--no-video", "--ao=null", "--length=2", &server.url("/m")]);
    let output = finish(&mut mpv);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("AO: [null] 48000Hz mono"), "{said}");
}

#[test]
fn ffplay_plays() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    let mut ffplay = Command::new("ffplay");
    ffplay.env("SDL_AUDIODRIVER", "dummy").args([
        "-hide_banner",
        "-nodisp",
        "-stats",
        &server.url("/m"),
    ]);
    let mut ffplay = Running::start(ffplay.stderr(Stdio::piped()));
    let mut lines = BufReader::new(ffplay.stderr()).split(b'\r');
    let mut first = None;
    until_received("ffplay's clock to advance by a second", PATIENCE, || {
        let line = lines.next().expect("ffplay has ended").unwrap();
        let line = String::from_utf8(line).unwrap();
        // Each line begins with the clock, which is "nan" until ffplay plays.
        let word = line.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        let Some(now) = word.filter(|now| now.is_finite()) else { return Err(line) };
        if now > *first.get_or_insert(now) + 1.0 { Ok(()) } else { Err(line) }
    });
}

/// What VLC hears with these arguments.
pub(crate) fn vlc(arguments: &[&str]) -> Vec<i16> {
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut vlc = Command::new("cvlc");
    if nix::unistd::geteuid().is_root() {
        // VLC refuses to run as root.
        vlc = Command::new("setpriv");
        vlc.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "cvlc"]);
    }
    let out = "#transcode{acodec=s16l,channels=1,samplerate=48000}:std{access=file,mux=raw,dst=-}";
    vlc.env("HOME", home.path()).args(["--quiet", "--no-video", "--sout", out]);
    vlc.args(arguments).args(["--play-and-exit", "vlc://quit"]);
    let heard = finish(&mut vlc).stdout;
    heard.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

#[test]
fn vlc_plays() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    assert_unbroken_tone("vlc", &vlc(&["--run-time", "3", &server.url("/m")]));
}

/// A page that plays a mount, fetches it, and reports the outcome.
const PAGE: &str = r#"<!doctype html><audio id=a></audio><script>
const say = text => fetch("/said?" + encodeURIComponent(text));
a.onerror = () => say("error " + a.error.code);
a.onended = () => say("ended");
a.ontimeupdate = () => { if (a.currentTime > 1) { a.ontimeupdate = null; pages(); } };
async function pages() {
  const reader = (await fetch(MOUNT)).body.getReader();
  const { value } = await reader.read();
  say("played and fetched " + String.fromCharCode(...value.slice(0, 4)));
}
a.src = MOUNT; a.play().catch(error => say("error " + error));
</script>"#;

#[test]
fn chromium_plays_the_mount_and_fetches_it() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    let (sender, said) = sync_channel(8);
    let page = PAGE.replace("MOUNT", &format!("{:?}", server.url("/m")));
    let address = browser::serve(page, move |text| {
        let _ = sender.try_send(text.to_owned());
    });
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new("chromium");
    chromium.args(CHROMIUM).arg(format!("--user-data-dir={}", profile.path().display()));
    let _chromium = Running::start_quietly(chromium.arg(format!("http://{address}/")));
    let said = said.recv_timeout(BROWSER).expect("the page reports nothing");
    assert!(said.starts_with("played%20and%20fetched%20OggS"), "{said:?}");
}
