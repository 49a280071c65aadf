//! Real encoders in, real players out. `tests/all` installs them; where one is missing, its test fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};

use crate::client::{Listener, get};
use crate::daemon::Daemon;

/// Something that runs until the test is over.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The tone that encoders send: no whole number of periods in a packet, so that a lost one shows.
const TONE: f64 = 997.0;

pub(crate) fn start(command: &mut Command) -> Running {
    let name = command.get_program().to_string_lossy().into_owned();
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(quiet.spawn().unwrap_or_else(|error| panic!("{name} is needed here: {error}")))
}

pub(crate) fn finish(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{name} is needed here: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}", output.status);
    output
}

/// FFmpeg as a Recorder runs it, sending a tone.
pub(crate) fn ffmpeg_source(codec: &[&str], output: &[&str]) -> Running {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-re", "-f", "lavfi", "-i", &format!("sine={TONE}:r=48000")]);
    start(command.args(codec).args(output))
}

pub(crate) const OPUS: [&str; 6] = ["-c:a", "libopus", "-b:a", "64k", "-page_duration", "20000"];

/// Checks decoded mono samples at 48 kHz: the tone, and no sample of it missing or added.
pub(crate) fn assert_unbroken_tone(name: &str, samples: &[i16]) {
    // A decoder that joins in mid-stream needs its time to converge (RFC 7845: 80 ms).
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
pub(crate) fn decode(server: &Daemon, mount: &str) -> Vec<i16> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "warning", "-i", &server.url(mount)]);
    // Counted in samples: FFmpeg's clock jumps after the first page of FLAC joined in mid-stream.
    command.args(["-af", "asetpts=N/SR/TB"]);
    let output = finish(command.args(["-t", "3", "-f", "s16le", "-ac", "1", "-ar", "48000", "-"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "ffmpeg has nothing to complain of");
    let (samples, _) = output.stdout.as_chunks::<2>();
    samples.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

#[test]
fn ffmpeg_pushes_in_every_manner_and_what_is_decoded_is_what_was_sent() {
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
fn ffmpeg_leaves_with_a_reset_and_that_is_a_normal_end() {
    let server = Daemon::start();
    let source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(source.0.id().cast_signed()),
        nix::sys::signal::SIGINT,
    )
    .unwrap();
    let line = server.wait_for_line(&["source-ended"]);
    assert!(line.contains("INFO") && line.contains("the source disconnected"), "{line}");
}

#[test]
fn ffmpeg_is_told_of_a_wrong_password_and_ends() {
    let server = Daemon::start();
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-f", "lavfi", "-i", "sine"]).args(OPUS).args(["-f", "ogg"]);
    let output =
        command.arg(server.push_url("/m").replace("test-source", "wrong")).output().unwrap();
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
    let mut curl =
        curl.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("curl is needed here");
    let mut input = curl.stdin.take().unwrap();
    input.write_all(&bytes).unwrap();
    server.wait_for_line(&["stream-began"]);
    let mut listener = Listener::join(&server, "/m?burst=10s");
    listener.headers();
    assert!((0..90).all(|_| listener.page().is_some()));
    drop(input);
    assert!(curl.wait().unwrap().success());
    server.wait_for_line(&["source-ended", "ended its upload"]);
}

#[test]
fn curl_hears_the_headers_and_the_pages() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    let mut curl = Command::new("curl");
    curl.args(["-sSN", &server.url("/m")]).stdout(Stdio::piped());
    let mut curl = Running(curl.spawn().expect("curl is needed here"));
    let mut heard = vec![0; 10_000];
    curl.0.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
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
    let mut ffplay = Running(ffplay.stderr(Stdio::piped()).spawn().expect("ffplay is needed here"));
    let lines = BufReader::new(ffplay.0.stderr.as_mut().unwrap()).split(b'\r');
    // It says "nan" until it plays.
    let mut clock = lines.filter_map(|line| {
        let line = String::from_utf8(line.unwrap()).unwrap();
        line.split_whitespace().next()?.parse::<f64>().ok().filter(|now| now.is_finite())
    });
    let first = clock.next().unwrap();
    assert!(clock.any(|now| now > first + 1.0), "its clock stands still");
}

#[test]
fn vlc_plays() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    server.wait_for_line(&["stream-began"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("heard.wav");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let out = format!(
        "#transcode{{acodec=s16l,channels=1,samplerate=48000}}:std{{access=file,mux=wav,dst={}}}",
        file.display()
    );
    let mut vlc = Command::new("cvlc");
    if nix::unistd::geteuid().is_root() {
        // VLC does not run as root.
        vlc = Command::new("setpriv");
        vlc.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "cvlc"]);
    }
    vlc.env("HOME", directory.path()).args(["--no-video", "--sout", &out]);
    vlc.args(["--run-time", "3", "--play-and-exit", &server.url("/m"), "vlc://quit"]);
    finish(&mut vlc);
    let heard = std::fs::read(&file).unwrap();
    let (samples, _) = heard[44..].as_chunks::<2>();
    assert_unbroken_tone(
        "vlc",
        &samples.iter().map(|pair| i16::from_le_bytes(*pair)).collect::<Vec<_>>(),
    );
}

/// A page that plays a mount and reports, by asking for a URL, how far it got.
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
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
    ]);
    chromium.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]);
    chromium.arg("--autoplay-policy=no-user-gesture-required");
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    let _chromium = start(chromium.arg(format!("http://{}/", web.local_addr().unwrap())));
    let page = PAGE.replace("MOUNT", &format!("{:?}", server.url("/m")));
    let said = web.incoming().find_map(|socket| {
        let mut socket = socket.unwrap();
        let mut line = String::new();
        BufReader::new(&socket).read_line(&mut line).unwrap();
        let said = line.strip_prefix("GET /said?").map(ToOwned::to_owned);
        let body = if line.starts_with("GET / ") { page.as_str() } else { "" };
        // It may open connections that it never uses.
        let _ = write!(
            socket,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        said
    });
    assert!(
        said.as_deref().is_some_and(|said| said.starts_with("played%20and%20fetched%20OggS")),
        "{said:?}"
    );
}
