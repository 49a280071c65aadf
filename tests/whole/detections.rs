//! Detections: who may post them, where they show, and the sound that they point at.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{
    Answer, Source, admin, connect, exchange, get, get_with, login, login_as, request,
};
use crate::clips::{save, text, wait_for_audio};
use crate::daemon::{Daemon, PASSWORD};
use crate::events::Events;
use crate::players::{OPUS, ffmpeg_source};
use crate::process::Run;
use crate::wait::{PATIENCE, until, when};

pub(crate) const TOKEN: &str = "a-token-of-a-detector";

/// A server to which detectors may post, with these sections added.
pub(crate) fn station(sections: &str) -> Daemon {
    Daemon::with("", &format!("detector_token = \"{TOKEN}\"\n{sections}"))
}

pub(crate) fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// Posts a body with these header fields to a path.
pub(crate) fn post(server: &Daemon, path: &str, fields: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    request(server, &head)
}

fn path(mount: &str) -> String {
    format!("/api/v1/mounts{mount}/detections")
}

/// Posts detections of a mount, which are taken.
pub(crate) fn take(server: &Daemon, mount: &str, detections: &Value) -> Value {
    let answer = post(server, &path(mount), &login(PASSWORD), &detections.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The list of a mount.
pub(crate) fn list(server: &Daemon, mount: &str) -> Vec<Value> {
    let answer = get(server, &path(mount));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said["name"], mount.replace("%20", " "));
    let Value::Array(list) = said["detections"].take() else { panic!("{said}") };
    list
}

fn detection(species: &str, start: &str) -> Value {
    json!({ "scientific_name": species, "confidence": 0.87, "start": start })
}

/// So many different ones.
fn many(count: usize) -> Value {
    let one = |number| json!({ "common_name": "a", "confidence": 1, "id": number, "start": NOON });
    (0..count).map(one).collect()
}

const NOON: &str = "2026-05-01T12:00:00Z";

#[test]
fn a_late_detection_points_at_its_sound() {
    let server = station("");
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/wood/mic a.opus")]);
    let mount = "/wood/mic%20a.opus";
    let (from, to) = wait_for_audio(&server, mount, Duration::from_secs(4));
    let (start, end) = (text(from + 1_000_000), text(from + 3_500_000));
    let heard = json!([
        { "scientific_name": "Turdus merula", "common_name": "Blackbird", "confidence": 0.87,
          "start": start, "end": end },
        detection("Strix aluco", &text(from - 60_000_000)),
        detection("Apus apus", &text(to + 600_000_000)),
    ]);
    let taken = take(&server, mount, &heard);
    assert_eq!(taken, json!({ "accepted": 3, "duplicates": 0, "ignored": 0 }));
    assert_eq!(take(&server, mount, &heard)["duplicates"], 3);
    let all = list(&server, mount);
    let names: Vec<_> = all.iter().map(|one| &one["scientific_name"]).collect();
    assert_eq!(names, ["Apus apus", "Turdus merula", "Strix aluco"], "the latest first");
    assert_eq!((&all[0]["clip"], &all[2]["clip"]), (&Value::Null, &Value::Null), "not in memory");
    let clip = all[1]["clip"].as_str().unwrap();
    let (directory, answer) = (tempfile::tempdir().unwrap(), get(&server, clip));
    let file = save(directory.path(), &answer);
    let said = Command::new("opusinfo").arg(&file).run();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.contains("Playback length: 0m:02.500s"), "{said}");
    assert!(!said.to_uppercase().contains("WARNING"), "{said}");
    let tags: Vec<_> = said.lines().filter(|line| line.contains("DETECTION=")).collect();
    assert!(tags.len() == 1 && tags[0].ends_with("Z 0.87 Blackbird (Turdus merula)"), "{said}");
}

#[test]
fn detections_outlive_the_stream_but_not_the_name_of_a_mount() {
    let server = station("[mount-defaults]\nhold = \"0s\"\ngap_after = \"100ms\"\ndetections = 2");
    assert_eq!(get(&server, &path("/m")).status, 404);
    let source = Source::connect(&server, "/m", 1);
    let heard = json!([detection("a", NOON), detection("b", NOON), detection("c", NOON)]);
    take(&server, "/m", &heard);
    source.leave();
    until("the end of the stream", PATIENCE, || {
        let mounts = get(&server, "/api/v1/mounts").text();
        when(mounts.contains("\"state\":\"off\""), mounts)
    });
    assert_eq!(list(&server, "/m").len(), 2, "the newest two");
    take(&server, "/m", &json!([detection("d", "2026-05-01T12:00:01Z")]));
    assert_eq!(list(&server, "/m")[0]["scientific_name"], "d");
}

#[test]
fn the_clip_goes_with_its_sound() {
    let server = station("[mount-defaults]\nring = \"128KiB\"");
    let mut source = Source::connect(&server, "/m", 1);
    let mut send = |pages: u32| source.send(pages, 1000);
    send(50);
    let (from, to) = wait_for_audio(&server, "/m", Duration::from_millis(900));
    // When audio was heard becomes more exact while it arrives.
    let mut heard = detection("a", &text(from + 300_000));
    heard["end"] = text(to - 300_000).into();
    take(&server, "/m", &json!([heard]));
    assert!(list(&server, "/m")[0]["clip"].is_string());
    until("the sound to be overwritten", PATIENCE, || {
        send(10);
        let clip = list(&server, "/m")[0]["clip"].clone();
        when(clip.is_null(), clip.to_string())
    });
}

#[test]
fn what_is_no_detection_leaves_nothing_and_a_hidden_mount_is_told_of_no_more() {
    let sections =
        |more: &str| format!("detector_token = \"{TOKEN}\"\n[[mount]]\nname = \"/m\"\n{more}");
    let server = Daemon::with("", &sections(""));
    for body in ["[]", "{}", r#"{"type":"warning","message":"{"}"#] {
        assert_eq!(post(&server, &path("/m"), &bearer(), body).status, 200, "{body}");
    }
    let is_told = || get(&server, "/metrics").text().contains("silvacast_detections_total{");
    assert!(!is_told());
    take(&server, "/m", &json!([detection("a", NOON)]));
    assert!(is_told());
    server.configure(PASSWORD, "", &sections("hidden = true\ndetections = 0"));
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_line(&["event=\"reloaded\""]);
    assert!(!is_told() && list(&server, "/m").is_empty());
    let refused = post(&server, &path("/m"), &bearer(), "[]");
    assert_eq!((refused.status, refused.text().contains("takes no detections")), (403, true));
}

#[test]
fn only_a_detector_the_source_and_the_administrator_may_post() {
    let server = station(
        "[[mount]]\nname = \"/own\"\nsource_password = \"another\"\n\
         [[mount]]\nname = \"/deaf\"\ndetections = 0",
    );
    let body = detection("a", NOON).to_string();
    let status = |mount: &str, fields: &str| post(&server, &path(mount), fields, &body).status;
    for fields in
        [&*bearer(), &login_as("detector", TOKEN), &admin(), &login_as("source", "another")]
    {
        assert_eq!(status("/own", fields), 200, "{fields}");
    }
    let refused = post(&server, &path("/own"), "", &body);
    let challenge = "Basic realm=\"silvacast detector\", Bearer";
    assert_eq!((refused.status, refused.field("www-authenticate")), (401, Some(challenge)));
    assert_eq!(status("/own", &login(PASSWORD)), 401, "of another mount");
    assert_eq!(status("/own", "Authorization: Bearer another\r\n"), 401, "no token");
    assert_eq!(status("/nothing", &bearer()), 404);
    assert_eq!(status("/deaf", &bearer()), 403);
    let foreign = format!("{}Origin: http://evil.example\r\n", bearer());
    assert_eq!(status("/own", &foreign), 403, "a page of another site");
    let admin_with_token = get_with(&server, "/api/v1/listeners", &bearer());
    assert_eq!(admin_with_token.status, 401, "the token is for nothing else");
    let delete = format!("DELETE {} HTTP/1.1\r\nHost: x\r\n\r\n", path("/own"));
    let delete = request(&server, &delete);
    assert_eq!((delete.status, delete.field("allow")), (405, Some("GET, HEAD, OPTIONS, POST")));
    assert_eq!(list(&server, "/own").len(), 1);
    // A detector with a wrong token locks out neither the others nor the administrator.
    let statuses: Vec<_> =
        (0..7).map(|_| status("/deaf", "Authorization: Bearer a-guess\r\n")).collect();
    assert_eq!((statuses[0], statuses[6]), (401, 429), "{statuses:?}");
    assert_eq!(
        (status("/own", &bearer()), get_with(&server, "/admin/stats", &admin()).status),
        (200, 200)
    );
    assert!(!server.lines().iter().any(|line| line.contains(TOKEN)), "the log has the token");
}

#[test]
fn everything_that_is_wrong_is_said_and_nothing_is_taken() {
    let server = station("[[mount]]\nname = \"/m\"");
    let body = r#"[{"common_name":"a","confidence":1,"start":"2026-05-01T12:00:00Z"},
        {"confidence":87,"start":"noon"}]"#;
    let refused = post(&server, &path("/m"), &bearer(), body);
    let said: Value = serde_json::from_slice(&refused.body).unwrap();
    let sentence = "Nothing was taken: \
        detection 2: the species is missing: scientific_name or common_name; \
        detection 2: confidence is 87; allowed: a number from 0 to 1; \
        detection 2: start is not a time in RFC 3339, such as 2026-05-01T04:12:30.250Z.";
    assert_eq!((refused.status, &said["error"]), (400, &sentence.into()));
    server.wait_for_line(&["refused", "confidence is 87"]);
    for (query, sentence) in [
        ("?shift=soon", "The parameter shift must be a duration up to 1h"),
        ("?shift=-2h", "The parameter shift must be a duration up to 1h"),
        ("?start=noon", "The parameter start is not a time"),
    ] {
        let answer = post(&server, &(path("/m") + query), &bearer(), "[]");
        assert!(answer.status == 400 && answer.text().contains(sentence), "{}", answer.text());
    }
    let csv = format!("{}Content-Type: text/csv; charset=utf-8\r\n", bearer());
    let table = post(&server, &path("/m"), &csv, "");
    assert!(table.status == 400 && table.text().contains("needs the parameter start"));
    assert!(list(&server, "/m").is_empty());
}

#[test]
fn a_body_may_come_in_chunks_and_must_not_be_too_long() {
    let server = station("[[mount]]\nname = \"/m\"");
    let body = detection("a", NOON).to_string();
    let (one, two) = body.split_at(20);
    let mut socket = connect(&server);
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\n{}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         {:x}\r\n{one}\r\n",
        path("/m"),
        bearer(),
        one.len()
    );
    write!(socket, "{head}").unwrap();
    let answer = exchange(&mut socket, &format!("{:x}\r\n{two}\r\n0\r\n\r\n", two.len()));
    assert_eq!((answer.status, list(&server, "/m").len()), (200, 1), "{}", answer.text());

    let long = format!("[{}]", " ".repeat(64 * 1024));
    let answer = post(&server, &path("/m"), &bearer(), &long);
    assert!(answer.status == 413 && answer.text().contains("64 KiB"), "{}", answer.text());
    // Single bytes cost no more than they are.
    let before = server.resident();
    let mut socket = connect(&server);
    let spaces = 60_000;
    let (path_, bearer_) = (path("/m"), bearer());
    write!(
        socket,
        "POST {path_} HTTP/1.1\r\nHost: x\r\n{bearer_}Content-Length: {}\r\n\r\n[",
        spaces + 2
    )
    .unwrap();
    for _ in 0..spaces {
        socket.write_all(b" ").unwrap();
    }
    let more = server.resident().saturating_sub(before);
    assert!(more < 2_000_000, "{more} bytes");
    assert_eq!(exchange(&mut socket, "]").status, 200);
    // A client that does not say all of it costs a place, until it leaves.
    for _ in 0..6 {
        let mut socket = connect(&server);
        let path = path("/m");
        write!(socket, "POST {path} HTTP/1.1\r\nHost: x\r\n{}Content-Length: 9\r\n\r\n[", bearer())
            .unwrap();
        drop(socket);
    }
    until("a place for another one", PATIENCE, || {
        let answer = post(&server, &path("/m"), &bearer(), "[]");
        when(answer.status == 200, answer.text())
    });
}

#[test]
fn a_flood_is_refused_and_not_kept() {
    let server = station("[[mount]]\nname = \"/m\"\n[[mount]]\nname = \"/other\"");
    let full = many(256);
    assert_eq!(take(&server, "/m", &full)["accepted"], 256);
    let refused = post(&server, &path("/m"), &bearer(), &full.to_string());
    assert_eq!(refused.status, 429, "{}", refused.text());
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=65).contains(&wait), "{wait}");
    assert_eq!(take(&server, "/other", &many(3))["accepted"], 3, "a mount of its own");
    let long = post(&server, &path("/other"), &bearer(), &many(257).to_string());
    assert!(long.text().contains("more than 256"), "{}", long.text());
    assert_eq!((list(&server, "/m").len(), list(&server, "/other").len()), (256, 3));
    // Bodies that are no detections count too.
    let server = station("[[mount]]\nname = \"/m\"");
    take(&server, "/m", &many(250));
    until("the end of what is allowed", PATIENCE, || {
        let status = post(&server, &path("/m"), &bearer(), "{}").status;
        when(status == 429, status)
    });
}

#[test]
fn events_come_in_order_and_resume() {
    let server = station(
        "[[mount]]\nname = \"/m\"\n[[mount]]\nname = \"/other\"\n\
         [[mount]]\nname = \"/nest\"\nhidden = true",
    );
    let mut events = Events::open(&server, "");
    events.next();
    take(&server, "/nest", &json!([detection("secret", NOON)]));
    take(&server, "/m", &many(100));
    take(&server, "/other", &json!([detection("b", NOON), detection("a", NOON)]));
    let mut middle = String::new();
    for number in 0..100 {
        let (kind, data) = events.next();
        assert_eq!(
            (&*kind, &data["name"], &data["id"]),
            ("detection", &"/m".into(), &json!(number.to_string()))
        );
        if number == 49 {
            middle.clone_from(&events.last);
        }
    }
    for species in ["b", "a"] {
        let (_, data) = events.next();
        assert_eq!((&data["name"], &data["scientific_name"]), (&"/other".into(), &species.into()));
        assert!(data["received"].is_string() && data["clip"].is_null(), "{data}");
    }
    let mut back = Events::open(&server, &format!("Last-Event-ID: {middle}\r\n"));
    assert_eq!(back.next().1["id"], "50");
    let metrics = get(&server, "/metrics").text();
    assert!(metrics.contains("silvacast_detections_total{mount=\"/m\"} 100\n"), "{metrics}");
    assert!(metrics.contains("silvacast_last_detection_timestamp_seconds{mount=\"/other\"}"));
    assert!(!metrics.contains("/nest") && list(&server, "/nest").len() == 1);
}

#[test]
fn the_latest_species_is_the_title_and_text_stays_text() {
    let server = station(
        "[server]\nname = \"Station\"\n[[mount]]\nname = \"/m\"\ntitles_from_detections = true",
    );
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m")]);
    let (from, to) = wait_for_audio(&server, "/m", Duration::from_secs(2));
    let name = "</script>\"<b>&'é\\";
    let mut heard = detection(name, &text(from + 100_000));
    heard["end"] = text(to).into();
    take(&server, "/m", &json!([heard, detection("earlier", NOON)]));
    let title = || -> Value {
        let mount = get(&server, "/api/v1/mounts/m").body;
        serde_json::from_slice::<Value>(&mount).unwrap()["title"].clone()
    };
    until("the title", PATIENCE, || when(title() == name, title().to_string()));
    let xml = get_with(&server, "/admin/stats", &admin()).text();
    assert!(xml.contains("<title>&lt;/script&gt;") && !xml.contains("<b>"), "{xml}");
    let status: Value = serde_json::from_slice(&get(&server, "/status-json.xsl").body).unwrap();
    assert_eq!(status["icestats"]["source"]["title"], name);
    let line = server.wait_for_line(&["species-detected", "script"]);
    assert!(line.contains(r#"species="</script>\"<b>&'é\\""#), "{line}");
    let page = get(&server, "/").text();
    assert!(!page.contains("<b>&"), "{page}");
    let clip = list(&server, "/m")[0]["clip"].as_str().unwrap().to_owned();
    let clip = get(&server, &clip).body;
    let tag = format!("Z 0.87 {name}");
    assert!(clip.windows(tag.len()).any(|part| part == tag.as_bytes()), "the tag");
}

#[test]
fn memory_stays_within_its_part() {
    let mounts: Vec<_> = (0..9).map(|n| format!("[[mount]]\nname = \"/{n}\"\n")).collect();
    let server = station(&format!("[limits]\nsources = 9\n{}", mounts.concat()));
    let (name, url) = ("n".repeat(128), format!("http://{}", "u".repeat(249)));
    let full = |id: usize| {
        json!({
            "scientific_name": name, "common_name": name, "confidence": 1, "start": NOON,
            "model": name, "url": url, "id": format!("{id:0128}"),
        })
    };
    // So that what the process takes once is there.
    take(&server, "/8", &json!([detection("a", NOON)]));
    let before = server.resident();
    for mount in 0..8 {
        // A body has room for this many.
        for from in [0, 64, 128, 192] {
            let some: Value = (from..from + 64).map(full).collect();
            take(&server, &format!("/{mount}"), &some);
        }
    }
    let more = server.resident() - before;
    let kept = 8 * 256 * 704;
    assert!(more > kept, "{more} bytes for {kept} bytes of text");
    let part = &get(&server, "/metrics").text();
    let part = part.lines().find(|line| line.contains("part=\"a detection that is kept\""));
    let promised: f64 = part.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((more as f64) < promised + 1_300_000.0, "{more} bytes, {promised} promised");
}
