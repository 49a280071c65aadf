//! The alerts and the dashboard in `docs`, checked against the metrics that the server has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::client::{Listener, Source, get, login};
use crate::daemon::{Daemon, PASSWORD};
use crate::detections::post;
use crate::documents::Document;
use crate::fetched::readers;
use crate::players::finish;
use crate::process::Run;
use crate::wait::{PATIENCE, until, when};

const ALERTS: &str = "docs/alerts.yaml";
const DASHBOARD: &str = "docs/grafana-dashboard.json";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn file(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// Every metric in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("silvacast_")).collect()
}

/// What `/metrics` answers while a mount has a stream, one would be pulled from another server, and a
/// request was refused, and when a detector has posted.
fn scraped() -> String {
    let relay = "[[relay]]\nfrom = \"http://127.0.0.1:1\"\nmounts = [\"/far\"]\non_demand = true";
    let server = Daemon::with("", relay);
    until("the mount to be offered", PATIENCE, || {
        let text = get(&server, "/api/v1/mounts").text();
        when(text.contains("/far"), text)
    });
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    source.send(1, 100);
    listener.number();
    assert_eq!(get(&server, "/nothing").status, 404);
    let heard = r#"{"common_name":"Wren","confidence":1,"start":"2026-05-01T12:00:00Z"}"#;
    assert_eq!(post(&server, "/api/v1/mounts/m/detections", &login(PASSWORD), heard).status, 200);
    get(&server, "/metrics").text()
}

/// The samples of a scrape, as lines.
fn samples(scraped: &str) -> impl Iterator<Item = &str> {
    scraped.lines().filter(|line| !line.starts_with('#'))
}

/// The name of a sample.
fn name(sample: &str) -> &str {
    sample.split(['{', ' ']).next().unwrap()
}

/// Samples whose help says that they are deprecated, each with the one that replaces it.
fn deprecated(scraped: &str) -> Vec<(String, String)> {
    let help = scraped.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let replaced = help.filter_map(|help| help.split_once(" Deprecated, "));
    let new = |text: &str| (*metrics(text).first().unwrap()).to_owned();
    replaced.map(|(name, text)| (format!("{name}_total"), new(text))).collect()
}

#[test]
fn every_metric_in_alerts_and_dashboard_exists() {
    let text = scraped();
    let old: BTreeSet<_> = deprecated(&text).into_iter().map(|(old, _)| old).collect();
    let there: BTreeSet<_> = samples(&text).map(name).filter(|name| !old.contains(*name)).collect();
    for name in [ALERTS, DASHBOARD] {
        let text = file(name);
        let watched = metrics(&text);
        assert!(watched.len() > 5, "{name}: {watched:?}");
        let missing: Vec<_> = watched.difference(&there).collect();
        assert!(missing.is_empty(), "{name}: there is no {missing:?} in {there:?}");
    }
}

#[test]
fn a_deprecated_metric_is_listed_and_names_the_one_that_replaces_it() {
    let (text, guide) = (scraped(), file("docs/monitoring.md"));
    let deprecated = deprecated(&text);
    for (old, new) in &deprecated {
        assert!(guide.contains(&format!("| `{old}` | `{new}` |\n")), "{old}");
        for one in [old, new] {
            assert!(samples(&text).any(|sample| name(sample) == one), "{one}");
        }
    }
    assert_eq!(guide.matches("\n| `silvacast_").count(), deprecated.len());
}

#[test]
fn metrics_follow_the_conventions_of_prometheus() {
    let text = scraped();
    let old: BTreeSet<_> = deprecated(&text).into_iter().map(|(old, _)| old).collect();
    let mut counters = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (family, kind) = line.split_once(' ').unwrap();
        let expected: &[&str] = match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        for suffix in expected {
            let sample = format!("{family}{suffix}");
            assert!(samples(&text).any(|line| name(line) == sample), "{sample}");
        }
        assert!(!family.ends_with("_total"), "{family}: OpenMetrics adds the suffix");
        counters += usize::from(kind == "counter");
        if old.contains(&format!("{family}_total")) {
            continue;
        }
        for unit in ["milliseconds", "microseconds", "minutes", "kilobytes", "bits", "percent"] {
            assert!(!family.contains(unit), "{family} is not in a base unit");
        }
        for unit in ["seconds", "bytes"].into_iter().filter(|unit| family.ends_with(unit)) {
            assert!(text.contains(&format!("# UNIT {family} {unit}\n")), "{family}");
        }
    }
    assert!(counters > 10, "{text}");
    let other = "silvacast_refused_requests_total{status=\"other\"} 0";
    assert!(samples(&text).any(|line| line == other) && !text.contains("status=\"0\""), "{text}");
    let build = format!("silvacast_build_info{{version=\"{}\",", env!("CARGO_PKG_VERSION"));
    assert!(samples(&text).any(|line| line.starts_with(&build) && line.ends_with(" 1")), "{text}");
    let started = samples(&text).find_map(|line| line.strip_prefix("process_start_time_seconds "));
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
        - started.unwrap().parse::<f64>().unwrap();
    assert!((0.0..3600.0).contains(&age), "{age}");
}

#[test]
fn prometheus_reads_the_metrics() {
    let Some(place) = readers() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (input, blocks) = (directory.path().join("input"), directory.path().join("blocks"));
    // promtool needs the time of each sample, which a scrape has by itself.
    let timed = |line: &str| if line.starts_with('#') { "\n" } else { " 1700000000\n" };
    let lines: String =
        scraped().lines().flat_map(|line| [line.to_owned(), timed(line).to_owned()]).collect();
    fs::write(&input, lines).unwrap();
    let read = |input: &Path| {
        let mut promtool = Command::new(place.join("usr/bin/promtool"));
        promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(input).arg(&blocks).run()
    };
    let output = read(&input);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(fs::read_dir(&blocks).unwrap().count(), 1, "{said}");
    fs::write(&input, fs::read_to_string(&input).unwrap().replace("# TYPE", "# KIND")).unwrap();
    assert!(!read(&input).status.success(), "promtool accepts anything");
}

#[test]
fn each_alert_is_explained_and_the_dashboard_is_whole() {
    let (alerts, text) = (file(ALERTS), file("docs/monitoring.md"));
    let names: Vec<_> =
        alerts.split("- alert: ").skip(1).map(|a| a.lines().next().unwrap()).collect();
    assert!(!names.is_empty());
    for name in &names {
        assert!(text.contains(&format!("| `{name}` |")), "{name}");
    }
    assert_eq!(text.matches("| `Silvacast").count(), names.len());
    let dashboard: Value = serde_json::from_str(&file(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(!panels.is_empty());
    for panel in panels {
        assert!(
            panel["targets"].as_array().unwrap().iter().all(|target| target["expr"].is_string())
        );
    }
}

/// A test for promtool: series with a value per minute, and the alerts that must fire.
const SCENE: &str = r#"
rule_files: [ALERTS]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'up{job="silvacast",instance="a"}', values: '1x30' }
      - { series: 'up{job="silvacast",instance="b"}', values: '1x5 0x25' }
      - { series: 'silvacast_live{job="silvacast",instance="a",mount="/well"}', values: '1x30' }
      - { series: 'silvacast_live{job="silvacast",instance="a",mount="/silent"}', values: '1x5 0x25' }
      - { series: 'silvacast_live{job="silvacast",instance="a",mount="/gone"}', values: '1x5 stale' }
      - { series: 'silvacast_up{job="silvacast",instance="a",mount="/gone"}', values: '1x5 0x25' }
      - { series: 'silvacast_up{job="silvacast",instance="a",mount="/never"}', values: '0x30' }
      - { series: 'silvacast_up{job="silvacast",instance="a",mount="/well"}', values: '1x30' }
      - { series: 'silvacast_up{job="silvacast",instance="a",mount="/idle"}', values: '1x5 0x25' }
      - { series: 'silvacast_live{job="silvacast",instance="a",mount="/resting"}', values: '1x5 0x25' }
      - { series: 'silvacast_live{job="silvacast",instance="a",mount="/missed"}', values: '1x5 0x25' }
      - { series: 'silvacast_wanted{job="silvacast",instance="a",mount="/idle"}', values: '1x5 0x25' }
      - { series: 'silvacast_wanted{job="silvacast",instance="a",mount="/resting"}', values: '1x5 0x25' }
      - { series: 'silvacast_wanted{job="silvacast",instance="a",mount="/missed"}', values: '1x30' }
      - { series: 'silvacast_peer_failed{instance="a",kind="relay",mount="/well"}', values: '0x30' }
      - { series: 'silvacast_peer_failed{instance="a",kind="relay",mount="/away"}', values: '1x30' }
      - { series: 'silvacast_last_detection_timestamp_seconds{instance="a",mount="/well"}', values: '-80000x30' }
      - { series: 'silvacast_last_detection_timestamp_seconds{instance="a",mount="/resting"}', values: '-90000x30' }
      - { series: 'silvacast_last_detection_timestamp_seconds{instance="a",mount="/unheard"}', values: '-90000x30' }
      - { series: 'silvacast_up{job="silvacast",instance="a",mount="/unheard"}', values: '1x30' }
      - { series: 'silvacast_lag_skips_total{instance="a",mount="/well"}', values: '0+0x30' }
      - { series: 'silvacast_lag_skips_total{instance="a",mount="/slow"}', values: '0+3x30' }
      - { series: 'silvacast_resident_memory_bytes{instance="a"}', values: '50x30' }
      - { series: 'silvacast_resident_memory_bytes{instance="b"}', values: '95x30' }
      - { series: 'silvacast_memory_ceiling_bytes{instance="a"}', values: '100x30' }
      - { series: 'silvacast_memory_ceiling_bytes{instance="b"}', values: '100x30' }
      - { series: 'silvacast_journal_dropped_lines_total{instance="a"}', values: '0+0x30' }
      - { series: 'silvacast_journal_dropped_lines_total{instance="b"}', values: '0+6x30' }
      - { series: 'silvacast_refused_requests_total{instance="a",status="404"}', values: '0+600x30' }
      - { series: 'silvacast_refused_requests_total{instance="a",status="401"}', values: '0+6x30' }
      - { series: 'silvacast_refused_requests_total{instance="b",status="401"}', values: '0+60x30' }
    promql_expr_test:
      - expr: ALERTS{alertstate="firing"}
        eval_time: 20m
        exp_samples:
          - { labels: 'ALERTS{alertname="SilvacastDown",alertstate="firing",instance="b",job="silvacast",severity="critical"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastMicrophoneSilent",alertstate="firing",instance="a",job="silvacast",mount="/silent",severity="warning"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastMicrophoneSilent",alertstate="firing",instance="a",job="silvacast",mount="/missed",severity="warning"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastPeerFailed",alertstate="firing",instance="a",kind="relay",mount="/away",severity="warning"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastMountGone",alertstate="firing",instance="a",job="silvacast",mount="/gone",severity="critical"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastDetectorSilent",alertstate="firing",instance="a",mount="/unheard",severity="warning"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastListenersLagging",alertstate="firing",instance="a",mount="/slow",severity="warning"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastMemoryNearCeiling",alertstate="firing",instance="b",severity="warning"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastJournalDropsLines",alertstate="firing",instance="b",severity="warning"}', value: 1 }
          - { labels: 'ALERTS{alertname="SilvacastRefusalsBurst",alertstate="firing",instance="b",severity="warning"}', value: 1 }
"#;

#[test]
fn prometheus_accepts_the_configuration_of_the_guide() {
    let mut document = Document::open("docs/monitoring.md");
    let block = document.take("yaml", "scrape_configs:");
    let Some(place) = readers() else { return };
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("prometheus.yml");
    fs::write(&configuration, block.text).unwrap();
    fs::copy(path(ALERTS), directory.path().join("alerts.yaml")).unwrap();
    let promtool = || Command::new(place.join("usr/bin/promtool"));
    let output = finish(promtool().args(["check", "config"]).arg(configuration));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 rule files found") && said.contains("9 rules found"), "{said}");
}

#[test]
fn prometheus_raises_each_alert_only_where_it_is_due() {
    let Some(place) = readers() else { return };
    let promtool = || Command::new(place.join("usr/bin/promtool"));
    finish(promtool().args(["check", "rules"]).arg(path(ALERTS)));
    let directory = tempfile::tempdir().unwrap();
    let scene = directory.path().join("scene.yaml");
    fs::write(&scene, SCENE.replace("ALERTS]", &format!("{:?}]", path(ALERTS)))).unwrap();
    let output = promtool().args(["test", "rules"]).arg(scene).run();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
}
