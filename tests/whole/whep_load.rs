//! Many listeners by WebRTC at once, without a browser for each.

#[path = "../whep/load_client.rs"]
mod load_client;

use std::time::{Duration, Instant};

pub(crate) use load_client::{Clients, LoadClient};

use crate::client::Server;
use crate::wait::{PATIENCE, until};
use crate::whep::post;

/// Makes an offer. Returns the client, and the URL of its session relative to that of the offer.
pub(crate) fn join(clients: &Clients, server: &impl Server, path: &str) -> (LoadClient, String) {
    let answer = post(server, path, "", &clients.offer());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let location = answer.field("location").unwrap().to_owned();
    (clients.answered(&answer.text()).unwrap(), location)
}

/// Goes on with all clients until each has received so many packets.
pub(crate) fn receive(clients: &mut [LoadClient], packets: usize) {
    let mut checked = Instant::now();
    until(&format!("{packets} packets for each client"), PATIENCE, || {
        // The first answer may be lost, and the server wants to be asked again every 30 s.
        if checked.elapsed() > Duration::from_secs(1) {
            clients.iter().for_each(LoadClient::check);
            checked = Instant::now();
        }
        clients.iter_mut().for_each(LoadClient::step);
        let missing = clients.iter().filter(|client| client.packets < packets).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} clients have fewer")) }
    });
}
