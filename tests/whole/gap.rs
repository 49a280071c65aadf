//! What listeners and status see while a source is away, when it returns and when another source replaces it.

use std::io::Write;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{Listener, Server, Source, get};
use crate::daemon::Daemon;
use crate::ogg;
use crate::players::ffmpeg_source;
use crate::wait::{PATIENCE, until, until_received, when};

const SHORT: &str = "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"5m\"";
/// Where a test must read the status before a gap begins, also on a busy machine.
const LONGER: &str = "[mount-defaults]\ngap_after = \"1s\"\nhold = \"5m\"";

/// The status of the only mount.
fn source(server: &Daemon) -> Value {
    let answer = get(server, "/status-json.xsl");
    serde_json::from_slice::<Value>(&answer.body).unwrap()["icestats"]["source"].clone()
}

/// The API's description of a mount; null if it is not listed.
pub(crate) fn api_mount(server: &impl Server, mount: &str) -> Value {
    let answer = get(server, "/api/v1/mounts");
    let mounts = serde_json::from_slice::<Value>(&answer.body).unwrap()["mounts"].take();
    let found = mounts.as_array().unwrap().iter().find(|listed| listed["name"] == mount);
    found.cloned().unwrap_or_default()
}

/// A listener that checks the stream as it arrives: the serial stays the same, each page number is one more than the
/// last, and each granule position grows by the duration of its page.
pub(crate) struct CheckedListener {
    pub listener: Listener,
    serial: u32,
    newest: Option<(u32, u64)>,
}

impl CheckedListener {
    fn join(server: &Daemon) -> Self {
        Self::join_at(server, "/m?burst=0ms")
    }

    pub(crate) fn join_at(server: &impl Server, target: &str) -> Self {
        let mut listener = Listener::join(server, target);
        let serial = ogg::page(&listener.headers()).serial();
        Self { listener, serial, newest: None }
    }

    /// The number of the next page, or `None` if it is silence.
    pub(crate) fn next(&mut self) -> Option<u32> {
        let bytes = self.listener.page().expect("the stream ended");
        let page = ogg::next_page(&mut &bytes[..]).unwrap();
        let (sequence, granule) = (page.sequence(), page.granule().unwrap());
        if let Some(newest) = self.newest.replace((sequence, granule)) {
            let length = ogg_splice::page_samples(&page);
            assert_eq!((sequence, granule), (newest.0 + 1, newest.1 + length));
        }
        assert!(!page.is_last() && page.serial() == self.serial);
        (!ogg::is_silence(&page)).then(|| ogg::number(&page))
    }

    pub(crate) fn silence(&mut self, pages: u32) {
        (0..pages).for_each(|_| assert_eq!(self.next(), None));
    }

    pub(crate) fn audio(&mut self, number: u32) {
        until_received(&format!("page {number}"), PATIENCE, || {
            let next = self.next();
            when(next == Some(number), next)
        });
    }
}

#[test]
fn silence_replaces_a_source_until_it_returns() {
    let server = Daemon::with("", LONGER);
    let mut first = Source::connect(&server, "/m", 1);
    let mut heard = CheckedListener::join(&server);
    first.send(3, 100);
    (0..3).for_each(|number| heard.audio(number));
    assert_eq!(source(&server)["state"], "live");
    first.leave();
    heard.silence(20);
    let status = source(&server);
    assert_eq!(status["state"], "gap");
    assert!(status["state_since_iso8601"].as_str().unwrap().ends_with("+0000"));
    assert!(status["silence_inserted_seconds"].as_f64().unwrap() >= 0.4, "{status}");
    // A listener that joins now hears the silence.
    let mut late = CheckedListener::join(&server);
    late.silence(3);
    let mut second = Source::connect(&server, "/m", 2);
    second.send(1, 100);
    heard.audio(0);
    late.audio(0);
    server.wait_for_line(&["gap-ended", "mount=\"/m\"", "seconds="]);
    assert_eq!(source(&server)["state"], "live");
    // A source that stops sending without leaving is replaced by silence too.
    heard.silence(5);
}

#[test]
fn after_the_hold_time_the_stream_ends_and_the_mount_is_gone() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"200ms\"");
    let mut first = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    first.send(1, 100);
    assert_eq!(listener.number(), 0);
    let last = listener.last_page().unwrap();
    assert!(ogg::next_page(&mut &last[..]).unwrap().is_last());
    assert_eq!(get(&server, "/m").status, 404);
    // The source is still connected: when it sends again, a new stream begins.
    first.send(1, 100);
    until("the mount in the status", PATIENCE, || {
        let status = get(&server, "/status-json.xsl").text();
        when(status.contains("listenurl"), status)
    });
}

#[test]
fn the_pages_of_an_encoder_are_its_rhythm_and_only_a_pause_beyond_it_is_a_gap() {
    let server = Daemon::with("", "[mount-defaults]\ngap = \"silence\"");
    // FFmpeg's own page durations: about a second each.
    let codecs = [("/m.flac", "flac"), ("/m.ogg", "libvorbis"), ("/m.opus", "libopus")];
    let sources = codecs.map(|(mount, codec)| {
        ffmpeg_source(&["-c:a", codec], &["-f", "ogg", &server.push_url(mount)])
    });
    for (mount, _) in codecs {
        let status = until(&format!("pages of {mount}"), PATIENCE, || {
            let status = api_mount(&server, mount);
            if status["pages_in"].as_u64() >= Some(5) { Ok(status) } else { Err(status) }
        });
        assert_eq!((&status["gaps"], &status["state"]), (&0.into(), &"live".into()), "{status}");
        assert!(status["page_ms"].as_f64() > Some(300.0), "{status}");
        assert!(status["bitrate"].as_u64() > Some(8_000), "{status}");
    }
    for (source, (mount, _)) in sources.iter().zip(codecs) {
        source.signal(Signal::SIGSTOP);
        server.wait_for_line(&["gap-began", &format!("mount=\"{mount}\"")]);
    }
}

#[test]
fn a_source_that_leaves_before_its_first_page_is_no_reason_to_wait_for_one() {
    let server = Daemon::with("", "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"200ms\"");
    Source::connect(&server, "/m", 1).leave();
    server.wait_for_line(&["stream-ended"]);
}

#[test]
fn with_gap_pause_listeners_get_nothing_in_a_gap() {
    let server = Daemon::with("", &format!("{SHORT}\ngap = \"pause\""));
    let mut first = Source::connect(&server, "/m", 1);
    let mut heard = CheckedListener::join(&server);
    first.send(2, 100);
    first.leave();
    server.wait_for_line(&["gap-began"]);
    let mut second = Source::connect(&server, "/m", 2);
    second.send(2, 100);
    let pages: Vec<_> = (0..4).map(|_| heard.next()).collect();
    assert_eq!(pages, [Some(0), Some(1), Some(0), Some(1)]);
}

#[test]
fn a_new_title_within_a_connection_is_shown_and_breaks_nothing() {
    let server = Daemon::with("", SHORT);
    let mut sender = Source::connect(&server, "/m", 1);
    let mut heard = CheckedListener::join(&server);
    sender.send(1, 100);
    heard.audio(0);
    assert_eq!(source(&server)["title"], "Dusk");
    let tags = b"OpusTags\x04\0\0\0test\x02\0\0\0\x0a\0\0\0TITLE=Dawn\x09\0\0\0ARTIST=Me";
    let wire = [&ogg::headers_with(2, ogg::HEAD, tags)[..], &ogg::audio(2, 7, 100)].concat();
    sender.socket.write_all(&wire).unwrap();
    heard.audio(7);
    let status = source(&server);
    assert_eq!((&status["title"], &status["artist"]), (&"Dawn".into(), &"Me".into()));
    server.wait_for_line(&["stream-spliced"]);
    // A listener that joins now gets the new title in its headers.
    let mut late = Listener::join(&server, "/m");
    assert!(late.headers().windows(4).any(|text| text == b"Dawn"));
}

#[test]
fn another_channel_mapping_is_a_chain_on_the_same_connection() {
    let server = Daemon::with("workers = 2", SHORT);
    let mut mono = Source::connect(&server, "/m", 1);
    // One listener on each thread.
    let mut listeners = [Listener::join(&server, "/m"), Listener::join(&server, "/m")];
    mono.send(1, 100);
    for listener in &mut listeners {
        listener.headers();
        assert_eq!(listener.number(), 0);
    }
    let stereo = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
    // With the same serial: two consecutive streams must not look like one.
    let wire = [&ogg::headers_with(1, stereo, ogg::TAGS)[..], &ogg::audio(1, 7, 100)].concat();
    mono.socket.write_all(&wire).unwrap();
    for listener in &mut listeners {
        let ends = |bytes: &[u8]| ogg::next_page(&mut &bytes[..]).unwrap().is_last();
        until_received("the end of the first stream", PATIENCE, || {
            when(ends(&listener.page().unwrap()), "another page")
        });
        assert_eq!(listener.headers(), ogg::headers_with(2, stereo, ogg::TAGS));
        assert_eq!(listener.number(), 7);
    }
    server.wait_for_line(&["stream-chained", "channels=2"]);
}

#[test]
fn a_stop_ends_streams_that_no_source_feeds() {
    let mut server = Daemon::with("", SHORT);
    let mut first = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    first.send(1, 100);
    first.leave();
    server.wait_for_line(&["gap-began"]);
    server.signal(Signal::SIGTERM);
    let last = listener.last_page().unwrap();
    assert!(ogg::next_page(&mut &last[..]).unwrap().is_last());
    assert_eq!(server.wait(), Some(0));
}
