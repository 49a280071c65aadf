//! What tests of `[[relay]]` and `[[forward]]` share: the sections, what the administrator sees of
//! other servers, and waits for it.

use serde_json::Value;

use crate::client::{Server, admin, get, get_with};
use crate::daemon::{Daemon, PASSWORD};
use crate::wait::{PATIENCE, until, when};

/// A `[[relay]]` that pulls from a server.
pub(crate) fn relay(from: &impl Server, more: &str) -> String {
    format!("[[relay]]\nfrom = \"http://127.0.0.1:{}\"\n{more}\n", from.port())
}

/// A `[[forward]]` that pushes to a server.
pub(crate) fn forward(to: &impl Server, more: &str) -> String {
    let password = if more.contains("password") {
        String::new()
    } else {
        format!("password = {PASSWORD:?}\n")
    };
    format!("[[forward]]\nto = \"http://127.0.0.1:{}\"\n{password}{more}\n", to.port())
}

/// What `/api/v1/peers` lists.
pub(crate) fn peers(server: &impl Server) -> Vec<Value> {
    peers_and_lists(server).into_iter().filter(|peer| !peer["mount"].is_null()).collect()
}

/// How it goes with each list of mounts that is followed.
pub(crate) fn peer_lists(server: &impl Server) -> Vec<Value> {
    peers_and_lists(server).into_iter().filter(|peer| peer["mount"].is_null()).collect()
}

fn peers_and_lists(server: &impl Server) -> Vec<Value> {
    let answer = get_with(server, "/api/v1/peers", &admin());
    let mut all: Value = serde_json::from_slice(&answer.body).unwrap();
    all["peers"].as_array_mut().map(std::mem::take).unwrap()
}

/// Waits until the mount of this name is in a state, and returns what is listed.
#[track_caller]
pub(crate) fn wait_for_peer(server: &impl Server, mount: &str, state: &str) -> Value {
    until(&format!("{mount} to be {state}"), PATIENCE, || {
        let all = peers(server);
        let found = all.iter().find(|peer| peer["mount"] == mount && peer["state"] == state);
        found.cloned().ok_or_else(|| format!("{all:?}"))
    })
}

/// Waits until the mount of this name fails for a reason that contains this.
#[track_caller]
pub(crate) fn wait_for_reason(server: &impl Server, mount: &str, reason: &str) -> Value {
    until(&format!("{mount} to fail because {reason}"), PATIENCE, || {
        let all = peers(server);
        let is_it = |peer: &&Value| {
            // The reason stays while the next attempt is made.
            (&peer["mount"], &peer["state"]) == (&mount.into(), &"failed".into())
                && peer["reason"].as_str().is_some_and(|it| it.contains(reason))
        };
        all.iter().find(is_it).cloned().ok_or_else(|| format!("{all:?}"))
    })
}

/// The names of the mounts that have a stream, and of those that are listed without one.
pub(crate) fn listed(server: &impl Server) -> (Vec<String>, Vec<String>) {
    let all: Value = serde_json::from_slice(&get(server, "/api/v1/mounts").body).unwrap();
    let names = |list: &Value| {
        let mounts = list.as_array().unwrap().iter();
        mounts.map(|mount| mount["name"].as_str().unwrap().to_owned()).collect()
    };
    (names(&all["mounts"]), names(&all["off"]))
}

/// Waits until exactly these mounts have a stream.
#[track_caller]
pub(crate) fn wait_for_mounts(server: &impl Server, mounts: &[&str]) {
    until(&format!("{mounts:?} to be all mounts"), PATIENCE, || {
        let (live, off) = listed(server);
        when(live == mounts, (live, off))
    });
}

/// The state that `/api/v1/mounts` lists, of a mount with a stream or without one.
pub(crate) fn state_of(server: &impl Server, mount: &str) -> Value {
    let all: Value = serde_json::from_slice(&get(server, "/api/v1/mounts").body).unwrap();
    let mounts = [&all["mounts"], &all["off"]].into_iter().filter_map(Value::as_array).flatten();
    mounts.into_iter().find(|it| it["name"] == mount).map_or(Value::Null, |it| it["state"].clone())
}

#[track_caller]
pub(crate) fn wait_for_state(server: &impl Server, mount: &str, state: &str) {
    until(&format!("{mount} to be {state}"), PATIENCE, || {
        let seen = state_of(server, mount);
        when(seen == state, seen)
    });
}

/// The value of a metric that counts, or the sum if it has labels.
pub(crate) fn metric(server: &Daemon, name: &str) -> u64 {
    let text = get(server, "/metrics").text();
    let family = name.strip_suffix("_total").unwrap_or(name);
    assert!(text.contains(&format!("# TYPE {family} ")), "there is no {name}");
    let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let values = samples.map(|line| line.rsplit(' ').next().unwrap().trim_end_matches(".0"));
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}
