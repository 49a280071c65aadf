//! The configurations of `docs/scale.md`: real nginx and Caddy in front of a server with a real FFmpeg.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::client::{Answer, Server, admin, connect_from, exchange, get, get_with};
use crate::daemon::{Daemon, PASSWORD};
use crate::hls_clients::{HlsPlayer, MediaPlaylist};
use crate::players::{OPUS, assert_unbroken_tone, decode, ffmpeg_source, finish};
use crate::process::Running;
use crate::proxies::Proxy;
use crate::scale_guide::{Guide, caddy, requests};
use crate::wait::{PATIENCE, until, until_received, when};

const LISTENERS: usize = 20;
const PLAYLIST: &str = "/mic.opus/index.m3u8";

/// The page's nginx in front of this server, as one process that can be killed, with a log.
fn cache_of(guide: &Guide, server: &Daemon) -> Proxy {
    let log = "log_format cache '$status $upstream_cache_status $upstream_status $request_uri';\n\
               \u{20}   access_log HOME/access.log cache;";
    let configuration = guide.nginx.with(&[
        ("user www-data;", "master_process off;"),
        ("worker_processes auto;", "daemon off;"),
        ("pid /run/nginx.pid", "pid HOME/pid"),
        ("access_log off;", log),
        ("listen 80;", "listen 127.0.0.1:PORT;"),
        ("listen [::]:80;", ""),
        ("STATION:8080", "UPSTREAM"),
        ("/var/cache/nginx-hls", "HOME/cache"),
    ]);
    Proxy::nginx_of(server, &configuration)
}

/// A server that receives a tone from FFmpeg.
fn station(top: &str, defaults: &str) -> (Daemon, Running) {
    let server = Daemon::with(top, &format!("[mount-defaults]\n{defaults}\n"));
    let source = recorder(&server);
    server.wait_for_line(&["stream-began"]);
    (server, source)
}

fn recorder(server: &Daemon) -> Running {
    ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/mic.opus")])
}

/// Waits until a playlist lists so many segments.
fn wait_for_segments(server: &impl Server, count: usize) -> String {
    until("segments in a playlist", PATIENCE, || {
        let text = get(server, PLAYLIST).text();
        if text.matches("#EXTINF").count() >= count { Ok(text.clone()) } else { Err(text) }
    })
}

/// A line of the cache's log.
#[derive(Debug)]
struct Logged {
    path: String,
    /// `HIT`, `MISS` and so on.
    cache: String,
    /// The status with which the server answered; `None` if it was not asked.
    upstream: Option<u16>,
}

/// The log of the cache. Lines are written after the answers.
fn log(cache: &Proxy) -> Vec<Logged> {
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [_, cache, upstream, path] = words[..] else { panic!("{line}") };
        Logged { path: path.into(), cache: cache.into(), upstream: upstream.parse().ok() }
    };
    cache.written("access.log").lines().map(line).collect()
}

/// The log, once it has so many lines.
fn log_of(cache: &Proxy, count: usize) -> Vec<Logged> {
    let log = until("lines of the cache's log", PATIENCE, || {
        let log = log(cache);
        if log.len() >= count { Ok(log) } else { Err(log.len()) }
    });
    assert_eq!(log.len(), count);
    log
}

/// How often the server was asked for each path.
fn asked(log: &[Logged]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in log.iter().filter(|line| line.upstream.is_some()) {
        *counts.entry(&*line.path).or_default() += 1;
    }
    counts
}

/// What a listener has received.
#[derive(Default)]
struct Heard {
    files: BTreeMap<String, Vec<u8>>,
    requests: usize,
}

/// Plays until four segments have arrived after the first ones.
fn listen(server: &impl Server) -> Heard {
    let (mut player, mut heard) = (HlsPlayer::new(false), Heard::default());
    let mut last = None;
    until_received("four new segments", PATIENCE, || {
        let playlist = get(server, &format!("/mic.opus/{}", player.playlist()));
        assert_eq!(playlist.status, 200, "{playlist:?}");
        heard.requests += 1;
        let step = player.read(&MediaPlaylist::parse(&playlist.text()).unwrap());
        for file in step.files {
            let answer = get(server, &format!("/mic.opus/{}", file.uri));
            assert_eq!(answer.status, 200, "{}: {answer:?}", file.uri);
            heard.requests += 1;
            assert!(heard.files.insert(file.uri.clone(), answer.body).is_none(), "{}", file.uri);
        }
        let last = *last.get_or_insert(player.next_segment() + 4);
        if player.next_segment() >= last {
            return Ok(());
        }
        // As players do.
        thread::sleep(step.reload_after);
        Err(player.next_segment())
    });
    assert_eq!(player.lost, 0);
    heard
}

#[test]
fn twenty_listeners_of_the_cache_cost_the_server_as_much_as_one() {
    let (server, _source) = station("", "");
    let cache = cache_of(&Guide::open(), &server);
    wait_for_segments(&server, 3);
    let (before, began) = (requests(&server), Instant::now());
    let heard: Vec<Heard> = thread::scope(|scope| {
        let listeners: Vec<_> = (0..LISTENERS).map(|_| scope.spawn(|| listen(&cache))).collect();
        listeners.into_iter().map(|listener| listener.join().unwrap()).collect()
    });
    let elapsed = began.elapsed();
    let asked_for: usize = heard.iter().map(|heard| heard.requests).sum();
    let log = log_of(&cache, asked_for);
    let mut upstream = asked(&log);
    assert_eq!(requests(&server) - before - 1, upstream.values().sum::<usize>());

    // A playlist may be kept for a second.
    let playlists = upstream.remove(PLAYLIST).unwrap();
    assert!(playlists as u64 <= elapsed.as_secs() + 2, "{playlists} in {elapsed:?}");
    let files: BTreeSet<_> = heard.iter().flat_map(|heard| heard.files.keys()).collect();
    assert!(files.len() >= 6, "{files:?}");
    assert_eq!(upstream.len(), files.len(), "{upstream:?}");
    assert!(upstream.values().all(|&count| count == 1), "{upstream:?}");
    for file in files {
        let bytes: BTreeSet<_> = heard.iter().filter_map(|heard| heard.files.get(file)).collect();
        assert_eq!(bytes.len(), 1, "{file}");
    }
}

#[test]
fn the_cache_keeps_what_the_server_says_and_as_long_as_it_says() {
    let (server, _source) = station("", "hls_segment = \"4s\"");
    let guide = Guide::open();
    let cache = cache_of(&guide, &server);
    let playlist = wait_for_segments(&cache, 1);
    let cached = |answer: &Answer| answer.field("x-cache").unwrap_or_default().to_owned();
    let segment = format!("/mic.opus/{}", playlist.lines().last().unwrap());
    let first = get(&cache, &segment);
    assert_eq!((first.status, cached(&first)), (200, "MISS".to_owned()));
    assert_eq!(first.field("access-control-allow-origin"), Some("*"));
    for target in [segment.clone(), format!("{segment}?1"), format!("{segment}?token=2")] {
        let again = get(&cache, &target);
        assert_eq!((again.status, cached(&again)), (200, "HIT".to_owned()), "{target}");
        assert_eq!(again.body, first.body);
    }
    let tag = first.field("etag").unwrap();
    let known = get_with(&cache, &segment, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((known.status, cached(&known)), (304, "HIT".to_owned()));

    // A playlist that has not changed is not sent again.
    until("a playlist that is validated", PATIENCE, || {
        let answer = get(&cache, PLAYLIST);
        when(cached(&answer) == "REVALIDATED", cached(&answer))
    });
    let (path, upstream) = until("its line in the log", PATIENCE, || {
        let log = log(&cache);
        let line = log.iter().find(|line| line.cache == "REVALIDATED");
        line.map(|line| (line.path.clone(), line.upstream)).ok_or(log.len())
    });
    assert_eq!((&*path, upstream), (PLAYLIST, Some(304)));

    for path in ["/", "/admin/stats", "/metrics", "/mic.opus", "/mic.opus/low-latency.m3u8"] {
        let answer = get_with(&cache, path, &admin());
        assert_eq!((answer.status, answer.field("x-cache")), (404, None), "{path}");
    }

    let look = guide
        .look
        .with(&[("CACHE", &format!("127.0.0.1:{}", cache.port())), ("MOUNT", "mic.opus")]);
    let shown = finish(Command::new("bash").args(["-e", "-o", "pipefail", "-c", &look])).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.starts_with("#EXTM3U\n") && shown.contains("\nX-Cache: "), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_asked_for_once_a_second() {
    let (server, _source) = station("", "");
    let cache = cache_of(&Guide::open(), &server);
    let playlist = wait_for_segments(&server, 1);
    let (stream, _) = playlist.lines().last().unwrap().rsplit_once('-').unwrap();
    let path = format!("/mic.opus/{stream}-999999.m4s");
    let (start, began) = (Barrier::new(LISTENERS), Instant::now());
    thread::scope(|scope| {
        for _ in 0..LISTENERS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..5 {
                    assert_eq!(get(&cache, &path).status, 404);
                }
            });
        }
    });
    let elapsed = began.elapsed();
    let log = log_of(&cache, 5 * LISTENERS);
    let asked = asked(&log)[&*path] as u64;
    assert!(asked <= elapsed.as_secs() + 1, "{asked} in {elapsed:?}");
}

#[test]
fn a_restart_of_the_recorder_passes_through_the_cache() {
    let (server, source) = station("", "gap_after = \"500ms\"");
    let cache = cache_of(&Guide::open(), &server);
    let map = |text: &str| text.lines().find(|line| line.contains("-MAP:")).unwrap().to_owned();
    let before = map(&wait_for_segments(&cache, 3));
    let mut player = Command::new("ffmpeg");
    player.args(["-nostdin", "-loglevel", "error", "-i"]);
    player.arg(format!("http://127.0.0.1:{}{PLAYLIST}", cache.port()));
    player.args(["-f", "s16le", "-ac", "1", "-ar", "48000", "-"]);
    let mut player = Running::start(player.stdout(Stdio::piped()));
    let mut pcm = player.stdout();
    let mut heard = |what: &str, is_loud: bool| {
        // A tenth of a second.
        let mut block = [0; 9600];
        until_received(what, PATIENCE, || {
            pcm.read_exact(&mut block).unwrap();
            let peak = block.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair));
            let peak = peak.map(i16::unsigned_abs).max().unwrap();
            when((peak > 1000) == is_loud && (is_loud || peak < 100), peak)
        });
    };
    heard("the tone", true);
    drop(source);
    server.wait_for_line(&["gap-began"]);
    let _source = recorder(&server);
    server.wait_for_line(&["gap-ended"]);
    heard("the gap", false);
    heard("the tone after it", true);
    let after = get(&cache, PLAYLIST).text();
    assert_eq!(map(&after), before);
    assert!(!after.contains("#EXT-X-DISCONTINUITY\n"), "{after}");
}

#[test]
fn caddy_passes_on_what_waits_and_stands_before_a_cache() {
    let guide = Guide::open();
    let (server, _source) = station("trusted_proxies = [\"127.0.0.1\"]", "");
    wait_for_segments(&server, 1);
    let direct = caddy(&server, &guide.caddy_of_station, "127.0.0.1:8080");
    let mut player = HlsPlayer::new(true);
    let mut parts = 0;
    until_received("twenty parts", PATIENCE, || {
        let playlist = get(&direct, &format!("/mic.opus/{}", player.playlist()));
        assert_eq!(playlist.status, 200, "{playlist:?}");
        let step = player.read(&MediaPlaylist::parse(&playlist.text()).unwrap());
        // The answer had waited for it.
        assert!(!step.files.is_empty() || playlist.text().contains("GAP"), "{playlist:?}");
        for file in step.files {
            assert_eq!(get(&direct, &format!("/mic.opus/{}", file.uri)).status, 200);
            parts += 1;
        }
        when(parts > 20, parts)
    });
    assert_eq!(player.lost, 0);

    for client in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        let head = format!(
            "GET {PLAYLIST} HTTP/1.1\r\nHost: station.example\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(exchange(&mut connect_from(client, &direct), &head).status, 200);
    }
    let clients = get_with(&server, "/admin/listclients?mount=/mic.opus", &admin()).text();
    for client in ["127.0.0.2", "127.0.0.3"] {
        assert!(clients.contains(&format!("<IP>{client}</IP>")), "{clients}");
    }

    let cache = cache_of(&guide, &server);
    let front = caddy(&cache, &guide.caddy_of_cache, "127.0.0.1:8081");
    let answer = get(&front, PLAYLIST);
    assert_eq!((answer.status, answer.field("x-cache")), (200, Some("MISS")));
}

#[test]
fn ffmpeg_pulls_from_the_cache_and_passes_the_packets_on() {
    let guide = Guide::open();
    let (server, _source) = station("", "");
    let cache = cache_of(&guide, &server);
    wait_for_segments(&cache, 3);
    let other = Daemon::start();
    let line = guide.pull.with(&[
        ("CACHE", &format!("127.0.0.1:{}", cache.port())),
        ("MOUNT", "mic.opus"),
        ("PASSWORD", PASSWORD),
        ("HOST:8000", &format!("127.0.0.1:{}", other.port)),
    ]);
    let _ffmpeg =
        Running::start_quietly(Command::new("bash").args(["-c", &format!("exec {line}")]));
    other.wait_for_line(&["stream-began"]);
    assert_unbroken_tone("pulled", &decode(&other, "/mic.opus"));
}
