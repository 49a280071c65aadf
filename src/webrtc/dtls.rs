//! The DTLS of a session: a handshake with one client, and what remains of it afterwards.
//!
//! The certificate of the client must be the one of its offer before any key is used (RFC 8827,
//! section 6.5). The cookie of the server is on, so that nobody else's address gets more than it asked
//! for.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::sync::Arc;
use std::time::Instant;

use dimpl::{Config, Dtls, Output};

use super::certificate::{Certificate, Fingerprint, fingerprint};
use super::end::SessionEnd;
use super::network::{NetworkPath, Outbox};
use super::srtp::{Protection, SessionKeys};

/// The longest output of DTLS: a datagram, or the certificate of a client.
const DTLS_BUFFER: usize = 8 * 1024;

/// What all handshakes share.
#[derive(Debug)]
pub struct DtlsSettings {
    /// The configuration of DTLS.
    pub dtls: Arc<Config>,
    /// The certificate of the server.
    pub certificate: Certificate,
}

/// DTLS with one client, before and after the handshake is complete.
struct Transport {
    dtls: Dtls,
    path: NetworkPath,
    /// When DTLS wants to be asked again.
    timer: Instant,
}

/// A handshake with one client.
pub(super) struct Handshake {
    transport: Transport,
    /// The fingerprint in the client's offer.
    expected: Fingerprint,
    outcome: Outcome,
}

/// What a handshake has yielded so far.
#[derive(Default)]
struct Outcome {
    keys: Option<SessionKeys>,
    is_identified: bool,
    is_complete: bool,
}

/// What remains of a handshake that is complete.
pub(super) struct Connection {
    /// Answers a client that has not received the end of the handshake, and closes the session.
    transport: Transport,
    keys: SessionKeys,
    /// The largest index of an SRTCP packet so far.
    rtcp_received: Option<u32>,
}

impl Transport {
    /// Takes a datagram. `event` gets what it leads to.
    fn receive(
        &mut self,
        datagram: &[u8],
        now: Instant,
        out: &mut impl Outbox,
        mut event: impl FnMut(Output<'_>) -> Result<(), SessionEnd>,
    ) -> Result<(), SessionEnd> {
        self.dtls.handle_timeout(now)?;
        self.poll(out, &mut event)?;
        self.dtls.handle_packet(datagram)?;
        self.poll(out, &mut event)
    }

    /// Sends again what may have been lost.
    fn tick(
        &mut self,
        now: Instant,
        out: &mut impl Outbox,
        mut event: impl FnMut(Output<'_>) -> Result<(), SessionEnd>,
    ) -> Result<(), SessionEnd> {
        if self.timer <= now {
            self.dtls.handle_timeout(now)?;
            self.poll(out, &mut event)?;
        }
        Ok(())
    }

    fn poll(
        &mut self,
        out: &mut impl Outbox,
        event: &mut impl FnMut(Output<'_>) -> Result<(), SessionEnd>,
    ) -> Result<(), SessionEnd> {
        let mut buffer = [0; DTLS_BUFFER];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(datagram) => _ = out.send(self.path, datagram),
                Output::CloseNotify => return Err(SessionEnd::Closed),
                Output::BufferTooSmall { .. } => return Err(SessionEnd::LongCertificate),
                Output::Timeout(timer) => {
                    self.timer = timer;
                    return Ok(());
                }
                other => event(other)?,
            }
        }
    }
}

impl Handshake {
    pub(super) fn new(
        settings: &DtlsSettings,
        path: NetworkPath,
        expected: Fingerprint,
        now: Instant,
    ) -> Self {
        let certificate = settings.certificate.dtls.clone();
        let dtls = Dtls::new_auto(Arc::clone(&settings.dtls), certificate, now);
        let transport = Transport { dtls, path, timer: now };
        Self { transport, expected, outcome: Outcome::default() }
    }

    /// The way to the client.
    pub(super) fn path(&self) -> NetworkPath {
        self.transport.path
    }

    /// Takes a datagram.
    pub(super) fn receive(
        &mut self,
        datagram: &[u8],
        now: Instant,
        out: &mut impl Outbox,
    ) -> Result<(), SessionEnd> {
        let Self { transport, expected, outcome } = self;
        transport.receive(datagram, now, out, |event| outcome.note(event, expected))
    }

    /// Sends again what may have been lost.
    pub(super) fn tick(&mut self, now: Instant, out: &mut impl Outbox) -> Result<(), SessionEnd> {
        let Self { transport, expected, outcome } = self;
        transport.tick(now, out, |event| outcome.note(event, expected))
    }

    /// Whether both sides have all that they need.
    pub(super) fn is_complete(&self) -> bool {
        self.outcome.is_complete
    }

    /// What remains of a handshake that is complete.
    pub(super) fn into_connection(self) -> Result<Connection, SessionEnd> {
        let Self { transport, outcome, .. } = self;
        if !outcome.is_identified {
            return Err(SessionEnd::WrongCertificate);
        }
        let keys = outcome.keys.ok_or(SessionEnd::NoKeys)?;
        Ok(Connection { transport, keys, rtcp_received: None })
    }
}

impl Outcome {
    fn note(&mut self, event: Output<'_>, expected: &Fingerprint) -> Result<(), SessionEnd> {
        match event {
            Output::PeerCert(certificate) if fingerprint(certificate) != *expected => {
                return Err(SessionEnd::WrongCertificate);
            }
            Output::PeerCert(_) => self.is_identified = true,
            Output::KeyingMaterial(material, profile) => {
                self.keys = SessionKeys::of_server(profile, &material);
            }
            Output::Connected => self.is_complete = true,
            // Nothing is expected on the encrypted connection itself.
            _ => {}
        }
        Ok(())
    }
}

impl Connection {
    /// The way to the client, which never changes.
    pub(super) fn path(&self) -> NetworkPath {
        self.transport.path
    }

    /// Protects what is sent.
    pub(super) fn outbound(&self) -> &Protection {
        &self.keys.outbound
    }

    /// Takes a datagram of DTLS.
    pub(super) fn receive(
        &mut self,
        datagram: &[u8],
        now: Instant,
        out: &mut impl Outbox,
    ) -> Result<(), SessionEnd> {
        self.transport.receive(datagram, now, out, nothing_expected)
    }

    /// Takes a datagram of SRTCP. Returns whether the client has sent it, and not somebody else a copy
    /// of an old one.
    pub(super) fn is_new_rtcp(&mut self, datagram: &mut [u8]) -> bool {
        let index = self.keys.inbound.authentic_rtcp(datagram);
        let is_new = index.is_some_and(|index| self.rtcp_received.is_none_or(|last| index > last));
        if is_new {
            self.rtcp_received = index;
        }
        is_new
    }

    /// Sends what is due.
    pub(super) fn tick(&mut self, now: Instant, out: &mut impl Outbox) -> Result<(), SessionEnd> {
        self.transport.tick(now, out, nothing_expected)
    }

    /// Tells the client that nothing more comes.
    pub(super) fn close(&mut self, now: Instant, out: &mut impl Outbox) -> Result<(), SessionEnd> {
        self.transport.dtls.handle_timeout(now)?;
        self.transport.dtls.close()?;
        self.transport.poll(out, &mut nothing_expected)
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({})", self.transport.path.remote)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.transport.path.remote)
    }
}

/// What a complete connection does with events of DTLS.
#[allow(clippy::unnecessary_wraps, reason = "the type of what a handshake does with them")]
fn nothing_expected(_: Output<'_>) -> Result<(), SessionEnd> {
    Ok(())
}

/// Whether a datagram is the first one of a handshake: a `ClientHello` that answers nothing yet
/// (RFC 6347, sections 4.1 and 4.2.2).
pub(super) fn begins_handshake(datagram: &[u8]) -> bool {
    let is_handshake = datagram.first() == Some(&22);
    let is_hello = datagram.get(13) == Some(&1);
    let is_first = datagram.get(17..19) == Some(&[0, 0]);
    is_handshake && is_hello && is_first
}
