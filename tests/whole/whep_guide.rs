//! The configurations of `docs/webrtc.md`.

use silvacast::config::{Config, Environment};

use crate::documents::Document;

/// Reads a block as a part of a configuration.
fn read(text: &str) -> Config {
    let passwords = "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"\n";
    Config::parse(&format!("{passwords}{text}"), &Environment::default()).unwrap()
}

#[test]
fn the_guide_has_configurations_that_are_read() {
    let mut guide = Document::open("docs/webrtc.md");
    let simple = read(&guide.take("toml", "listen").text).webrtc;
    assert_eq!(simple.listen, Some("0.0.0.0:8189".parse().unwrap()));
    assert!(simple.addresses.is_empty());
    let behind_nat = read(&guide.take("toml", "addresses").text).webrtc;
    assert_eq!(
        (behind_nat.listen, &*behind_nat.addresses),
        (simple.listen, &["192.0.2.7".into()][..])
    );
    // The container of the station publishes its port in the same way.
    let block = guide.take("ini", "PublishPort=").text;
    let published = block.lines().find(|line| line.starts_with("PublishPort=")).unwrap();
    let station = include_str!("../../quadlet/silvasonic-icecast.container");
    assert!(station.contains(&format!("#{published}\n")), "{published}");
}
