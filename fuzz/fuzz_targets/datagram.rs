//! What comes to the UDP port: a client whose datagrams are lost, repeated, changed and mixed with others. Nothing panics, and a client that comes afterwards is served.
#![no_main]

#[path = "../../tests/whep/binding_request.rs"]
mod binding_request;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use binding_request::binding_request;
use dimpl::{Dtls, Output};
use libfuzzer_sys::fuzz_target;
use silvacast::config::{Config, Environment};
use silvacast::mount::{ListenerInfo, ListenerProtocol, MountTable, Name};
use silvacast::webrtc::{
    Certificate, DtlsSettings, MediaPacket, NetworkPath, Outbox, PACKET_BUFFER, SdpOffer, Session,
    SessionEntry, SessionIdentity, Sessions, TimeAndDate, WebRtcListener,
};

static SETTINGS: LazyLock<DtlsSettings> = LazyLock::new(|| DtlsSettings {
    dtls: Arc::new(dimpl::Config::builder().build().unwrap()),
    certificate: Certificate::generate().unwrap(),
});
static CLIENT: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().unwrap());
static TABLE: LazyLock<MountTable> = LazyLock::new(MountTable::default);
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"";
    Config::parse(text, &Environment::default()).unwrap()
});

#[derive(Default)]
struct Sent(RefCell<Vec<(NetworkPath, Vec<u8>)>>);

impl Outbox for &Sent {
    fn send(&mut self, to: NetworkPath, datagram: &[u8]) -> bool {
        self.0.borrow_mut().push((to, datagram.to_vec()));
        true
    }
}

struct Server {
    sessions: Sessions<()>,
    sent: Sent,
    now: Instant,
}

impl Server {
    /// Adds a session. Returns its key, its user name and its password.
    fn add(&mut self) -> (usize, String, String) {
        let name = Name::new("/m").unwrap();
        let mount = TABLE.reserve(&name, 10, || CONFIG.door.rules.of(&name)).unwrap();
        let client = IpAddr::from([192, 0, 2, 1]).into();
        let registration =
            mount.directory.enter(ListenerInfo::new(client, "fuzz", ListenerProtocol::WebRtc));
        let listener = WebRtcListener::new(&mount, registration, Vec::new(), None);
        let offer = SdpOffer {
            sections: Vec::new(),
            audio: 0,
            payload_type: 111,
            ufrag: "client0".into(),
            fingerprint: CLIENT.fingerprint,
        };
        let identity = SessionIdentity::random().unwrap();
        let (username, password) =
            (format!("{}:client0", identity.ufrag), identity.password.clone());
        let session = Session::new(identity, &offer, 8189, self.now);
        (self.sessions.add(SessionEntry { session, listener, tag: () }), username, password)
    }

    fn receive(&mut self, datagram: &[u8], path: NetworkPath) {
        let (mut datagram, from) = (datagram.to_vec(), (path, self.now));
        let ended = self.sessions.receive(&mut datagram, from, &SETTINGS, &mut &self.sent);
        if let Some((key, end)) = ended {
            assert!(!end.to_string().is_empty());
            self.sessions.remove(key);
        }
    }

    fn tick(&mut self) {
        for key in self.sessions.keys() {
            let Some(entry) = self.sessions.get_mut(key) else { continue };
            if entry.session.tick(self.now, &mut &self.sent).is_err() {
                self.sessions.remove(key);
            }
        }
    }

    fn send_audio(&mut self, key: usize) {
        let packet = MediaPacket { payload: b"opus", time: 960, follows_pause: false };
        let Some(entry) = self.sessions.get_mut(key) else { return };
        entry.session.send(&packet, &mut [0; PACKET_BUFFER], &mut &self.sent);
        let date = TimeAndDate { time: 960, utc: silvacast::utc::Utc::now() };
        entry.session.report(date, self.now, &mut &self.sent);
    }

    fn is_connected(&mut self, key: usize) -> bool {
        self.sessions.get_mut(key).is_some_and(|entry| entry.session.is_connected())
    }
}

fn client(now: Instant, is_new: bool) -> Dtls {
    let (config, certificate) = (Arc::clone(&SETTINGS.dtls), CLIENT.dtls.clone());
    let mut dtls = if is_new {
        Dtls::new_13(config, certificate, now)
    } else {
        Dtls::new_12(config, certificate, now)
    };
    dtls.set_active(true);
    let _ = dtls.handle_timeout(now);
    dtls
}

fn output(dtls: &mut Dtls) -> Vec<Vec<u8>> {
    let (mut buffer, mut datagrams) = ([0; 8192], Vec::new());
    loop {
        match dtls.poll_output(&mut buffer) {
            Output::Packet(datagram) => datagrams.push(datagram.to_vec()),
            Output::Timeout(_) => return datagrams,
            _ => {}
        }
    }
}

fn path(number: u8) -> NetworkPath {
    let remote = SocketAddr::from(([192, 0, 2, number % 4], 5000));
    NetworkPath { socket: usize::from(number % 2), remote }
}

fuzz_target!(|script: &[u8]| {
    let now = Instant::now();
    let (sessions, sent) = (Sessions::default(), Sent::default());
    let mut server = Server { sessions, sent, now };
    let (key, username, password) = server.add();
    let check = binding_request(&username, &password);
    let mut bytes = script.iter().copied();
    let mut next = || bytes.next();
    let Some(first) = next() else { return };
    let mut dtls = client(now, first % 2 == 0);
    let mut waiting = output(&mut dtls);
    while let (Some(action), Some(argument)) = (next(), next()) {
        let from = path(if action & 0x80 == 0 { 1 } else { argument });
        match action & 0x0f {
            0 | 1 => server.receive(&check, from),
            // The client's next datagram, whole, changed, cut or twice.
            kind @ 2..=8 => {
                let Some(mut datagram) = waiting.pop() else {
                    waiting = output(&mut dtls);
                    continue;
                };
                let at = usize::from(argument) * datagram.len() / 256;
                match kind {
                    6 => datagram[at] ^= next().unwrap_or(1),
                    7 => datagram.truncate(at),
                    8 => server.receive(&datagram, from),
                    _ => {}
                }
                server.receive(&datagram, from);
            }
            9 => server.receive(&[argument; 40], from),
            10 => {
                let length = usize::from(argument);
                let datagram: Vec<u8> = (0..length).map_while(|_| next()).collect();
                server.receive(&datagram, from);
            }
            11 => {
                server.now += Duration::from_millis(u64::from(argument) * 20);
                server.tick();
                let _ = dtls.handle_timeout(server.now);
                waiting.extend(output(&mut dtls));
            }
            12 => server.send_audio(key),
            _ => {
                for (to, datagram) in server.sent.0.take() {
                    if to == path(1) && datagram[0] >= 20 && dtls.handle_packet(&datagram).is_ok() {
                        waiting.extend(output(&mut dtls));
                    }
                }
            }
        }
    }
    // Whatever has happened, a new client is served. Now and then, because a handshake takes long.
    if first & 0x70 != 0 {
        return;
    }
    let (key, username, password) = server.add();
    let (mut dtls, from) = (client(server.now, true), path(3));
    let from = NetworkPath { remote: SocketAddr::from(([198, 51, 100, 1], 6000)), ..from };
    server.receive(&binding_request(&username, &password), from);
    // No handshake has more flights.
    for _ in 0..20 {
        server.sent.0.take();
        let datagrams = output(&mut dtls);
        if datagrams.is_empty() {
            break;
        }
        for datagram in datagrams {
            server.receive(&datagram, from);
        }
        for (to, datagram) in server.sent.0.take() {
            if to == from && datagram[0] >= 20 {
                dtls.handle_packet(&datagram).unwrap();
            }
        }
    }
    assert!(server.is_connected(key));
});
