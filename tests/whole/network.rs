//! A network of its own for a test: a namespace with the loopback interface and one more.
//!
//! Browsers send WebRTC only from the address of the route to the world, and never reach a server on
//! loopback by it. A test process has one test, so it moves there itself, with all that it starts.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::needs::{Need, needs};
use crate::players::finish;

/// The address of this machine in the network.
pub(crate) const ADDRESS: &str = "10.99.0.1";

/// Moves the process into a network of its own. False if this machine cannot have one.
pub(crate) fn enter() -> bool {
    if !needs(&[Need::Root, Need::Program("ip")]) {
        return false;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    // Its addresses come a second later, and Chromium ends all requests when the network changes.
    std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    for line in [
        "link set lo up",
        "link add here type veth peer name there",
        &format!("address add {ADDRESS}/24 dev here"),
        "link set here up",
        "link set there up",
        "route add default via 10.99.0.254",
    ] {
        finish(Command::new("ip").args(line.split(' ')));
    }
    true
}
