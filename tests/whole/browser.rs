//! A real browser, headless, that plays a mount in an `<audio>` element and says what it hears.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::daemon::PATIENCE;

/// Plays, and reports ten times a second: where it is, how loud it is, and its loudest frequency.
const PAGE: &str = r#"<!doctype html><meta charset=utf-8><audio id=a crossorigin=anonymous></audio><script>
let analyser, samples, spectrum, order = Promise.resolve();
function say(what) {
  const text = "/said?" + [what, a.currentTime.toFixed(3), ...listen()].join("&");
  // One after the other: requests side by side may arrive in any order.
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

/// What makes a Firefox without a sound card, a user or a network of its own play at its own speed.
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

const CHROMIUM: [&str; 14] = [
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

/// Something that the page said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// `hears`, or the name of an event.
    pub what: String,
    /// The element's clock, in seconds.
    pub time: f64,
    /// Root mean square, 1 is full scale.
    pub loudness: f64,
    /// Of the loudest part, in Hz.
    pub frequency: f64,
}

impl Said {
    pub(crate) fn is_loud(&self) -> bool {
        self.loudness > 0.01
    }

    /// Whether it is this tone, as far as the spectrum tells tones apart.
    pub(crate) fn is_tone(&self, frequency: f64) -> bool {
        self.is_loud() && (self.frequency - frequency).abs() < 50.0
    }
}

pub(crate) struct Browser {
    name: &'static str,
    child: Child,
    said: Arc<(Mutex<Vec<Said>>, Condvar)>,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn chromium(mount: &str) -> Self {
        Self::start("chromium", mount, |profile, url| {
            let mut command = Command::new("chromium");
            command.args(CHROMIUM).arg(format!("--user-data-dir={}", profile.display())).arg(url);
            command
        })
    }

    pub(crate) fn firefox(mount: &str) -> Self {
        Self::start("firefox-esr", mount, |profile, url| {
            std::fs::write(profile.join("user.js"), FIREFOX).unwrap();
            let mut command = Command::new("firefox-esr");
            command.args(["--headless", "--no-remote", "--profile"]).arg(profile).arg(url);
            // It must not touch a profile of whoever runs the tests.
            command.env("HOME", profile).env_remove("DISPLAY");
            command
        })
    }

    fn start(
        name: &'static str,
        mount: &str,
        command: impl FnOnce(&Path, &str) -> Command,
    ) -> Self {
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = web.local_addr().unwrap();
        let said = Arc::new((Mutex::default(), Condvar::new()));
        let (page, sink) = (PAGE.replace("MOUNT", &format!("{mount:?}")), Arc::clone(&said));
        thread::spawn(move || serve(&web, &page, &sink));
        let profile = tempfile::tempdir().unwrap();
        let mut command = command(profile.path(), &url(address));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{name} is needed here: {error}"));
        Self { name, child, said, _profile: profile }
    }

    /// Waits for something that it says from `since` on; the number of it.
    pub(crate) fn wait_for(&self, since: usize, wanted: impl Fn(&Said) -> bool) -> usize {
        let (said, more) = &*self.said;
        let mut said = said.lock().unwrap();
        loop {
            for (number, said) in said.iter().enumerate().skip(since) {
                assert!(
                    !matches!(&*said.what, "ended" | "error" | "refused"),
                    "{}: {said:?}",
                    self.name
                );
                if wanted(said) {
                    return number;
                }
            }
            let (guard, waited) = more.wait_timeout(said, PATIENCE).unwrap();
            said = guard;
            let last = said.last();
            assert!(!waited.timed_out(), "{} said nothing more after {last:?}", self.name);
            assert!(said.len() < since + 6_000, "{} hears something else: {last:?}", self.name);
        }
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.said.0.lock().unwrap().clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = self.said();
            let events: Vec<_> = said.iter().filter(|said| said.what != "hears").collect();
            eprintln!(
                "{} said {} things, last {:?}: {events:#?}",
                self.name,
                said.len(),
                said.last()
            );
        }
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

fn serve(web: &TcpListener, page: &str, sink: &(Mutex<Vec<Said>>, Condvar)) {
    for socket in web.incoming().map_while(Result::ok) {
        let mut line = String::new();
        // It may open connections that it never uses.
        let _ = BufReader::new(&socket).read_line(&mut line);
        let body = if line.starts_with("GET / ") { page } else { "" };
        let _ = write!(
            &socket,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if let Some(said) = line.strip_prefix("GET /said?").and_then(read) {
            sink.0.lock().unwrap().push(said);
            sink.1.notify_all();
        }
    }
}

fn read(line: &str) -> Option<Said> {
    let mut parts = line.split(' ').next()?.split('&');
    let what = parts.next()?.to_owned();
    let mut number = || parts.next()?.parse().ok();
    Some(Said { what, time: number()?, loudness: number()?, frequency: number()? })
}
