//! A real headless browser that plays a mount in an `<audio>` element and reports what it hears.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Running;
use crate::wait::{PATIENCE, until};

/// How long a browser may take to start and to hear something, while others use the machine.
pub(crate) const BROWSER: Duration = Duration::from_mins(3);

/// A page that plays, and reports ten times a second: its position, its loudness and its loudest frequency.
const PAGE: &str = r#"<!doctype html><meta charset=utf-8><audio id=a crossorigin=anonymous></audio><script>
let analyser, samples, spectrum, order = Promise.resolve();
function say(what) {
  const text = "/said?" + [what, a.currentTime.toFixed(3), ...listen()].join("&");
  // One request after the other: parallel requests may arrive in any order.
  order = order.then(() => fetch(text)).catch(() => {});
}
function listen() {
  if (!analyser) return [0, 0];
  analyser.getFloatTimeDomainData(samples);
  analyser.getFloatFrequencyData(spectrum);
  const energy = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
  const bin = spectrum.indexOf(Math.max(...spectrum));
  return [Math.sqrt(energy).toFixed(5), (bin * context.sampleRate / analyser.fftSize).toFixed(0)];
}
const context = new AudioContext();
analyser = context.createAnalyser();
analyser.smoothingTimeConstant = 0;
samples = new Float32Array(analyser.fftSize);
spectrum = new Float32Array(analyser.frequencyBinCount);
context.createMediaElementSource(a).connect(analyser).connect(context.destination);
context.resume();
for (const name of ["playing", "waiting", "ended", "error"]) a.addEventListener(name, () => say(name));
setInterval(() => say("hears"), 100);
a.src = MOUNT;
a.play().catch(error => say("refused"));
</script>"#;

/// A page that listens by WebRTC and reports the same, of the left channel as `hears` and `left`, and of the right one
/// as `right`. It ends its session once it has reported so many tones.
const WHEP_PAGE: &str = r#"<!doctype html><meta charset=utf-8><audio id=a autoplay></audio><script type=module>
CLIENT
const context = new AudioContext();
const peer = new RTCPeerConnection();
let order = Promise.resolve(), analysers = [], tones = 0;
function say(what, analyser) {
  const text = "/said?" + [what, context.currentTime.toFixed(3), ...listen(analyser)].join("&");
  // One request after the other: parallel requests may arrive in any order.
  order = order.then(() => fetch(text)).catch(() => {});
}
function listen(analyser) {
  if (!analyser) return [0, 0];
  const samples = new Float32Array(analyser.fftSize), spectrum = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatTimeDomainData(samples);
  analyser.getFloatFrequencyData(spectrum);
  const energy = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
  const bin = spectrum.indexOf(Math.max(...spectrum));
  return [Math.sqrt(energy).toFixed(5), (bin * context.sampleRate / analyser.fftSize).toFixed(0)];
}
peer.ontrack = ({ track }) => {
  const stream = new MediaStream([track]);
  // Chromium decodes only what an element plays.
  a.srcObject = stream;
  const splitter = context.createChannelSplitter(2);
  context.createMediaStreamSource(stream).connect(splitter);
  analysers = [0, 1].map((channel) => {
    const analyser = context.createAnalyser();
    analyser.smoothingTimeConstant = 0;
    splitter.connect(analyser, channel);
    return analyser;
  });
  context.resume();
  setInterval(() => {
    say("hears", analysers[0]);
    say("left", analysers[0]);
    say("right", analysers[1]);
    if (listen(analysers[0])[0] > 0.01 && ++tones === AFTER) close();
  }, 100);
};
peer.onconnectionstatechange = () => say(peer.connectionState);
peer.addTransceiver("audio", { direction: "recvonly" });
begin().catch(() => say("refused"));
</script>"#;

/// Listens with nothing but what browsers have.
const OWN_CLIENT: &str = r#"
const close = () => peer.close();
async function begin() {
  const offer = await peer.createOffer();
  offer.sdp = offer.sdp.replace(/a=fmtp:(\d+) minptime=10/, "a=fmtp:$1 stereo=1;minptime=10");
  await peer.setLocalDescription(offer);
  const headers = { "Content-Type": "application/sdp" };
  const answer = await fetch(MOUNT, { method: "POST", headers, body: peer.localDescription.sdp });
  if (answer.status !== 201) throw new Error(answer.status);
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
}"#;

/// Listens with the client of `whip-whep`, whose text precedes this.
const WHEP_CLIENT: &str = "
const client = new WHEPClient();
const close = () => client.stop();
const begin = () => client.view(peer, MOUNT);
";

/// Preferences with which Firefox plays in real time without a sound card, a user or the network.
const FIREFOX: &str = r#"
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.block-autoplay-until-in-foreground", false);
user_pref("media.cubeb.force_mock_context", true);
user_pref("media.cubeb.output_drift_factor", "1.06");
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.aboutwelcome.enabled", false);
user_pref("termsofuse.bypassNotification", true);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.proxy.type", 0);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("dom.min_background_timeout_value", 4);
user_pref("dom.timeout.enable_budget_timer_throttling", false);
user_pref("dom.ipc.processPrelaunch.enabled", false);
user_pref("fission.autostart", false);
user_pref("layers.acceleration.disabled", true);
"#;

/// Options with which Chromium does the same.
pub(crate) const CHROMIUM: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--mute-audio",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-features=AudioServiceSandbox",
    "--autoplay-policy=no-user-gesture-required",
];

/// A report of the page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// `hears`, or the name of an event.
    pub what: String,
    /// The element's clock, in seconds.
    pub time: f64,
    /// Root mean square, 1 is full scale.
    pub loudness: f64,
    /// Of the loudest part of the spectrum, in Hz.
    pub frequency: f64,
}

impl Said {
    pub(crate) fn is_loud(&self) -> bool {
        self.loudness > 0.01
    }

    /// Whether it is this tone, within the resolution of the spectrum.
    pub(crate) fn is_tone(&self, frequency: f64) -> bool {
        self.is_loud() && (self.frequency - frequency).abs() < 50.0
    }
}

pub(crate) struct Browser {
    name: &'static str,
    process: Running,
    said: Arc<Mutex<Vec<Said>>>,
    _profile: TempDir,
}

/// A browser that tests use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Chromium,
    Firefox,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Chromium, Self::Firefox];

    fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox-esr",
        }
    }

    /// A command that opens a page.
    fn command(self, profile: &Path, url: &str) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Self::Chromium => {
                let profile = format!("--user-data-dir={}", profile.display());
                command.args(CHROMIUM).arg(profile).arg(url);
            }
            Self::Firefox => {
                std::fs::write(profile.join("user.js"), FIREFOX).unwrap();
                command.args(["--headless", "--no-remote", "--profile"]).arg(profile).arg(url);
                // Keeps it away from the profile of the user who runs the tests.
                command.env("HOME", profile).env_remove("DISPLAY");
            }
        }
        command
    }
}

impl Browser {
    pub(crate) fn chromium(mount: &str) -> Self {
        Self::start(Kind::Chromium, mount, PAGE)
    }

    pub(crate) fn firefox(mount: &str) -> Self {
        Self::start(Kind::Firefox, mount, PAGE)
    }

    /// Listens by WebRTC at this endpoint.
    pub(crate) fn by_webrtc(kind: Kind, endpoint: &str) -> Self {
        Self::start(kind, endpoint, &whep_page(OWN_CLIENT, 0))
    }

    /// The same, until it has reported some tones.
    pub(crate) fn by_webrtc_for_a_while(kind: Kind, endpoint: &str) -> Self {
        Self::start(kind, endpoint, &whep_page(OWN_CLIENT, 20))
    }

    /// The same, with the client of `whip-whep`, whose module has this text.
    pub(crate) fn by_whep_client(kind: Kind, endpoint: &str, module: &str) -> Self {
        Self::start(kind, endpoint, &whep_page(&format!("{module}{WHEP_CLIENT}"), 20))
    }

    fn start(kind: Kind, mount: &str, page: &str) -> Self {
        let said = Arc::<Mutex<Vec<Said>>>::default();
        let (page, sink) = (page.replace("MOUNT", &format!("{mount:?}")), Arc::clone(&said));
        let address = serve(page, move |text| {
            sink.lock().unwrap().extend(read(text));
        });
        let profile = tempfile::tempdir().unwrap();
        let mut command = kind.command(profile.path(), &format!("http://{address}/"));
        let process = Running::start_quietly(&mut command);
        Self { name: kind.name(), process, said, _profile: profile }
    }

    /// Waits for a report that is wanted, from number `since` on, and returns its number.
    pub(crate) fn wait_for(&self, since: usize, wanted: impl Fn(&Said) -> bool) -> usize {
        until(&format!("a report of {}", self.name), BROWSER, || {
            let said = self.said.lock().unwrap();
            for (number, said) in said.iter().enumerate().skip(since) {
                assert!(
                    !matches!(&*said.what, "ended" | "error" | "refused"),
                    "{}: {said:?}",
                    self.name
                );
                if wanted(said) {
                    return Ok(number);
                }
            }
            Err(format!("{:?}", said.last()))
        })
    }

    /// Waits until it reports the end of what it plays.
    pub(crate) fn wait_for_end(&self) {
        until(&format!("the end in {}", self.name), BROWSER, || {
            let said = self.said();
            let ended = said.iter().any(|said| said.what == "ended");
            if ended { Ok(()) } else { Err(format!("{:?}", said.last())) }
        });
    }

    /// All its reports so far.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.process.kill();
        if thread::panicking() {
            let said = self.said();
            let events: Vec<_> = said.iter().filter(|said| said.what != "hears").collect();
            eprintln!(
                "{} reported {} times, last {:?}: {events:#?}",
                self.name,
                said.len(),
                said.last()
            );
        }
    }
}

fn whep_page(client: &str, tones: u32) -> String {
    WHEP_PAGE.replace("CLIENT", client).replace("AFTER", &tones.to_string())
}

/// Serves a page to a browser, and passes on the text of each request for `/said?TEXT`.
pub(crate) fn serve(page: String, said: impl Fn(&str) + Clone + Send + 'static) -> SocketAddr {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap();
    thread::spawn(move || {
        for socket in web.incoming().map_while(Result::ok) {
            let (page, said) = (page.clone(), said.clone());
            // Each connection has a thread, because a browser opens some that it does not use.
            thread::spawn(move || answer(&socket, &page, &said));
        }
    });
    address
}

fn answer(mut socket: &TcpStream, page: &str, said: &impl Fn(&str)) {
    let mut line = String::new();
    let _ = socket.set_read_timeout(Some(PATIENCE));
    let _ = BufReader::new(socket).read_line(&mut line);
    if let Some(text) = line.strip_prefix("GET /said?") {
        said(text);
    }
    let body = if line.starts_with("GET / ") { page } else { "" };
    let _ = write!(
        socket,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn read(line: &str) -> Option<Said> {
    let mut parts = line.split(' ').next()?.split('&');
    let what = parts.next()?.to_owned();
    let mut number = || parts.next()?.parse().ok();
    Some(Said { what, time: number()?, loudness: number()?, frequency: number()? })
}
