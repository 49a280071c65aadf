//! Who downloads a clip: real players and browsers play it to its end, and a client that stops early
//! is told from one that has got all of it.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use crate::browser::Browser;
use crate::client::{
    Listener, Source, admin, connect_with_little_room, get_with, read_head, read_to_end,
};
use crate::clips::wait_for_audio;
use crate::daemon::Daemon;
use crate::players::{OPUS, assert_unbroken_tone, ffmpeg_source, finish, vlc};

const SECONDS: usize = 2;

#[test]
fn players_and_browsers_play_it_to_its_end() {
    let server = Daemon::start();
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    wait_for_audio(&server, "/m", Duration::from_millis(SECONDS as u64 * 1000 + 100));
    let url = server.url(&format!("/m?clip={SECONDS}s"));
    let browsers = [Browser::chromium(&url), Browser::firefox(&url)];

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("heard");
    let mut mpv = Command::new("mpv");
    mpv.args(["--no-config", "--no-video", "--no-terminal", "--ao=pcm"]);
    mpv.arg(format!("--ao-pcm-file={}", file.display()));
    mpv.args(["--ao-pcm-waveheader=no", "--audio-format=s16", "--audio-channels=mono", &url]);
    finish(&mut mpv);
    let pcm = std::fs::read(&file).unwrap();
    let pcm = pcm.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair));
    assert_heard("mpv", &pcm.collect::<Vec<_>>());
    assert_heard("VLC", &vlc(&[&url]));

    for browser in &browsers {
        browser.wait_for_end();
        let said = browser.said();
        assert!(said.iter().any(|said| said.is_tone(1000.0)), "{said:?}");
        let end = said.iter().find(|said| said.what == "ended").unwrap().time;
        assert!((end - SECONDS as f64).abs() < 0.1, "{end} s");
    }
}

/// A player has decoded all samples of the tone.
fn assert_heard(player: &str, samples: &[i16]) {
    assert_unbroken_tone(player, samples);
    // Some drop the last packet, or play what the file's end discards.
    let expected = SECONDS * 48_000;
    assert!(samples.len().abs_diff(expected) <= 3 * 960, "{player}: {} samples", samples.len());
}

#[test]
fn a_download_ends_when_it_is_killed_and_the_log_says_how_each_ended() {
    let server = Daemon::with("", "[mount-defaults]\nring = \"4MiB\"");
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m?burst=0ms");
    listener.headers();
    for batch in 0..100 {
        source.send(10, 1200);
        (0..10).for_each(|n| assert_eq!(listener.number(), batch * 10 + n));
    }
    drop(listener);
    server.wait_for_line(&["listener-left", "mount=\"/m\""]);
    let download = || {
        let mut socket = connect_with_little_room(&server);
        write!(socket, "GET /m?clip=19s HTTP/1.1\r\nHost: x\r\nUser-Agent: ear\r\n\r\n").unwrap();
        let length: usize =
            read_head(&mut socket).field("content-length").unwrap().parse().unwrap();
        assert!(length > 1_000_000, "{length}");
        (socket, length)
    };
    let (mut socket, length) = download();
    assert_eq!(read_to_end(&mut socket).len(), length);
    server.wait_for_line(&["listener-left", "the clip was sent", &format!("bytes={length}")]);

    let (socket, _) = download();
    drop(socket);
    server.wait_for_line(&["listener-left", "the listener disconnected", "protocol=\"clip\""]);

    let (mut socket, length) = download();
    let clients = get_with(&server, "/admin/listclients?mount=/m", &admin()).text();
    let id = clients.split("<ID>").nth(1).unwrap().split('<').next().unwrap();
    let kill = format!("/admin/killclient?mount=/m&id={id}");
    assert_eq!(get_with(&server, &kill, &admin()).status, 200);
    assert!(read_to_end(&mut socket).len() < length);
    let who = ["listener-left", "an administrator disconnected the listener", "by_user=\"admin\""];
    server.wait_for_line(&[&who[..], &["protocol=\"clip\""]].concat());
}
