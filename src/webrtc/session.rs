//! One session: from the first check to the last packet.
//!
//! 1. The client sends checks of ICE, which prove that it knows the password of the answer. Any
//!    address from which a check came may begin a handshake.
//! 2. The handshake of DTLS stays with the address from which it was begun. Its first answer is a
//!    cookie, shorter than its request, so nobody else's address can be made a target.
//! 3. The address with which the handshake was completed is the address of the session for good.
//!    Audio is sent to it as long as the client says every 30 s that it wants it (RFC 7675).
//!
//! A session does not know the network: what it sends goes to an [`Outbox`].

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::certificate::Fingerprint;
use super::dtls::{Connection, DtlsSettings, Handshake, begins_handshake};
use super::end::SessionEnd;
use super::identity::SessionIdentity;
use super::network::{NetworkPath, Outbox};
use super::offer::SdpOffer;
use super::rtp::{PacketHeader, SENDER_REPORT, SenderReport};
use super::srtp::{RTCP_OVERHEAD, RTP_HEADER, RTP_OVERHEAD};
use super::stun::{BindingRequest, MAX_RESPONSE};
use super::timeouts::{CHECK_TIMEOUT, CONSENT_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::utc::Utc;

/// The longest audio packet that is sent, in bytes: it fits with its headers into any network.
pub(super) const MAX_PAYLOAD: usize = 1200;
/// Room for a sealed packet.
pub const PACKET_BUFFER: usize = RTP_HEADER + MAX_PAYLOAD + RTP_OVERHEAD;
/// From how many places checks may have come before the handshake chooses one.
const MAX_PATHS: usize = 8;
/// How often a sender report is sent (RFC 3550, section 6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// The largest index of an SRTCP packet (RFC 3711, section 3.2.1).
const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;

/// A packet of a stream.
#[derive(Clone, Copy, Debug)]
pub struct MediaPacket<'p> {
    /// The Opus packet.
    pub payload: &'p [u8],
    /// When it is heard, in samples at 48 kHz of a time that continues over the streams of a mount.
    pub time: u64,
    /// Whether it follows a pause, or is the first one.
    pub follows_pause: bool,
}

/// When a time of a stream was, for sender reports.
#[derive(Clone, Copy, Debug)]
pub struct TimeAndDate {
    /// As in [`MediaPacket::time`].
    pub time: u64,
    /// The date.
    pub utc: Utc,
}

/// What a session has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Packets of audio sent.
    pub packets: u64,
    /// Their bytes, as the network carried them.
    pub bytes: u64,
    /// Packets that the network did not take at once.
    pub dropped: u64,
}

impl Totals {
    /// Adds others.
    pub fn add(&mut self, more: Self) {
        self.packets = self.packets.saturating_add(more.packets);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.dropped = self.dropped.saturating_add(more.dropped);
    }
}

/// A session.
#[derive(Debug)]
pub struct Session {
    identity: SessionIdentity,
    port: u16,
    payload_type: u8,
    remote_ufrag: Box<str>,
    remote_fingerprint: Fingerprint,
    state: State,
    made: Instant,
    /// When it was made, when the first check came, or when it was connected.
    since: Instant,
    /// When the client last proved that it is there.
    heard: Instant,
    /// Where checks came from.
    paths: Vec<NetworkPath>,
    sender: Sender,
    totals: Totals,
}

#[derive(Debug)]
enum State {
    /// No check has come.
    New,
    /// Checks came.
    Checked,
    /// A handshake is under way.
    Handshake(Box<Handshake>),
    /// Audio is sent.
    Connected(Box<Connection>),
}

/// The numbers of the packets that are sent.
#[derive(Debug)]
struct Sender {
    sequence: u16,
    rollovers: u32,
    /// What is added to times of the mount.
    offset: u32,
    rtcp_index: u32,
    reported: Option<Instant>,
    packets: u32,
    bytes: u32,
}

impl Session {
    /// A session for an offer. `port` is that of the answer.
    pub fn new(identity: SessionIdentity, offer: &SdpOffer, port: u16, now: Instant) -> Self {
        let (sequence, offset) = (identity.first_sequence, identity.time_offset);
        Self {
            identity,
            port,
            payload_type: offer.payload_type,
            remote_ufrag: offer.ufrag.clone(),
            remote_fingerprint: offer.fingerprint,
            state: State::New,
            made: now,
            since: now,
            heard: now,
            paths: Vec::new(),
            sender: Sender {
                sequence,
                rollovers: 0,
                offset,
                rtcp_index: 0,
                reported: None,
                packets: 0,
                bytes: 0,
            },
            totals: Totals::default(),
        }
    }

    /// Its names and secrets.
    pub fn identity(&self) -> &SessionIdentity {
        &self.identity
    }

    /// How long ago it was made.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
    }

    /// Whether audio is sent.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// Whether a handshake is under way.
    pub fn is_in_handshake(&self) -> bool {
        matches!(self.state, State::Handshake(_))
    }

    /// What it has sent.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Answers a check, if its sender knows the password. Returns whether it does: from then on
    /// datagrams from this address are for this session.
    pub fn check(
        &mut self,
        request: &BindingRequest<'_>,
        from: NetworkPath,
        now: Instant,
        out: &mut impl Outbox,
    ) -> bool {
        let is_meant = request.fragments().is_some_and(|(_, remote)| remote == &*self.remote_ufrag);
        if !is_meant || !request.is_authentic(self.identity.password.as_bytes()) {
            return false;
        }
        let is_known = self.paths.contains(&from);
        match &self.state {
            // A client that moves makes another session.
            State::Connected(connection) if connection.path() != from => return false,
            _ if is_known => {}
            _ if self.paths.len() == MAX_PATHS => return false,
            _ => self.paths.push(from),
        }
        if matches!(self.state, State::New) {
            self.enter(State::Checked, now);
        }
        self.heard = now;
        let (mut response, password) = ([0; MAX_RESPONSE], self.identity.password.as_bytes());
        let client = SocketAddr::new(from.remote.ip().to_canonical(), from.remote.port());
        if let Some(response) = request.response(client, password, &mut response) {
            out.send(from, response);
        }
        true
    }

    /// Takes a datagram of DTLS. `may_begin` says whether another handshake may begin.
    ///
    /// # Errors
    /// Why the session has ended.
    pub fn receive_dtls(
        &mut self,
        datagram: &[u8],
        (from, now): (NetworkPath, Instant),
        may_begin: bool,
        settings: &DtlsSettings,
        out: &mut impl Outbox,
    ) -> Result<(), SessionEnd> {
        match &mut self.state {
            State::Checked if !may_begin => return Ok(()),
            State::Handshake(handshake) if handshake.path() == from => {}
            State::Connected(connection) if connection.path() == from => {
                connection.receive(datagram, now, out)?;
                return Ok(());
            }
            State::New | State::Connected(_) => return Ok(()),
            // A client may restart the handshake from another of its addresses.
            State::Checked | State::Handshake(_) => {
                if !begins_handshake(datagram) {
                    return Ok(());
                }
                let handshake = Handshake::new(settings, from, self.remote_fingerprint, now);
                // The timeout counts from the first check.
                self.state = State::Handshake(Box::new(handshake));
            }
        }
        let State::Handshake(handshake) = &mut self.state else { return Ok(()) };
        handshake.receive(datagram, now, out)?;
        if !handshake.is_complete() {
            return Ok(());
        }
        let State::Handshake(handshake) = std::mem::replace(&mut self.state, State::Checked) else {
            return Ok(());
        };
        let connection = handshake.into_connection()?;
        self.paths = vec![connection.path()];
        self.enter(State::Connected(Box::new(connection)), now);
        self.heard = now;
        Ok(())
    }

    /// Takes a datagram of SRTCP, which shows that the client is there. What it reports is not used.
    pub fn receive_rtcp(&mut self, datagram: &mut [u8], from: NetworkPath, now: Instant) {
        let State::Connected(connection) = &mut self.state else { return };
        if connection.path() != from {
            return;
        }
        if connection.is_new_rtcp(datagram) {
            self.heard = now;
        }
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// Why the session has ended.
    pub fn tick(&mut self, now: Instant, out: &mut impl Outbox) -> Result<(), SessionEnd> {
        let waited = now.saturating_duration_since(self.since);
        match &mut self.state {
            State::New if waited >= CHECK_TIMEOUT => Err(SessionEnd::NoCheck { port: self.port }),
            State::Checked | State::Handshake(_) if waited >= HANDSHAKE_TIMEOUT => {
                Err(SessionEnd::NoHandshake)
            }
            State::Handshake(handshake) => handshake.tick(now, out),
            State::Connected(connection) => {
                if now.saturating_duration_since(self.heard) >= CONSENT_TIMEOUT {
                    return Err(SessionEnd::Silent);
                }
                connection.tick(now, out)
            }
            State::New | State::Checked => Ok(()),
        }
    }

    /// Sends a packet of audio. `buffer` is for the sealed packet. Returns what was sent.
    pub fn send(
        &mut self,
        packet: &MediaPacket<'_>,
        buffer: &mut [u8; PACKET_BUFFER],
        out: &mut impl Outbox,
    ) -> Totals {
        let nothing = Totals::default();
        let State::Connected(connection) = &self.state else { return nothing };
        let length = RTP_HEADER.saturating_add(packet.payload.len());
        let Some(body) = buffer.get_mut(RTP_HEADER..length) else { return nothing };
        body.copy_from_slice(packet.payload);
        let sender = &mut self.sender;
        let header = PacketHeader {
            payload_type: self.payload_type,
            marker: packet.follows_pause || sender.packets == 0,
            sequence: sender.sequence,
            timestamp: sender.timestamp(packet.time),
            ssrc: self.identity.ssrc,
        };
        buffer[..RTP_HEADER].copy_from_slice(&header.bytes());
        let outbound = connection.outbound();
        let Some(sealed) = outbound.seal_rtp(buffer, length, sender.rollovers) else {
            return nothing;
        };
        sender.advance(packet.payload.len());
        let sent = if out.send(connection.path(), &buffer[..sealed]) {
            Totals { packets: 1, bytes: sealed as u64, dropped: 0 }
        } else {
            Totals { dropped: 1, ..nothing }
        };
        self.totals.add(sent);
        sent
    }

    /// Sends a sender report, if one is due.
    pub fn report(&mut self, date: TimeAndDate, now: Instant, out: &mut impl Outbox) {
        let State::Connected(connection) = &self.state else { return };
        let sender = &mut self.sender;
        let since = sender.reported.map(|reported| now.saturating_duration_since(reported));
        if since.is_some_and(|since| since < REPORT_INTERVAL)
            || sender.packets == 0
            || sender.rtcp_index == MAX_RTCP_INDEX
        {
            return;
        }
        let report = SenderReport {
            ssrc: self.identity.ssrc,
            utc: date.utc,
            timestamp: sender.timestamp(date.time),
            packets: sender.packets,
            bytes: sender.bytes,
            cname: &self.identity.cname,
        };
        let mut buffer = [0; SENDER_REPORT + RTCP_OVERHEAD];
        buffer[..SENDER_REPORT].copy_from_slice(&report.bytes());
        sender.reported = Some(now);
        sender.rtcp_index = sender.rtcp_index.saturating_add(1);
        let outbound = connection.outbound();
        if let Some(sealed) = outbound.seal_rtcp(&mut buffer, SENDER_REPORT, sender.rtcp_index) {
            out.send(connection.path(), &buffer[..sealed]);
        }
    }

    /// Tells the client that nothing more comes.
    pub fn close(mut self, now: Instant, out: &mut impl Outbox) {
        if let State::Connected(connection) = &mut self.state {
            // What cannot be sent any more is of no interest: the session has ended.
            let _ = connection.close(now, out);
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        (self.state, self.since) = (state, now);
    }
}

impl Sender {
    fn timestamp(&self, time: u64) -> u32 {
        (time as u32).wrapping_add(self.offset)
    }

    /// Counts a packet.
    fn advance(&mut self, bytes: usize) {
        let (sequence, has_rolled_over) = self.sequence.overflowing_add(1);
        self.sequence = sequence;
        self.rollovers = self.rollovers.wrapping_add(u32::from(has_rolled_over));
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u32);
    }
}
