//! The alerts and the dashboard in `docs`, checked against the metrics that the server has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::client::{Listener, Source, get};
use crate::daemon::Daemon;
use crate::documents::Document;
use crate::fetched::readers;
use crate::players::finish;
use crate::process::Run;

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

#[test]
fn every_metric_in_alerts_and_dashboard_exists() {
    let server = Daemon::start();
    let mut source = Source::connect(&server, "/m", 1);
    let mut listener = Listener::join(&server, "/m");
    listener.headers();
    source.send(1, 100);
    listener.number();
    assert_eq!(get(&server, "/nothing").status, 404);
    let text = get(&server, "/metrics").text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let there: BTreeSet<_> = lines.map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    for name in [ALERTS, DASHBOARD] {
        let text = file(name);
        let watched = metrics(&text);
        assert!(watched.len() > 5, "{name}: {watched:?}");
        let missing: Vec<_> = watched.difference(&there).collect();
        assert!(missing.is_empty(), "{name}: there is no {missing:?} in {there:?}");
    }
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
          - { labels: 'ALERTS{alertname="SilvacastMountGone",alertstate="firing",instance="a",job="silvacast",mount="/gone",severity="critical"}', value: 1 }
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
    assert!(said.contains("1 rule files found") && said.contains("7 rules found"), "{said}");
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
