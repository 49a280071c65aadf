//! How the control plane reaches the thread that has the sessions.

use std::net::IpAddr;

use tokio::sync::{mpsc, oneshot};

use super::identity::SessionId;
use super::listener::WebRtcListener;
use super::offer::SdpOffer;

/// The most messages on their way to the thread.
const QUEUE: usize = 64;

/// A message for the thread.
#[derive(Debug)]
pub enum WebRtcMessage {
    /// A client has made an offer.
    Offer(Box<NewSession>),
    /// A client ends its session. The answer says whether there was one.
    End(SessionId, oneshot::Sender<bool>),
}

/// A client that has made an offer.
#[derive(Debug)]
pub struct NewSession {
    /// What it has offered.
    pub offer: SdpOffer,
    /// Who it is.
    pub listener: WebRtcListener,
    /// The address by which it has reached this server; `None` if that was a proxy on this machine.
    pub local: Option<IpAddr>,
    /// Receives the answer.
    pub answer: oneshot::Sender<Result<Accepted, Refused>>,
}

/// An offer was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The session.
    pub id: SessionId,
    /// A tag for the ICE session (RFC 9725, section 4.3.1).
    pub tag: String,
    /// The answer, in SDP.
    pub sdp: String,
}

/// An offer was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// All sessions are in use.
    #[error("This server has reached its limit of {0} WebRTC sessions.")]
    Full(usize),
    /// It is not known how clients reach this server.
    #[error(
        "This server does not know by which address it can be reached with UDP; \
         its operator can list some in [webrtc] addresses."
    )]
    NoAddress,
    /// The stream has ended meanwhile.
    #[error("No source is sending to this mount any more.")]
    NoStream,
    /// The stream is not Opus in mono or stereo.
    #[error("WebRTC is for Opus with one or two channels only, and this stream is something else.")]
    NotOpus,
    /// The system has no random numbers.
    #[error("The system has no random numbers.")]
    NoRandomness,
}

/// The sending end of the thread's queue.
#[derive(Clone, Debug)]
pub struct WebRtcQueue(mpsc::Sender<WebRtcMessage>);

impl WebRtcQueue {
    /// Creates the queue.
    pub fn new() -> (Self, mpsc::Receiver<WebRtcMessage>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Makes a session. `None` if the thread has too much to do, or has ended.
    pub async fn offer(
        &self,
        offer: SdpOffer,
        listener: WebRtcListener,
        local: Option<IpAddr>,
    ) -> Option<Result<Accepted, Refused>> {
        let (answer, answered) = oneshot::channel();
        let session = Box::new(NewSession { offer, listener, local, answer });
        self.0.try_send(WebRtcMessage::Offer(session)).ok()?;
        answered.await.ok()
    }

    /// Ends a session. `None` if the thread has too much to do, or has ended.
    pub async fn end(&self, id: SessionId) -> Option<bool> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(WebRtcMessage::End(id, answer)).ok()?;
        answered.await.ok()
    }
}
