//! WHEP: takes offers, and ends sessions (draft-ietf-wish-whep, RFC 9725).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ACCESS_CONTROL_EXPOSE_HEADERS, ETAG, HeaderName, HeaderValue, LOCATION};

use super::response::{HttpResponse, document};
use crate::clock::Clock;
use crate::http::Reply;
use crate::quota::{Permit, Quota};
use crate::webrtc::{
    Accepted, MAX_OFFER, Refused, SdpOffer, SessionId, WebRtcListener, WebRtcQueue,
};

/// Maximum number of offers that are read at the same time.
pub(crate) const MAX_OFFERS: usize = 16;
/// Maximum memory of one of them, in bytes: as it was received, as it is read, and its answer.
pub(crate) const OFFER_MEMORY: usize = 4 * MAX_OFFER;
/// How long the thread of the sessions may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Content type of the answer.
const SDP: &str = "application/sdp";
/// Fields of the response that pages of other origins may read.
const EXPOSED: &str = "ETag, Link, Location";

/// A request that the door has admitted.
#[derive(Debug)]
pub(crate) enum WhepRequest {
    /// A client that is about to make an offer; `None` once it was taken.
    Offer(Option<WebRtcListener>),
    /// A client that ends its session.
    End(SessionId),
}

/// A client whose offer is to be read.
#[derive(Debug)]
pub(super) struct PendingOffer {
    listener: WebRtcListener,
    /// The address by which it has reached this server; `None` if that was a proxy on this machine.
    local: Option<IpAddr>,
    _permit: Permit,
}

/// Takes offers, and ends sessions.
#[derive(Debug)]
pub(crate) struct Whep {
    /// `None` if WebRTC is switched off.
    queue: Option<WebRtcQueue>,
    /// Offers that are being read.
    offers: Arc<Quota>,
}

impl Whep {
    /// Takes offers for the thread behind this queue.
    pub(crate) fn new(queue: Option<WebRtcQueue>) -> Self {
        Self { queue, offers: Arc::default() }
    }

    /// Admits a client whose offer is to be read. `local` is the address by which it has reached this
    /// server.
    ///
    /// # Errors
    /// The reply to send if WebRTC is off, or if too many offers are being read.
    pub(super) fn admit(
        &self,
        listener: WebRtcListener,
        local: Option<IpAddr>,
    ) -> Result<PendingOffer, Reply> {
        self.queue()?;
        let permit = self.offers.take(MAX_OFFERS).ok_or_else(busy)?;
        Ok(PendingOffer { listener, local, _permit: permit })
    }

    /// Answers an offer.
    ///
    /// # Errors
    /// The reply to send if anything is wrong with it, or if it cannot be accepted.
    pub(super) async fn take(
        &self,
        pending: PendingOffer,
        body: &[u8],
        clock: &Clock,
    ) -> Result<HttpResponse, Reply> {
        let PendingOffer { listener, local, _permit } = pending;
        let text = str::from_utf8(body).map_err(|_| Reply::new(400, "The offer is not UTF-8."))?;
        let offer = SdpOffer::parse(text).map_err(|error| {
            let status = if error.is_malformed() { 400 } else { 406 };
            Reply::new(status, error.to_string())
        })?;
        let answer = self.queue()?.offer(offer, listener, local);
        match clock.timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Some(Ok(accepted))) => Ok(created(accepted)),
            Ok(Some(Err(refused))) => Err(refusal(refused)),
            Ok(None) | Err(_) => Err(busy()),
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The reply to send if there is no such session.
    pub(super) async fn end(&self, id: SessionId, clock: &Clock) -> Result<HttpResponse, Reply> {
        match clock.timeout(ANSWER_TIMEOUT, self.queue()?.end(id)).await {
            Ok(Some(true)) => Ok(document("text/plain; charset=utf-8", "")),
            Ok(Some(false)) => Err(Reply::new(404, "There is no such session; it may have ended.")),
            Ok(None) | Err(_) => Err(busy()),
        }
    }

    fn queue(&self) -> Result<&WebRtcQueue, Reply> {
        self.queue.as_ref().ok_or_else(|| {
            let sentence = "WebRTC is switched off; [webrtc] listen and a restart switch it on.";
            Reply::new(404, sentence)
        })
    }
}

/// The response with an answer.
fn created(accepted: Accepted) -> HttpResponse {
    let Accepted { id, tag, sdp } = accepted;
    let mut response = document(SDP, sdp);
    *response.status_mut() = StatusCode::CREATED;
    let fields: [(HeaderName, String); 3] = [
        // Relative to `…/whep`, so that it holds behind any proxy.
        (LOCATION, format!("whep/{id}")),
        (ETAG, format!("\"{tag}\"")),
        (ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.to_owned()),
    ];
    for (name, value) in fields {
        // They are all letters, digits and marks.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn refusal(refused: Refused) -> Reply {
    let sentence = refused.to_string();
    match refused {
        Refused::NoStream => Reply::new(404, sentence),
        Refused::NotOpus => Reply::new(406, sentence),
        Refused::Full(_) => Reply::new(503, sentence).with("Retry-After", "10"),
        Refused::NoAddress | Refused::NoRandomness => Reply::new(503, sentence).as_warning(),
    }
}

fn busy() -> Reply {
    let sentence = "Too many listeners begin at once; try again in a moment.";
    Reply::new(503, sentence).with("Retry-After", "1")
}
