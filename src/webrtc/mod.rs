//! WebRTC: a mount as RTP packets, with a delay of a tenth of a second (WHEP).
//!
//! A client sends an offer with `POST` to `MOUNT/whep`, and gets an answer and the URL of a session
//! (draft-ietf-wish-whep). All else is UDP on one port: checks of ICE, a handshake of DTLS, and then
//! the Opus packets of the mount as SRTP. There is no transcoding and no queue for a listener: a
//! packet that the network does not take is lost for this listener alone.
//!
//! The sessions have a thread of their own, so that their handshakes, which take milliseconds, hold
//! up no page.
//!
//! ```text
//!  POST ──► control ──► queue ──► service ──► sessions ──► session ──► UDP
//!                                    │ schedule: which packet, and when
//!                                  mount (ring)
//! ```

mod answer;
mod certificate;
mod dtls;
mod end;
mod identity;
mod listener;
mod network;
mod offer;
mod queue;
mod rtp;
mod schedule;
mod service;
mod session;
mod sessions;
mod settings;
mod sockets;
mod srtp;
mod stun;
#[cfg(test)]
mod tests;
mod timeouts;
mod whep_path;

pub use certificate::{Certificate, Fingerprint};
pub use dtls::DtlsSettings;
pub use end::SessionEnd;
pub use identity::{SessionId, SessionIdentity};
pub use listener::WebRtcListener;
pub use network::{NetworkPath, Outbox};
pub use offer::{MAX_OFFER, MediaSection, OfferError, SdpOffer};
pub use queue::{Accepted, NewSession, Refused, WebRtcMessage, WebRtcQueue};
pub use rtp::CNAME;
pub use service::{SESSION_MEMORY, WEBRTC_MEMORY, WebRtcError, WebRtcService};
pub use session::{MediaPacket, PACKET_BUFFER, Session, TimeAndDate, Totals};
pub use sessions::{SessionEntry, Sessions};
pub use settings::WebRtcSettings;
pub use sockets::{MAX_SOCKETS, RECEIVE_BUFFER};
pub use stun::{BindingRequest, MAX_RESPONSE};
pub use whep_path::{WhepPath, WhepResource};
