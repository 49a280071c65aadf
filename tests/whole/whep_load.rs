//! Many listeners by WebRTC at once, without a browser for each: this program makes the offers, the checks and the
//! handshakes itself, and counts the packets that come.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Output};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use silvacast::webrtc::Certificate;

use crate::client::Server;
use crate::wait::{PATIENCE, until};
use crate::whep::{OFFER, post};

/// What all clients share. A configuration takes milliseconds to make.
pub(crate) struct Clients {
    config: Arc<Config>,
    certificate: Certificate,
}

/// A client whose offer was accepted.
pub(crate) struct LoadClient {
    socket: UdpSocket,
    dtls: Dtls,
    check: Vec<u8>,
    pub connected: bool,
    /// The URL of its session, relative to that of the offer.
    pub location: String,
    /// Packets of audio received.
    pub packets: usize,
}

impl Clients {
    pub(crate) fn new() -> Self {
        let config = Arc::new(Config::builder().build().unwrap());
        Self { config, certificate: Certificate::generate().unwrap() }
    }

    /// Makes an offer, and learns where to send.
    pub(crate) fn offer(&self, server: &impl Server, path: &str) -> LoadClient {
        let digest = self.certificate.fingerprint.map(|byte| format!("{byte:02X}")).join(":");
        let at = OFFER.find("a=fingerprint:").unwrap();
        let end = at + OFFER[at..].find("\r\n").unwrap();
        let mut offer = OFFER.to_owned();
        offer.replace_range(at..end, &format!("a=fingerprint:sha-256 {digest}"));
        let answer = post(server, path, "", &offer);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let sdp = answer.text();
        let value = |name: &str| {
            let line = sdp.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in\n{sdp}")).to_owned()
        };
        let candidate = value("a=candidate:");
        let words: Vec<_> = candidate.split(' ').collect();
        let address: SocketAddr = format!("{}:{}", words[4], words[5]).parse().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let username = format!("{}:9uB6", value("a=ice-ufrag:"));
        let check = binding_request(&username, &value("a=ice-pwd:"));
        let certificate = self.certificate.dtls.clone();
        let mut dtls = Dtls::new_auto(Arc::clone(&self.config), certificate, Instant::now());
        dtls.set_active(true);
        let location = answer.field("location").unwrap().to_owned();
        LoadClient { socket, dtls, check, connected: false, location, packets: 0 }
    }
}

impl LoadClient {
    /// Sends a check.
    pub(crate) fn check(&self) {
        self.socket.send(&self.check).unwrap();
    }

    /// Receives what has come, and answers it.
    pub(crate) fn step(&mut self) {
        let mut datagram = [0; 2048];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            match datagram[0] {
                20..=63 => self.dtls.handle_packet(&datagram[..length]).unwrap(),
                // RTP, not RTCP.
                128..=191 if !(192..=223).contains(&datagram[1]) => self.packets += 1,
                _ => {}
            }
            self.send();
        }
        let _ = self.dtls.handle_timeout(Instant::now());
        self.send();
    }

    fn send(&mut self) {
        let mut buffer = [0; 2048];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(datagram) => _ = self.socket.send(datagram).unwrap(),
                Output::Connected => self.connected = true,
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }
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

/// A check of ICE (RFC 8489).
fn binding_request(username: &str, password: &str) -> Vec<u8> {
    let mut request = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!".to_vec();
    let attribute = |request: &mut Vec<u8>, kind: u16, value: &[u8]| {
        request.extend(kind.to_be_bytes());
        request.extend((value.len() as u16).to_be_bytes());
        request.extend(value);
        request.resize(request.len().next_multiple_of(4), 0);
    };
    let set_length = |request: &mut Vec<u8>, more: usize| {
        let length = (request.len() - 20 + more) as u16;
        request[2..4].copy_from_slice(&length.to_be_bytes());
    };
    attribute(&mut request, 0x0006, username.as_bytes());
    set_length(&mut request, 24);
    let mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).unwrap().chain_update(&request);
    attribute(&mut request, 0x0008, &mac.finalize().into_bytes());
    set_length(&mut request, 8);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&request) ^ 0x5354_554e;
    attribute(&mut request, 0x8028, &crc.to_be_bytes());
    request
}
