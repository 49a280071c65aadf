//! A station without a real-time clock: the server starts with a wrong time, which is set later.

use std::env::consts::ARCH;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use time::OffsetDateTime;

use crate::client::get;
use crate::clips::{clock, micros, save, text, wait_for_audio};
use crate::daemon::{Daemon, silvacast};
use crate::detections::{list, take};
use crate::needs::{Need, needs};
use crate::players::{OPUS, ffmpeg_source};
use crate::wait::{PATIENCE, until, when};

#[test]
fn audio_from_before_the_clock_was_set_is_found_by_the_right_time() {
    if !needs(&[Need::Program("faketime")]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = directory.path().join("time");
    fs::write(&file, "-10y\n").unwrap();
    let mut command = silvacast();
    command
        .env("LD_PRELOAD", format!("/usr/lib/{ARCH}-linux-gnu/faketime/libfaketimeMT.so.1"))
        .env("FAKETIME_TIMESTAMP_FILE", &file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let server = Daemon::of(command, "", "");
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    let now = || OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
    let year = 365 * 24 * 3600 * 1_000_000;
    let (_, wrong) = wait_for_audio(&server, "/m", Duration::from_secs(3));
    assert!(now() - wrong > 9 * year, "{}", text(wrong));
    // A detector whose own clock is right.
    let heard = now() - 2_000_000;
    let detection = serde_json::json!({
        "common_name": "Wren", "confidence": 1, "start": text(heard), "end": text(heard + 1_000_000)
    });
    assert_eq!(take(&server, "/m", &detection)["accepted"], 1);
    assert!(list(&server, "/m")[0]["clip"].is_null(), "in the future");

    fs::write(&file, "+0\n").unwrap();
    until("the right time", PATIENCE, || {
        let to = micros(&clock(&server, "/m")["held"]["to"]);
        when((now() - to).abs() < 2_000_000, text(to))
    });
    server.wait_for_line(&["clock-set", "the clock was set"]);
    let clip = list(&server, "/m")[0]["clip"].as_str().unwrap().to_owned();
    save(directory.path(), &get(&server, &clip));
}
