//! A listener by WebRTC without a browser: makes the offer, the check and the handshake itself, and counts the packets
//! that come. It does not make the HTTP request. Tests and benchmarks include this file.

#![allow(clippy::unwrap_used, reason = "a load that cannot go on has failed")]

#[path = "binding_request.rs"]
mod binding_request;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use binding_request::binding_request;
use dimpl::{Config, Dtls, Output};
use silvacast::webrtc::Certificate;

const UFRAG: &str = "9uB6";

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
    /// Whether the handshake is complete.
    pub(crate) connected: bool,
    /// Packets of audio received.
    pub(crate) packets: usize,
}

impl Clients {
    pub(crate) fn new() -> Self {
        let config = Arc::new(Config::builder().build().unwrap());
        Self { config, certificate: Certificate::generate().unwrap() }
    }

    /// The offer of each client.
    pub(crate) fn offer(&self) -> String {
        let digest = self.certificate.fingerprint.map(|byte| format!("{byte:02X}")).join(":");
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{UFRAG}\r\n\
             a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1o\r\na=fingerprint:sha-256 {digest}\r\n\
             a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
             a=rtpmap:111 opus/48000/2\r\n"
        )
    }

    /// A client whose offer has got this answer.
    pub(crate) fn answered(&self, sdp: &str) -> io::Result<LoadClient> {
        let value = |name: &str| {
            let line = sdp.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in\n{sdp}")).to_owned()
        };
        let candidate = value("a=candidate:");
        let words: Vec<_> = candidate.split(' ').collect();
        let address: SocketAddr = format!("{}:{}", words[4], words[5]).parse().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        let username = format!("{}:{UFRAG}", value("a=ice-ufrag:"));
        let check = binding_request(&username, &value("a=ice-pwd:"));
        let certificate = self.certificate.dtls.clone();
        let mut dtls = Dtls::new_auto(Arc::clone(&self.config), certificate, Instant::now());
        dtls.set_active(true);
        Ok(LoadClient { socket, dtls, check, connected: false, packets: 0 })
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
