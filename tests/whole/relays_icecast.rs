//! Relays between silvacast and a real Icecast, in both directions, with real encoders.

use std::process::Command;
use std::thread;

use crate::client::{Listener, Server, get};
use crate::daemon::{Daemon, PASSWORD};
use crate::gap::{CheckedListener, api_mount};
use crate::icecast_server::Icecast;
use crate::other_servers::{relay, wait_for_mounts, wait_for_peer, wait_for_reason};
use crate::players::{OPUS, assert_unbroken_tone, decode, ffmpeg_source};
use crate::port::Port;
use crate::process::Running;
use crate::wait::{PATIENCE, until, when};

const GAPS: &str = "[mount-defaults]\ngap_after = \"500ms\"\nhold = \"5m\"";

/// FFmpeg that sends a tone to this URL.
fn encoder(url: &str) -> Running {
    let options = ["-content_type", "audio/ogg", "-ice_name", "The pond", "-f", "ogg", url];
    ffmpeg_source(&OPUS, &options)
}

/// Waits until Icecast lists exactly these mounts.
fn wait_for_icecast(icecast: &Icecast, mounts: &[&str]) {
    until(&format!("Icecast to list {mounts:?}"), PATIENCE, || {
        let status = get(icecast, "/status-json.xsl").text();
        let all = mounts.iter().all(|mount| status.contains(&format!("{mount}\"")));
        when(all && status.matches("listenurl").count() == mounts.len(), status)
    });
}

/// Reads until so many pages of audio have come.
fn hear(heard: &mut CheckedListener, pages: usize) {
    let mut audio = 0;
    until(&format!("{pages} pages of audio"), PATIENCE, || {
        audio += usize::from(heard.next().is_some());
        when(audio >= pages, audio)
    });
}

#[test]
fn icecast_relays_what_it_may_list_and_hear_and_goes_on_after_restarts() {
    let port = Port::reserve();
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "web:0123456789abcdef-token\n").unwrap();
    let sections = format!(
        "relay_password = \"for relays\"\n[[mount]]\nname = \"/b.opus\"\naccess = \"token\"\ntokens_file = {tokens:?}"
    );
    let start = || Daemon::on(&port, PASSWORD, "", &sections);
    let (a, b) = ("/a.opus", "/b.opus");
    let station = start();
    let urls = [a, b]
        .map(|mount| format!("icecast://source:{PASSWORD}@127.0.0.1:{}{mount}", port.number()));
    let encoders = urls.each_ref().map(|url| encoder(url));
    wait_for_mounts(&station, &[a, b]);
    let mut icecast = Icecast::with(&format!(
        "<master-server>127.0.0.1</master-server><master-server-port>{0}</master-server-port>\
         <master-update-interval>1</master-update-interval><master-username>relay</master-username>\
         <master-password>for relays</master-password>\
         <relay><server>127.0.0.1</server><port>{0}</port><mount>{a}</mount>\
         <local-mount>/demand.opus</local-mount><on-demand>1</on-demand></relay>\
         <relay><server>127.0.0.1</server><port>{0}</port><mount>{b}</mount>\
         <local-mount>/own.opus</local-mount><username>relay</username>\
         <password>for relays</password><on-demand>0</on-demand></relay>",
        port.number()
    ));
    let mounts = [a, "/demand.opus", "/own.opus"];
    wait_for_icecast(&icecast, &mounts);
    let heard = |icecast: &Icecast| {
        thread::scope(|scope| {
            for mount in mounts {
                scope.spawn(move || assert_unbroken_tone(mount, &decode(icecast, mount)));
            }
        });
    };
    heard(&icecast);
    icecast.restart();
    wait_for_icecast(&icecast, &mounts);
    assert_unbroken_tone("/own.opus", &decode(&icecast, "/own.opus"));
    drop((encoders, station));
    let station = start();
    let _encoders = urls.each_ref().map(|url| encoder(url));
    wait_for_mounts(&station, &[a, b]);
    until("Icecast to pull again", PATIENCE, || {
        let seen = [a, b].map(|mount| api_mount(&station, mount)["listeners"].clone());
        when(seen.iter().all(|listeners| *listeners == 1), seen)
    });
    wait_for_icecast(&icecast, &mounts);
    heard(&icecast);
}

#[test]
fn what_icecast_has_is_pulled_and_goes_on_over_restarts_of_its_source_and_of_itself() {
    let mut icecast = Icecast::start();
    let url = icecast.push_url("/m.opus");
    let source = encoder(&url);
    wait_for_icecast(&icecast, &["/m.opus"]);
    let sections = [
        relay(&icecast, "prefix = \"/wood\""),
        relay(&icecast, "mounts = [\"/m.opus\"]\nlocal_name = \"/n.opus\"\non_demand = true"),
        GAPS.to_owned(),
    ];
    let hub = Daemon::with("", &sections.concat());
    wait_for_mounts(&hub, &["/wood/m.opus"]);
    assert_unbroken_tone("from silvacast", &decode(&hub, "/wood/m.opus"));
    let status = api_mount(&hub, "/wood/m.opus");
    let from = format!("http://127.0.0.1:{}/m.opus", icecast.port());
    assert_eq!(
        (&status["relayed_from"], &status["station_name"]),
        (&from.into(), &"The pond".into())
    );
    let has_listeners = |count: usize| {
        until(&format!("{count} listeners at Icecast"), PATIENCE, || {
            let status = get(&icecast, "/status-json.xsl").text();
            when(status.contains(&format!("\"listeners\":{count},")), status)
        });
    };
    // Nobody listens to /n.opus yet.
    has_listeners(1);
    let listener = Listener::join(&hub, "/n.opus");
    has_listeners(2);
    drop(listener);

    let mut heard = CheckedListener::join_at(&hub, "/wood/m.opus?burst=0ms");
    hear(&mut heard, 20);
    drop(source);
    heard.silence(3);
    wait_for_reason(&hub, "/wood/m.opus", "the server answered 404");
    let source = encoder(&url);
    hear(&mut heard, 20);
    icecast.restart();
    drop(source);
    let _source = encoder(&url);
    heard.silence(3);
    hear(&mut heard, 20);
    let peer = wait_for_peer(&hub, "/wood/m.opus", "connected");
    let status = api_mount(&hub, "/wood/m.opus");
    assert_eq!((&peer["connections"], &status["splices"]), (&3.into(), &2.into()), "{status}");
}

#[test]
fn what_liquidsoap_sends_to_icecast_is_pulled() {
    let icecast = Icecast::start();
    let mut liquidsoap = Command::new("liquidsoap");
    let script = format!(
        "output.icecast(%opus(channels=1, bitrate=64), host=\"127.0.0.1\", port={}, password={PASSWORD:?}, \
         mount=\"/m.opus\", name=\"The reeds\", sine(997.))",
        icecast.port()
    );
    if nix::unistd::geteuid().is_root() {
        // It refuses to run as root.
        use std::os::unix::process::CommandExt;
        liquidsoap.uid(65_534).gid(65_534);
    }
    let _liquidsoap = Running::start_quietly(liquidsoap.arg(script));
    wait_for_icecast(&icecast, &["/m.opus"]);
    let hub = Daemon::with("", &relay(&icecast, "mounts = [\"/m.opus\"]"));
    wait_for_mounts(&hub, &["/m.opus"]);
    assert_unbroken_tone("Liquidsoap", &decode(&hub, "/m.opus"));
    assert_eq!(api_mount(&hub, "/m.opus")["station_name"], "The reeds");
}
