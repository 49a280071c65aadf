//! Servers that pull from each other or push to each other in a circle: no stream comes back to where it began.

use crate::client::Source;
use crate::daemon::{Daemon, PASSWORD};
use crate::other_servers::{forward, listed, relay, wait_for_mounts, wait_for_reason};
use crate::port::Port;

/// Servers on ports that are known before they start. Each gets the sections that `of` makes of its number and all ports.
fn servers<const N: usize>(of: impl Fn(usize, [u16; N]) -> String) -> [Daemon; N] {
    let ports = [(); N].map(|()| Port::reserve());
    let numbers = ports.each_ref().map(Port::number);
    let mut all = (0..N).map(|it| Daemon::on(&ports[it], PASSWORD, "", &of(it, numbers)));
    let servers = [(); N].map(|()| all.next().unwrap());
    drop(all);
    servers
}

const LOOP: &str = "the stream would come back to where it began";
const REFUSED: &str = "the server answered 508: Refused: this stream has come from";

#[test]
fn two_servers_that_pull_from_each_other_have_each_mount_once() {
    let [a, b] = servers(|it, ports: [u16; 2]| relay(&ports[1 - it], "prefix = \"/far\""));
    let _source = Source::connect(&a, "/m", 1);
    wait_for_mounts(&b, &["/far/m"]);
    // The prefix says so already.
    assert_eq!(listed(&a).0, ["/m"]);

    let [a, b] =
        servers(|it, ports: [u16; 2]| relay(&ports[1 - it], &format!("prefix = \"/{it}\"")));
    let _source = Source::connect(&a, "/m", 1);
    wait_for_mounts(&b, &["/1/m"]);
    wait_for_reason(&a, "/0/1/m", REFUSED);
    assert_eq!((listed(&a).0, listed(&b).0), (vec!["/m".to_owned()], vec!["/1/m".to_owned()]));

    // Under the same name, an encoder's mount is not pulled.
    let [a, b] = servers(|it, ports: [u16; 2]| relay(&ports[1 - it], ""));
    let _source = Source::connect(&a, "/m", 1);
    wait_for_mounts(&b, &["/m"]);
    wait_for_reason(&a, "/m", "another source sends to this mount");
}

#[test]
fn a_stream_goes_once_around_a_circle() {
    let servers =
        servers(|it, ports: [u16; 3]| relay(&ports[(it + 2) % 3], &format!("prefix = \"/{it}\"")));
    let _source = Source::connect(&servers[0], "/m", 1);
    wait_for_mounts(&servers[1], &["/1/m"]);
    wait_for_mounts(&servers[2], &["/2/1/m"]);
    wait_for_reason(&servers[0], "/0/2/1/m", REFUSED);
    wait_for_mounts(&servers[0], &["/m"]);
}

#[test]
fn a_server_does_not_pull_from_itself() {
    let [server] = servers(|_, ports: [u16; 1]| relay(&ports[0], "prefix = \"/again\""));
    let _source = Source::connect(&server, "/m", 1);
    wait_for_reason(&server, "/again/m", LOOP);
    assert_eq!(listed(&server).0, ["/m"]);
}

#[test]
fn a_stream_that_is_pushed_around_a_circle_is_refused_where_it_began() {
    let servers = servers(|it, ports: [u16; 3]| {
        forward(&ports[(it + 1) % 3], &format!("prefix = \"/{it}\""))
    });
    let _source = Source::connect(&servers[0], "/m", 1);
    wait_for_mounts(&servers[1], &["/0/m"]);
    wait_for_mounts(&servers[2], &["/1/0/m"]);
    wait_for_reason(&servers[2], "/1/0/m", REFUSED);
    assert_eq!(listed(&servers[0]).0, ["/m"]);
}

#[test]
fn a_stream_that_is_pushed_to_where_it_is_pulled_from_is_refused() {
    let [a, b] = servers(|it, ports: [u16; 2]| {
        if it == 0 {
            String::new()
        } else {
            relay(&ports[0], "") + &forward(&ports[0], "prefix = \"/b\"")
        }
    });
    let _source = Source::connect(&a, "/m", 1);
    wait_for_mounts(&b, &["/m"]);
    wait_for_reason(&b, "/m", REFUSED);
    assert_eq!(listed(&a).0, ["/m"]);
}
