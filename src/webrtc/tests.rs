//! Whole sessions without a network: a client of the DTLS library against [`Sessions`], with a time
//! that the test sets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Output, ProtocolVersion};

use super::certificate::Certificate;
use super::dtls::DtlsSettings;
use super::end::SessionEnd;
use super::identity::SessionIdentity;
use super::listener::WebRtcListener;
use super::network::{NetworkPath, Outbox};
use super::offer::SdpOffer;
use super::offer::tests::CHROMIUM;
use super::session::{MediaPacket, PACKET_BUFFER, Session, TimeAndDate};
use super::sessions::{SessionEntry, Sessions};
use super::stun::tests::check;
use super::timeouts::{CHECK_TIMEOUT, CONSENT_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::config::{self, Environment};
use crate::mount::{ListenerInfo, ListenerProtocol, MountTable, Name};
use crate::utc::Utc;

/// What the server and the clients share; made once, because it takes milliseconds.
static SHARED: LazyLock<DtlsSettings> = LazyLock::new(|| DtlsSettings {
    dtls: Arc::new(Config::builder().use_server_cookie(true).build().unwrap()),
    certificate: Certificate::generate().unwrap(),
});

/// More flights than any handshake has.
const MAX_FLIGHTS: usize = 20;

/// What was sent, and to where.
#[derive(Default)]
struct Sent(RefCell<VecDeque<(NetworkPath, Vec<u8>)>>);

impl Outbox for &Sent {
    fn send(&mut self, to: NetworkPath, datagram: &[u8]) -> bool {
        self.0.borrow_mut().push_back((to, datagram.to_vec()));
        true
    }
}

struct Server {
    sessions: Sessions<()>,
    sent: Sent,
    now: Instant,
    table: MountTable,
    ended: Vec<SessionEnd>,
}

/// A client with a session.
struct Client {
    key: usize,
    username: String,
    password: String,
    dtls: Dtls,
    is_connected: bool,
    certificate: Certificate,
}

fn path(number: u8) -> NetworkPath {
    NetworkPath { socket: 0, remote: SocketAddr::from(([192, 0, 2, number], 5000)) }
}

impl Server {
    fn new() -> Self {
        let (sessions, table) = (Sessions::default(), MountTable::default());
        Self { sessions, sent: Sent::default(), now: Instant::now(), table, ended: Vec::new() }
    }

    /// A client that has made an offer, with a certificate that may be another one than it says.
    fn client(&mut self, version: ProtocolVersion, is_honest: bool) -> Client {
        let text = "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"";
        let rules = config::Config::parse(text, &Environment::default()).unwrap().door.rules;
        let name = Name::new("/m").unwrap();
        let reservation = self.table.reserve(&name, 10, || rules.of(&name)).unwrap();
        let client = IpAddr::from([192, 0, 2, 1]).into();
        let registration = reservation.directory.enter(ListenerInfo::new(
            client,
            "test",
            ListenerProtocol::WebRtc,
        ));
        let listener = WebRtcListener::new(&reservation, registration, Vec::new(), None);
        let certificate = Certificate::generate().unwrap();
        let identity = SessionIdentity::random().unwrap();
        // Of a length that needs no padding.
        let offer = SdpOffer {
            ufrag: "9uB6xyz".into(),
            fingerprint: if is_honest { certificate.fingerprint } else { [1; 32] },
            ..SdpOffer::parse(CHROMIUM).unwrap()
        };
        let username = format!("{}:{}", identity.ufrag, offer.ufrag);
        let password = identity.password.clone();
        let session = Session::new(identity, &offer, 8189, self.now);
        let key = self.sessions.add(SessionEntry { session, listener, tag: () });
        let (config, of_client) = (Arc::clone(&SHARED.dtls), certificate.dtls.clone());
        let mut dtls = match version {
            ProtocolVersion::DTLS1_2 => Dtls::new_12(config, of_client, self.now),
            _ => Dtls::new_13(config, of_client, self.now),
        };
        dtls.set_active(true);
        dtls.handle_timeout(self.now).unwrap();
        Client { key, username, password, dtls, is_connected: false, certificate }
    }

    fn receive(&mut self, datagram: &[u8], from: NetworkPath) {
        let mut datagram = datagram.to_vec();
        let ended =
            self.sessions.receive(&mut datagram, (from, self.now), &SHARED, &mut &self.sent);
        if let Some((key, end)) = ended {
            self.sessions.remove(key);
            self.ended.push(end);
        }
    }

    fn tick(&mut self) {
        for key in self.sessions.keys() {
            let entry = self.sessions.get_mut(key).unwrap();
            if let Err(end) = entry.session.tick(self.now, &mut &self.sent) {
                self.sessions.remove(key);
                self.ended.push(end);
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.tick();
    }

    fn take_sent(&self) -> Vec<(NetworkPath, Vec<u8>)> {
        self.sent.0.borrow_mut().drain(..).collect()
    }

    fn is_connected(&mut self, client: &Client) -> bool {
        self.sessions.get_mut(client.key).is_some_and(|entry| entry.session.is_connected())
    }

    /// Sends a packet of audio to a client.
    fn send(&mut self, client: &Client, time: u64) {
        let mut buffer = [0; PACKET_BUFFER];
        let packet = MediaPacket { payload: b"opus", time, follows_pause: false };
        let session = &mut self.sessions.get_mut(client.key).unwrap().session;
        session.send(&packet, &mut buffer, &mut &self.sent);
    }
}

impl Client {
    fn check(&self, server: &mut Server, from: NetworkPath) {
        server.receive(&check(&self.username, &self.password), from);
    }

    /// What the client sends next.
    fn output(&mut self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 8192];
        let mut datagrams = Vec::new();
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(datagram) => datagrams.push(datagram.to_vec()),
                Output::Connected => self.is_connected = true,
                Output::Timeout(_) => return datagrams,
                _ => {}
            }
        }
    }

    /// Passes on what was sent to `from`, until nobody has anything to say.
    fn exchange(&mut self, server: &mut Server, from: NetworkPath) {
        for _ in 0..MAX_FLIGHTS {
            let datagrams = self.output();
            if datagrams.is_empty() {
                return;
            }
            for datagram in datagrams {
                server.receive(&datagram, from);
            }
            for (to, datagram) in server.take_sent() {
                if to == from && datagram[0] >= 20 {
                    self.dtls.handle_packet(&datagram).unwrap();
                }
            }
        }
        panic!("client and server still talk after {MAX_FLIGHTS} flights");
    }

    fn connect(&mut self, server: &mut Server, from: NetworkPath) {
        self.check(server, from);
        server.take_sent();
        self.exchange(server, from);
        assert!(self.is_connected && server.is_connected(self), "{:?}", server.ended);
    }
}

#[test]
fn a_session_goes_from_a_check_to_audio() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let mut server = Server::new();
        let mut client = server.client(version, true);
        client.connect(&mut server, path(1));
        server.send(&client, 960);
        server.send(&client, 1920);
        let sent = server.take_sent();
        let headers: Vec<_> = sent.iter().map(|(to, packet)| (*to, &packet[..12])).collect();
        assert!(headers.iter().all(|(to, header)| *to == path(1) && header[0] == 0x80));
        assert_eq!(headers[0].1[1], 0x80 | 0x6f, "the first one has the marker");
        assert_eq!(headers[1].1[1], 0x6f);
        let number = |at: usize, range: std::ops::Range<usize>| {
            headers[at].1[range].iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte))
        };
        assert_eq!(number(1, 2..4), number(0, 2..4) + 1);
        assert_eq!(number(1, 4..8).wrapping_sub(number(0, 4..8)), 960);
        let date = TimeAndDate { time: 1920, utc: Utc::now() };
        let session = &mut server.sessions.get_mut(client.key).unwrap().session;
        session.report(date, server.now, &mut &server.sent);
        session.report(date, server.now, &mut &server.sent);
        assert_eq!(server.take_sent().len(), 1, "one report in 5 s");
    }
}

#[test]
fn nothing_is_sent_to_who_does_not_know_the_password() {
    let mut server = Server::new();
    let mut client = server.client(ProtocolVersion::DTLS1_3, true);
    server.receive(&check(&client.username, "another password"), path(1));
    server.receive(&check("12345678:9uB6xyz", &client.password), path(1));
    let stranger = client.username.replace("9uB6", "9uB7");
    server.receive(&check(&stranger, &client.password), path(1));
    for datagram in client.output() {
        server.receive(&datagram, path(1));
    }
    for datagram in [&[][..], &[0; 20], &[22; 60], &[0x80, 200, 0, 6, 0, 0, 0, 1], &[255; 1500]] {
        server.receive(datagram, path(1));
    }
    assert!(server.take_sent().is_empty());
}

#[test]
fn no_answer_is_longer_than_its_request_until_the_address_is_proved() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let mut server = Server::new();
        let mut client = server.client(version, true);
        // The maker of a session writes somebody else's address into its datagrams.
        let victim = path(66);
        let request = check(&client.username, &client.password);
        let hello = client.output().concat();
        let mut received = 0;
        for _ in 0..50 {
            for datagram in [&request, &hello] {
                server.receive(datagram, victim);
                received += datagram.len();
            }
            server.wait(Duration::from_millis(100));
        }
        let sent = server.take_sent();
        let bytes: usize = sent.iter().map(|(_, datagram)| datagram.len()).sum();
        assert!(sent.iter().all(|(to, _)| *to == victim));
        assert!(bytes <= received, "{bytes} bytes for {received}");
    }
}

#[test]
fn a_cookie_is_of_use_only_where_it_was_sent_to() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let mut server = Server::new();
        let mut client = server.client(version, true);
        client.check(&mut server, path(1));
        client.check(&mut server, path(66));
        for datagram in client.output() {
            server.receive(&datagram, path(1));
        }
        for (to, datagram) in server.take_sent() {
            assert_ne!(to, path(67));
            if datagram[0] >= 20 {
                client.dtls.handle_packet(&datagram).unwrap();
            }
        }
        let answer = client.output();
        assert!(!answer.is_empty());
        for datagram in &answer {
            server.receive(datagram, path(66));
        }
        assert!(server.take_sent().is_empty(), "the second flight must come from the same address");
        for datagram in &answer {
            server.receive(datagram, path(1));
        }
        assert!(!server.take_sent().is_empty());
    }
}

#[test]
fn a_client_may_begin_anew_with_another_address() {
    let mut server = Server::new();
    let mut client = server.client(ProtocolVersion::DTLS1_3, true);
    client.check(&mut server, path(1));
    let hello = client.output();
    for datagram in &hello {
        server.receive(datagram, path(1));
    }
    // The answer is lost, and the client has found a better way meanwhile.
    server.take_sent();
    client.check(&mut server, path(2));
    for datagram in &hello {
        server.receive(datagram, path(2));
    }
    for (to, datagram) in server.take_sent() {
        if to == path(2) && datagram[0] >= 20 {
            client.dtls.handle_packet(&datagram).unwrap();
        }
    }
    client.exchange(&mut server, path(2));
    assert!(server.is_connected(&client));
    server.send(&client, 960);
    assert_eq!(server.take_sent().last().unwrap().0, path(2));
}

#[test]
fn the_address_of_a_session_never_changes() {
    let mut server = Server::new();
    let mut client = server.client(ProtocolVersion::DTLS1_3, true);
    client.connect(&mut server, path(1));
    client.check(&mut server, path(66));
    assert!(server.take_sent().is_empty(), "no answer for another address");
    server.send(&client, 960);
    assert!(server.take_sent().iter().all(|(to, _)| *to == path(1)));
    let mut other = server.client(ProtocolVersion::DTLS1_3, true);
    // Another session's maker claims the address of this one.
    other.check(&mut server, path(1));
    for datagram in other.output() {
        server.receive(&datagram, path(1));
    }
    assert!(server.is_connected(&client) && server.ended.is_empty());
}

#[test]
fn a_certificate_that_is_not_that_of_the_offer_ends_the_session() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let mut server = Server::new();
        let mut client = server.client(version, false);
        client.check(&mut server, path(1));
        server.take_sent();
        client.exchange(&mut server, path(1));
        assert!(matches!(server.ended[..], [SessionEnd::WrongCertificate]), "{:?}", server.ended);
        assert!(server.sessions.is_empty());
        assert_ne!(client.certificate.fingerprint, [1; 32]);
    }
}

#[test]
fn each_stage_ends_when_nothing_comes() {
    let mut server = Server::new();
    server.client(ProtocolVersion::DTLS1_3, true);
    server.wait(CHECK_TIMEOUT.saturating_sub(Duration::from_millis(1)));
    assert!(server.ended.is_empty());
    server.wait(Duration::from_millis(1));
    assert!(matches!(server.ended.pop(), Some(SessionEnd::NoCheck { port: 8189 })));

    let client = server.client(ProtocolVersion::DTLS1_3, true);
    client.check(&mut server, path(1));
    // Checks alone do not keep a session that never begins a handshake.
    for _ in 0..9 {
        server.wait(HANDSHAKE_TIMEOUT / 10);
        client.check(&mut server, path(1));
    }
    assert!(server.ended.is_empty());
    server.wait(HANDSHAKE_TIMEOUT / 10);
    assert!(matches!(server.ended.pop(), Some(SessionEnd::NoHandshake)));

    let mut client = server.client(ProtocolVersion::DTLS1_3, true);
    client.connect(&mut server, path(1));
    for _ in 0..3 {
        server.wait(CONSENT_TIMEOUT.saturating_sub(Duration::from_millis(1)));
        assert!(server.ended.is_empty());
        client.check(&mut server, path(1));
    }
    server.wait(CONSENT_TIMEOUT);
    assert!(matches!(server.ended.pop(), Some(SessionEnd::Silent)));
    assert!(server.sessions.is_empty());
}

#[test]
fn only_so_many_handshakes_are_under_way_at_once() {
    let mut server = Server::new();
    let mut clients: Vec<_> = (0..20)
        .map(|number| (server.client(ProtocolVersion::DTLS1_3, true), path(number)))
        .collect();
    for (client, from) in &mut clients {
        client.check(&mut server, *from);
        server.take_sent();
        for datagram in client.output() {
            server.receive(&datagram, *from);
        }
    }
    let under_way = |server: &mut Server| {
        let keys = server.sessions.keys();
        let mut of = |key| server.sessions.get_mut(key).unwrap().session.is_in_handshake();
        keys.into_iter().filter(|&key| of(key)).count()
    };
    assert_eq!(under_way(&mut server), 16);
    server.take_sent();
    // The others repeat what they have sent, and get their turn when one of the first has left.
    let (first, _) = &clients[0];
    server.sessions.remove(first.key);
    let (last, from) = &mut clients[19];
    server.now += Duration::from_secs(2);
    last.dtls.handle_timeout(server.now).unwrap();
    last.exchange(&mut server, *from);
    assert!(server.is_connected(last));
    assert_eq!(under_way(&mut server), 15);
}

#[test]
fn a_client_that_closes_its_session_is_gone_and_so_is_one_that_is_closed() {
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let mut server = Server::new();
        let mut client = server.client(version, true);
        client.connect(&mut server, path(1));
        client.dtls.close().unwrap();
        client.exchange(&mut server, path(1));
        assert!(matches!(server.ended[..], [SessionEnd::Closed]), "{:?}", server.ended);

        let mut client = server.client(version, true);
        client.connect(&mut server, path(1));
        let entry = server.sessions.remove(client.key).unwrap();
        entry.session.close(server.now, &mut &server.sent);
        let sent = server.take_sent();
        assert!(!sent.is_empty());
        for (_, datagram) in sent {
            client.dtls.handle_packet(&datagram).unwrap();
        }
        let mut buffer = [0; 2048];
        let mut is_closed = false;
        loop {
            match client.dtls.poll_output(&mut buffer) {
                Output::CloseNotify => is_closed = true,
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        assert!(is_closed, "{version:?}");
    }
}
