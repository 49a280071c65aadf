//! Real browsers that listen by WebRTC.

use crate::browser::{Browser, Kind};
use crate::client::{admin, get_with};
use crate::daemon::Daemon;
use crate::network::{self, ADDRESS};
use crate::players::{OPUS, ffmpeg, ffmpeg_source};
use crate::whep::{mount, server_at, source, wait_for_listeners};

/// A server whose clients are in the network of the test.
fn server(sections: &str) -> Daemon {
    server_at(ADDRESS, "", sections)
}

/// Each browser, once it hears the source.
fn hearing(server: &Daemon) -> [Browser; Kind::ALL.len()] {
    let url = server.url("/mic.opus/whep");
    let browsers = Kind::ALL.map(|kind| Browser::by_webrtc(kind, &url));
    for browser in &browsers {
        browser.wait_for(0, |said| said.is_tone(997.0));
    }
    browsers
}

#[test]
fn browsers_hear_a_mount_and_leave() {
    if !network::enter() {
        return;
    }
    let server = server("");
    let _source = source(&server, &[]);
    let url = server.url("/mic.opus/whep");
    for kind in Kind::ALL {
        let browser = Browser::by_webrtc_for_a_while(kind, &url);
        browser.wait_for(0, |said| said.is_tone(997.0));
        wait_for_listeners(&server, 1);
        assert_eq!(mount(&server, "/mic.opus")["listeners"], 1);
        let clients = get_with(&server, "/admin/listclients?mount=/mic.opus", &admin()).text();
        assert!(clients.contains("Mozilla/5.0"), "{clients}");
        server.wait_for_line(&[
            "listener-left",
            "protocol=\"WebRTC\"",
            "the listener disconnected",
        ]);
        wait_for_listeners(&server, 0);
    }
}

#[test]
fn both_channels_are_heard() {
    if !network::enter() {
        return;
    }
    let server = server("");
    let url = server.push_url("/mic.opus");
    let tones = "sine=600:r=48000[a];sine=1800:r=48000[b];[a][b]amerge";
    let _source = ffmpeg(
        &["-re", "-f", "lavfi", "-i", tones],
        &[&OPUS[..], &["-content_type", "audio/ogg", "-f", "ogg", &url]].concat(),
    );
    server.wait_for_line(&["stream-began"]);
    let url = server.url("/mic.opus/whep");
    for kind in Kind::ALL {
        let browser = Browser::by_webrtc(kind, &url);
        browser.wait_for(0, |said| said.what == "left" && said.is_tone(600.0));
        browser.wait_for(0, |said| said.what == "right" && said.is_tone(1800.0));
    }
}

#[test]
fn the_stream_goes_on_for_a_browser_over_a_gap_and_a_source_that_comes_back() {
    if !network::enter() {
        return;
    }
    let server = server("[mount-defaults]\ngap_after = \"500ms\"\n");
    let first = source(&server, &[]);
    let browsers = hearing(&server);
    drop(first);
    let quiet = browsers.each_ref().map(|browser| {
        let since = browser.said().len();
        browser.wait_for(since, |said| said.loudness < 0.0005)
    });
    let _second = source(&server, &[]);
    for (browser, since) in browsers.iter().zip(quiet) {
        browser.wait_for(since, |said| said.is_tone(997.0));
    }
    assert_eq!(mount(&server, "/mic.opus")["webrtc_listeners"], 2);
}

#[test]
fn another_source_takes_over_for_the_browsers_that_listen() {
    if !network::enter() {
        return;
    }
    let server = server("");
    let _first = source(&server, &[]);
    let browsers = hearing(&server);
    let push = server.push_url("/mic.opus");
    let _second = ffmpeg(
        &["-re", "-f", "lavfi", "-i", "sine=2000:r=48000"],
        &[&OPUS[..], &["-content_type", "audio/ogg", "-f", "ogg", &push]].concat(),
    );
    for browser in &browsers {
        browser.wait_for(0, |said| said.is_tone(2000.0));
    }
    assert_eq!(mount(&server, "/mic.opus")["webrtc_listeners"], 2);
}

#[test]
fn a_browser_hears_a_source_that_sends_less_during_silence() {
    if !network::enter() {
        return;
    }
    let server = server("");
    let push = server.push_url("/mic.opus");
    // DTX: packets of one or two bytes while it is silent.
    let calls = "aevalsrc='if(lt(mod(t,3),1.5),0.3*sin(2*PI*997*t),0)':s=48000";
    let dtx = ["-c:a", "libopus", "-b:a", "32k", "-application", "voip", "-dtx", "1"];
    let _source = ffmpeg(
        &["-re", "-f", "lavfi", "-i", calls],
        &[&dtx[..], &["-content_type", "audio/ogg", "-f", "ogg", &push]].concat(),
    );
    server.wait_for_line(&["stream-began"]);
    let url = server.url("/mic.opus/whep");
    let browsers = Kind::ALL.map(|kind| Browser::by_webrtc(kind, &url));
    for browser in &browsers {
        let mut since = 0;
        for _ in 0..2 {
            since = browser.wait_for(since, |said| said.is_tone(997.0));
            since = browser.wait_for(since, |said| said.loudness < 0.005);
        }
    }
    assert_eq!(mount(&server, "/mic.opus")["webrtc_listeners"], 2);
}

#[test]
fn a_browser_hears_packets_and_pages_of_any_usual_length() {
    if !network::enter() {
        return;
    }
    for (frame, page) in [("2.5", "20000"), ("60", "60000"), ("20", "1000000")] {
        let server = server("");
        let url = server.push_url("/mic.opus");
        let codec =
            ["-c:a", "libopus", "-b:a", "96k", "-frame_duration", frame, "-page_duration", page];
        let output = ["-content_type", "audio/ogg", "-f", "ogg", &url];
        let _source = ffmpeg_source(&codec, &output);
        server.wait_for_line(&["stream-began"]);
        let browser = Browser::by_webrtc(Kind::Chromium, &server.url("/mic.opus/whep"));
        let heard = browser.wait_for(0, |said| said.is_tone(997.0));
        // And it goes on.
        browser.wait_for(heard + 20, |said| said.is_tone(997.0));
    }
}
