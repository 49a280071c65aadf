//! The thread that has the sessions: receives their datagrams, and sends them the packets of their
//! mounts.
//!
//! Each mount with listeners has one task here, however many they are. It copies each packet out of the
//! ring once, and sends it to one session after the other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dimpl::Config;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinSet, spawn_local, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::answer::Answer;
use super::certificate::Certificate;
use super::dtls::DtlsSettings;
use super::end::SessionEnd;
use super::identity::SessionIdentity;
use super::network::NetworkPath;
use super::offer::SdpOffer;
use super::queue::{Accepted, NewSession, Refused, WebRtcMessage};
use super::schedule::{Schedule, ScheduledPacket};
use super::session::{MAX_PAYLOAD, MediaPacket, PACKET_BUFFER, Session, Totals};
use super::sessions::{SessionEntry, Sessions, is_dtls};
use super::settings::WebRtcSettings;
use super::sockets::{Sockets, open};
use super::timeouts::HANDSHAKE_TIMEOUT;
use crate::clock::Clock;
use crate::mount::{MountEntry, Name, SharedMount};
use crate::platform::Heartbeat;

/// Maximum memory of a session, in bytes.
pub const SESSION_MEMORY: usize = 32 * 1024;
/// Maximum memory of what all sessions share, in bytes: the thread, and what DTLS needs once.
pub const WEBRTC_MEMORY: usize = 768 * 1024;
/// How many datagrams are received before packets of audio are sent that have come meanwhile.
const BATCH: usize = 16;
/// The longest datagram that is received, in bytes.
const MAX_DATAGRAM: usize = 2048;
/// Most clients are connected after this time. If all sessions are in use, those who are not give way to
/// newcomers.
const USUAL_TIME_TO_CONNECT: Duration = Duration::from_secs(2);
/// How often sessions are looked at for what is due.
const TICK: Duration = Duration::from_millis(50);
/// The most addresses of the configuration.
const MAX_ADDRESSES: usize = 16;
/// The largest datagram of DTLS, in bytes.
const MTU: usize = 1200;

/// What the thread needs.
#[derive(Debug)]
pub struct WebRtcService {
    socket: std::net::UdpSocket,
    /// The most sessions.
    limit: usize,
    /// The addresses of the configuration, resolved.
    addresses: Vec<IpAddr>,
    shared: DtlsSettings,
}

/// Why WebRTC cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebRtcError {
    /// The socket cannot be opened.
    #[error("cannot listen on {0} with UDP, which [webrtc] listen asks for: {1}")]
    Bind(SocketAddr, #[source] io::Error),
    /// A name in the configuration has no address.
    #[error("[webrtc] addresses: {0} cannot be resolved: {1}")]
    Resolve(String, #[source] io::Error),
    /// Anything else.
    #[error("cannot serve WebRTC: {0}")]
    Other(#[from] io::Error),
}

impl WebRtcService {
    /// Opens the socket, unless there is an inherited one, and resolves the addresses. `None` if
    /// WebRTC is switched off.
    ///
    /// # Errors
    /// Why it cannot be served.
    pub fn open(
        settings: &WebRtcSettings,
        inherited: Option<std::net::UdpSocket>,
    ) -> Result<Option<Self>, WebRtcError> {
        let Some(listen) = settings.listen else { return Ok(None) };
        let socket = inherited.map_or_else(|| open(listen), Ok);
        let socket = socket.map_err(|error| WebRtcError::Bind(listen, error))?;
        socket.set_nonblocking(true)?;
        let mut addresses = Vec::new();
        for host in &settings.addresses {
            let resolved = (host.as_str(), 0).to_socket_addrs();
            let resolved = resolved.map_err(|error| WebRtcError::Resolve(host.clone(), error))?;
            let resolved = resolved.map(|address| address.ip().to_canonical());
            // A socket for IPv4 is not reached by IPv6.
            addresses.extend(resolved.filter(|ip| listen.is_ipv6() || ip.is_ipv4()));
        }
        addresses.truncate(MAX_ADDRESSES);
        // The library tries its cryptography out when the configuration is made, which takes
        // milliseconds: made once.
        let dtls = Config::builder()
            .use_server_cookie(true)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .mtu(MTU)
            .build()
            .map_err(io::Error::other)?;
        let shared = DtlsSettings { dtls: Arc::new(dtls), certificate: Certificate::generate()? };
        Ok(Some(Self { socket, limit: settings.sessions, addresses, shared }))
    }

    /// Serves until `stop` becomes true. `thread` is the number of this thread among the readers of
    /// mounts, and `heartbeat` that of the main loop. Runs on a
    /// [`LocalRuntime`](tokio::runtime::LocalRuntime).
    pub async fn run(
        self,
        thread: usize,
        mut messages: mpsc::Receiver<WebRtcMessage>,
        heartbeat: Heartbeat,
        mut stop: watch::Receiver<bool>,
    ) {
        // This does not fail while there are descriptors, which the limit on open files ensures.
        let Ok(sockets) = Sockets::new(self.socket) else { return };
        let running = Rc::new(RunningService {
            sockets,
            limit: self.limit,
            shared: self.shared,
            addresses: self.addresses,
            thread,
            sessions: RefCell::default(),
            mounts: RefCell::default(),
            clock: Clock::start(),
            stop: stop.clone(),
        });
        let (clock, mut watch) = (running.clock.clone(), None);
        spawn_local(async move { clock.beat().await });
        let mut tasks = JoinSet::new();
        tasks.spawn_local(Rc::clone(&running).receive(0));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_sessions = !running.sessions.borrow().is_empty();
            // Stalls are noticed only while somebody waits.
            if has_sessions != watch.is_some() {
                watch = has_sessions.then(|| running.clock.watch_for_stalls());
            }
            tokio::select! {
                message = messages.recv() => match message {
                    Some(WebRtcMessage::Offer(offer)) => Rc::clone(&running).accept(*offer, &mut tasks),
                    Some(WebRtcMessage::End(id, answer)) => {
                        let key = running.sessions.borrow().find(id);
                        // It may wait no longer.
                        let _ = answer.send(key.is_some());
                        if let Some(key) = key {
                            running.end(key, &SessionEnd::Closed);
                        }
                    }
                    None => break,
                },
                _ = tick.tick(), if has_sessions => running.tick(),
                () = heartbeat.beat() => {}
                Some(_) = tasks.join_next() => {}
                _ = stop.wait_for(|&stop| stop) => break,
            }
        }
        for key in running.all() {
            running.end(key, &SessionEnd::Stopped);
        }
    }
}

/// The state of the running service.
struct RunningService {
    sockets: Sockets,
    addresses: Vec<IpAddr>,
    limit: usize,
    shared: DtlsSettings,
    thread: usize,
    sessions: RefCell<Sessions<Rc<HeardMount>>>,
    mounts: RefCell<HashMap<Name, Rc<HeardMount>>>,
    clock: Clock,
    /// True once the server stops.
    stop: watch::Receiver<bool>,
}

/// A mount with sessions.
#[derive(Debug)]
struct HeardMount {
    /// Identifies the mount: another one may have its name later.
    entry: *const MountEntry,
    /// The keys of its sessions.
    sessions: RefCell<Vec<usize>>,
    /// Notified when a session has left.
    left: Notify,
}

impl RunningService {
    fn all(&self) -> Vec<usize> {
        self.sessions.borrow().keys()
    }

    /// Answers an offer.
    fn accept(self: Rc<Self>, new: NewSession, tasks: &mut JoinSet<()>) {
        let NewSession { offer, listener, local, answer } = new;
        let accepted = self.answer(&offer, local, listener.mount().as_deref());
        let (identity, mount, accepted) = match accepted {
            Ok(accepted) => accepted,
            Err(refused) => {
                drop(listener);
                // The client may have left, and then nobody is told.
                let _ = answer.send(Err(refused));
                return;
            }
        };
        let heard = self.heard(&mount, tasks);
        if let Some(number) = local.and_then(|local| self.sockets.add(local)) {
            tasks.spawn_local(Rc::clone(&self).receive(number));
        }
        let port = self.sockets.address().port();
        let session = Session::new(identity, &offer, port, self.clock.now());
        let key = self.sessions.borrow_mut().add(SessionEntry {
            session,
            listener,
            tag: Rc::clone(&heard),
        });
        heard.sessions.borrow_mut().push(key);
        if answer.send(Ok(accepted)).is_err() {
            self.end(key, &SessionEnd::Closed);
        }
    }

    /// Makes the answer to an offer.
    fn answer(
        &self,
        offer: &SdpOffer,
        local: Option<IpAddr>,
        entry: Option<&MountEntry>,
    ) -> Result<(SessionIdentity, Arc<SharedMount>, Accepted), Refused> {
        let entry = entry.ok_or(Refused::NoStream)?;
        let (mount, stream) = entry.mount().zip(entry.stream()).ok_or(Refused::NoStream)?;
        if !stream.codec.is_in_rtp() {
            return Err(Refused::NotOpus);
        }
        let candidates = self.candidates(local);
        if candidates.is_empty() {
            return Err(Refused::NoAddress);
        }
        if self.sessions.borrow().len() >= self.limit && !self.make_room() {
            return Err(Refused::Full(self.limit));
        }
        let mut identity = SessionIdentity::random().map_err(|_| Refused::NoRandomness)?;
        while self.sessions.borrow().has_ufrag(&identity.ufrag) {
            identity = SessionIdentity::random().map_err(|_| Refused::NoRandomness)?;
        }
        let answer = Answer {
            offer,
            session: u64::from(identity.ssrc),
            ufrag: &identity.ufrag,
            password: &identity.password,
            fingerprint: &self.shared.certificate.fingerprint,
            candidates: &candidates,
            ssrc: identity.ssrc,
            cname: &String::from_utf8_lossy(&identity.cname),
            is_stereo: stream.codec.channels() == 2,
        };
        let accepted =
            Accepted { id: identity.id, tag: identity.ufrag.clone(), sdp: answer.render() };
        Ok((identity, mount, accepted))
    }

    /// Ends the session that has been without a connection for the longest time, unless that is short.
    /// So offers that nobody follows up keep nobody away. Returns whether there was one.
    fn make_room(&self) -> bool {
        let now = self.clock.now();
        let oldest = self.sessions.borrow().oldest_without_connection(now);
        let Some((key, _)) = oldest.filter(|(_, waited)| *waited >= USUAL_TIME_TO_CONNECT) else {
            return false;
        };
        self.end(key, &SessionEnd::Displaced);
        true
    }

    /// Where a client can reach this server: by the address with which it came, and by those of the
    /// configuration.
    fn candidates(&self, local: Option<IpAddr>) -> Vec<SocketAddr> {
        let local = local.filter(|&address| self.sockets.serve(address));
        let mut addresses: Vec<_> = local.into_iter().collect();
        for &address in &self.addresses {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let port = self.sockets.address().port();
        addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
    }

    /// The mount as it is heard here. Begins to read it, unless somebody listens already.
    fn heard(self: &Rc<Self>, mount: &Arc<SharedMount>, tasks: &mut JoinSet<()>) -> Rc<HeardMount> {
        let entry = Arc::as_ptr(mount.entry());
        let mut mounts = self.mounts.borrow_mut();
        let name = &mount.entry().name;
        if let Some(heard) = mounts.get(name).filter(|heard| heard.entry == entry) {
            return Rc::clone(heard);
        }
        let heard =
            Rc::new(HeardMount { entry, sessions: RefCell::default(), left: Notify::new() });
        mounts.insert(name.clone(), Rc::clone(&heard));
        let (running, mount, of_task) = (Rc::clone(self), Arc::clone(mount), Rc::clone(&heard));
        tasks.spawn_local(async move { running.relay(&mount, of_task).await });
        heard
    }

    /// Sends the packets of a mount to its sessions, until the last session has left.
    async fn relay(&self, mount: &Arc<SharedMount>, heard: Rc<HeardMount>) {
        let mut schedule = Schedule::new(&mount.pages());
        let end = loop {
            let due = schedule.due().map(tokio::time::Instant::from_std);
            tokio::select! {
                () = mount.changed(self.thread) => {
                    if mount.entry().is_retired() {
                        break SessionEnd::Retired;
                    }
                    let looked = schedule.look(&mount.pages(), std::time::Instant::now());
                    mount.entry().counters.rtp_dropped.add(schedule.take_too_long());
                    if let Err(end) = looked {
                        break end;
                    }
                }
                () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)),
                    if due.is_some() => {}
                () = heard.left.notified() => {}
            }
            if heard.sessions.borrow().is_empty() {
                break SessionEnd::Closed;
            }
            let now = std::time::Instant::now();
            while let Some(packet) = schedule.next(now) {
                self.send(packet, mount, &heard);
            }
            self.report(&schedule, &heard);
        };
        // The threads that have the sources end the streams then, perhaps before this one stops.
        let end = if *self.stop.borrow() { SessionEnd::Stopped } else { end };
        let name = &mount.entry().name;
        let mut mounts = self.mounts.borrow_mut();
        if mounts.get(name).is_some_and(|newest| Rc::ptr_eq(newest, &heard)) {
            mounts.remove(name);
        }
        drop(mounts);
        let sessions = heard.sessions.take();
        for key in sessions {
            self.end(key, &end);
        }
    }

    /// Sends a packet to all sessions of its mount.
    fn send(&self, packet: ScheduledPacket, mount: &SharedMount, heard: &HeardMount) {
        let mut payload = [0; MAX_PAYLOAD];
        let length = packet.length as usize;
        {
            // Nothing is sent while no page can be published.
            let pages = mount.pages();
            let range = packet.start..packet.start + length as u64;
            // The ring may have overwritten it.
            let Some([first, second]) = pages.ring.held(range) else { return };
            payload[..first.len()].copy_from_slice(first);
            payload[first.len()..length].copy_from_slice(second);
        }
        let packet = MediaPacket {
            payload: &payload[..length],
            time: packet.time,
            follows_pause: packet.follows_pause,
        };
        let (mut buffer, mut network) = ([0; PACKET_BUFFER], &self.sockets);
        let mut sessions = self.sessions.borrow_mut();
        let mut sent = Totals::default();
        for &key in &*heard.sessions.borrow() {
            if let Some(entry) = sessions.get_mut(key) {
                sent.add(entry.session.send(&packet, &mut buffer, &mut network));
            }
        }
        let counters = &mount.entry().counters;
        counters.bytes_out.add(sent.bytes);
        counters.rtp_packets.add(sent.packets);
        counters.rtp_dropped.add(sent.dropped);
    }

    /// Sends the sender reports that are due.
    fn report(&self, schedule: &Schedule, heard: &HeardMount) {
        let Some(date) = schedule.date() else { return };
        let (now, mut network) = (self.clock.now(), &self.sockets);
        let mut sessions = self.sessions.borrow_mut();
        for &key in &*heard.sessions.borrow() {
            if let Some(entry) = sessions.get_mut(key) {
                entry.session.report(date, now, &mut network);
            }
        }
    }

    /// Receives what comes to a socket, as long as it exists.
    async fn receive(self: Rc<Self>, number: usize) {
        let Some(socket) = self.sockets.get(number) else { return };
        let mut buffer = [0; MAX_DATAGRAM];
        while socket.readable().await.is_ok() {
            for _ in 0..BATCH {
                match socket.try_recv_from(&mut buffer) {
                    Ok((length, remote)) => {
                        let from = NetworkPath { socket: number, remote };
                        if self.take(&mut buffer[..length], from) {
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // That of an earlier datagram, whose receiver is gone: its session ends by itself.
                    Err(_) => {}
                }
            }
            // Audio comes before newcomers.
            yield_now().await;
        }
    }

    /// Takes a datagram. Returns whether that may have taken long.
    fn take(&self, datagram: &mut [u8], from: NetworkPath) -> bool {
        let (now, mut network) = (self.clock.now(), &self.sockets);
        let mut sessions = self.sessions.borrow_mut();
        let ended = sessions.receive(datagram, (from, now), &self.shared, &mut network);
        drop(sessions);
        if let Some((key, end)) = ended {
            self.end(key, &end);
        }
        is_dtls(datagram)
    }

    /// Does what is due in all sessions.
    fn tick(&self) {
        let now = self.clock.now();
        for key in self.all() {
            let end = {
                let mut sessions = self.sessions.borrow_mut();
                let Some(entry) = sessions.get_mut(key) else { continue };
                let mut network = &self.sockets;
                let end = entry.listener.must_leave();
                end.or_else(|| entry.session.tick(now, &mut network).err())
            };
            if let Some(end) = end {
                self.end(key, &end);
            }
        }
    }

    /// Ends a session.
    fn end(&self, key: usize, end: &SessionEnd) {
        let Some(SessionEntry { session, listener, tag }) = self.sessions.borrow_mut().remove(key)
        else {
            return;
        };
        tag.sessions.borrow_mut().retain(|&session| session != key);
        tag.left.notify_one();
        let totals = session.totals();
        session.close(self.clock.now(), &mut &self.sockets);
        listener.leave(end, totals);
    }
}
