//! Microphones that should be there and are not: named in the configuration, or live before.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{Listener, Source, get};
use crate::daemon::{Daemon, PASSWORD, silvacast};
use crate::events::Events;
use crate::process::Run;
use crate::wait::{PATIENCE, until, when};

const SECTIONS: &str = "[mount-defaults]\ngap_after = \"100ms\"\nhold = \"200ms\"\n\
    [[mount]]\nname = \"/nest\"\ntitle = \"Owl's nest\"\nexpected = true\n\
    [[mount]]\nname = \"/secret\"\nhidden = true";

/// The mounts that the API lists as off.
fn off(server: &Daemon) -> Vec<Value> {
    let answer = get(server, "/api/v1/mounts");
    let mut all: Value = serde_json::from_slice(&answer.body).unwrap();
    all["off"].as_array_mut().map(std::mem::take).unwrap()
}

fn names(off: &[Value]) -> Vec<&str> {
    off.iter().filter_map(|mount| mount["name"].as_str()).collect()
}

#[test]
fn a_microphone_that_is_named_or_was_live_stays_listed_while_it_is_off() {
    let server = Daemon::with("", SECTIONS);
    let mut events = Events::open(&server, "");
    let (_, all) = events.next();
    assert_eq!(names(all["off"].as_array().unwrap()), ["/nest"]);
    let listed = off(&server);
    assert_eq!(names(&listed), ["/nest"], "a hidden mount is not listed");
    assert_eq!(listed[0]["station_name"], "Owl's nest");
    assert_eq!((&listed[0]["state"], &listed[0]["expected"]), (&"off".into(), &true.into()));
    let since = listed[0]["state_since"].as_str().unwrap().to_owned();
    let mut sources = ["/nest", "/passing"].map(|mount| Source::connect(&server, mount, 1));
    for source in &mut sources {
        source.send(1, 100);
    }
    assert_eq!(off(&server), Vec::<Value>::new());
    sources.into_iter().for_each(Source::leave);
    let listed = until("both to be off", PATIENCE, || {
        let listed = off(&server);
        if listed.len() == 2 { Ok(listed) } else { Err(format!("{listed:?}")) }
    });
    assert_eq!(names(&listed), ["/nest", "/passing"]);
    assert!(listed[0]["state_since"].as_str() > Some(&since), "{listed:?}");
    let down = events.find("an event `down`", |(kind, _)| kind == "down").1;
    assert_eq!(down["state"], "off");
    let metrics = get(&server, "/metrics").text();
    for mount in ["/nest", "/passing"] {
        assert!(metrics.contains(&format!("silvacast_up{{mount=\"{mount}\"}} 0")), "{metrics}");
        assert!(metrics.contains(&format!("silvacast_off_seconds{{mount=\"{mount}\"}} ")));
    }
    // What the configuration does not name any more stays if it was live.
    server.configure(PASSWORD, "", "[mount-defaults]\ngap_after = \"100ms\"");
    server.signal(Signal::SIGHUP);
    server.wait_for_line(&["event=\"reloaded\""]);
    assert_eq!(names(&off(&server)), ["/nest", "/passing"]);
    // One that becomes hidden is not listed any more, and who follows the events is told.
    let hidden =
        "[mount-defaults]\ngap_after = \"100ms\"\n[[mount]]\nname = \"/nest\"\nhidden = true";
    server.configure(PASSWORD, "", hidden);
    server.signal(Signal::SIGHUP);
    let gone = events.find("an event `gone`", |(kind, _)| kind == "gone").1;
    assert_eq!(gone["name"], "/nest");
    assert_eq!(names(&off(&server)), ["/passing"]);
}

#[test]
fn the_absence_of_an_expected_microphone_fails_the_strict_health_check() {
    let server = Daemon::with("", SECTIONS);
    let health = |arguments: &[&str]| {
        let output =
            silvacast().args(["health", "--url", &server.url("/healthz")]).args(arguments).run();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(health(&[]).0, Some(0));
    let (code, said) = health(&["--strict"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("No source is sending to /nest (since "), "{said}");
    let mut source = Source::connect(&server, "/nest", 1);
    let mut listener = Listener::join(&server, "/nest");
    listener.headers();
    source.send(1, 100);
    assert_eq!(listener.number(), 0);
    assert_eq!(health(&["--strict"]).0, Some(0));
    source.leave();
    until("the strict check to fail again", PATIENCE, || {
        let seen = health(&["--strict"]);
        when(seen.0 == Some(1), seen)
    });
}
