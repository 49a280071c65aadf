//! Why a session ends, as the log says it.

use std::sync::Arc;

use dimpl::CertificateError;

use super::timeouts::{CHECK_TIMEOUT, CONSENT_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::mount::Operator;

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    /// The client has not reached this server.
    #[error(
        "no check came within {} s; is UDP port {port} open, and are the addresses in [webrtc] right?",
        CHECK_TIMEOUT.as_secs()
    )]
    NoCheck {
        /// The port of the answer.
        port: u16,
    },
    /// The client reached this server, but DTLS was not completed.
    #[error("the DTLS handshake was not complete after {} s", HANDSHAKE_TIMEOUT.as_secs())]
    NoHandshake,
    /// DTLS failed.
    #[error("the DTLS handshake failed: {0}")]
    Dtls(dimpl::Error),
    /// The client has a certificate with another kind of key.
    #[error(
        "the listener has no ECDSA certificate, which the DTLS handshake requires; GStreamer 1.22 \
         makes RSA ones"
    )]
    NoCertificate,
    /// Somebody else has answered.
    #[error("the certificate in the DTLS handshake is not the one of the offer")]
    WrongCertificate,
    /// A certificate that no browser has.
    #[error("the certificate in the DTLS handshake is too long")]
    LongCertificate,
    /// The client takes none of the ways to encrypt.
    #[error("the DTLS handshake chose no known protection profile for SRTP")]
    NoKeys,
    /// The client has vanished.
    #[error("the listener sent nothing for {} s", CONSENT_TIMEOUT.as_secs())]
    Silent,
    /// The client has closed the session.
    #[error("the listener disconnected")]
    Closed,
    /// It was not connected, and others were waiting for its place.
    #[error("the listener was not connected yet, and its place was needed for another one")]
    Displaced,
    /// The stream has ended.
    #[error("the stream ended")]
    StreamEnded,
    /// Another stream follows, which cannot be sent.
    #[error("the stream goes on with another codec than Opus")]
    NotOpus,
    /// The mount makes room for another one.
    #[error("the stream had ended, and the mount was removed to make room for another one")]
    Retired,
    /// An administrator has disconnected the listener.
    #[error("an administrator disconnected the listener")]
    Killed(Arc<Operator>),
    /// The link is no longer valid.
    #[error("the listener's link has expired")]
    Expired,
    /// The server stops.
    #[error("the server stops")]
    Stopped,
}

impl From<dimpl::Error> for SessionEnd {
    fn from(error: dimpl::Error) -> Self {
        match error {
            dimpl::Error::CertificateError(CertificateError::NoClientCertificateReceived) => {
                Self::NoCertificate
            }
            other => Self::Dtls(other),
        }
    }
}
