//! Clients of other authors that listen by WebRTC: `aiortc`, `GStreamer`, and the WHEP client of `whip-whep` in a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::browser::{Browser, Kind};
use crate::daemon::Daemon;
use crate::fetched::readers;
use crate::needs::{Need, needs};
use crate::network::{self, ADDRESS};
use crate::players::{assert_unbroken_tone, finish};
use crate::whep::{server_at, source};

const SECONDS: &str = "3";

/// What a program of `tests/whep` heard.
fn heard_by(python: &Path, program: &str, url: &str) -> Vec<i16> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("heard");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whep").join(program);
    finish(Command::new(python).arg(program).arg(url).arg(&file).arg(SECONDS));
    let pcm = std::fs::read(&file).unwrap();
    pcm.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

#[test]
fn aiortc_hears_every_sample() {
    let Some(place) = readers() else { return };
    if network::enter() {
        assert_heard_by_aiortc(&place, &server_at(ADDRESS, "", ""));
    }
}

/// Clients of this server, which is in the network of the test, hear every sample.
pub(crate) fn assert_heard_by_aiortc(place: &Path, server: &Daemon) {
    let _source = source(server, &[]);
    let python = place.join("python/bin/python");
    let samples = heard_by(&python, "aiortc_client.py", &server.url("/mic.opus/whep"));
    assert_unbroken_tone("aiortc", &samples);
    server.wait_for_line(&["listener-left", "protocol=\"WebRTC\"", "the listener disconnected"]);
}

#[test]
fn gstreamer_hears_every_sample() {
    if !needs(&[Need::Program("gst-launch-1.0")]) || !network::enter() {
        return;
    }
    let server = server_at(ADDRESS, "", "");
    let _source = source(&server, &[]);
    let python = PathBuf::from("/usr/bin/python3");
    let samples = heard_by(&python, "gstreamer_client.py", &server.url("/mic.opus/whep"));
    assert_unbroken_tone("GStreamer", &samples);
}

#[test]
fn the_client_of_whip_whep_plays_and_stops() {
    let Some(place) = readers() else { return };
    if !network::enter() {
        return;
    }
    let server = server_at(ADDRESS, "", "");
    let _source = source(&server, &[]);
    let module = std::fs::read_to_string(place.join("node_modules/whip-whep/whep.js")).unwrap();
    let browser = Browser::by_whep_client(Kind::Chromium, &server.url("/mic.opus/whep"), &module);
    browser.wait_for(0, |said| said.is_tone(997.0));
    server.wait_for_line(&["listener-left", "protocol=\"WebRTC\"", "the listener disconnected"]);
}
