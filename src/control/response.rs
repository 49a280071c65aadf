//! Constructors of HTTP responses: documents, error replies, lists in pieces, and event streams.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::http::Reply;

/// A complete body, an event stream, or a list in pieces.
pub(super) type ResponseBody = Either<Full<Bytes>, Either<Channel<Bytes>, Pieces>>;
/// A response of the control plane.
pub(super) type HttpResponse = Response<ResponseBody>;

/// A body whose pieces are generated when hyper has room for them, so that a list of all listeners
/// is never in memory as a whole.
pub(super) struct Pieces(Box<dyn Iterator<Item = Bytes>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

/// A response whose body is generated in pieces.
pub(super) fn pieces(
    content_type: &'static str,
    pieces: impl Iterator<Item = String> + 'static,
) -> HttpResponse {
    with_type(content_type, streamed(pieces.map(Bytes::from)))
}

/// A body that is generated in pieces.
pub(super) fn streamed(pieces: impl Iterator<Item = Bytes> + 'static) -> ResponseBody {
    Either::Right(Either::Right(Pieces(Box::new(pieces))))
}

/// A complete body.
pub(super) fn whole(bytes: Bytes) -> ResponseBody {
    Either::Left(Full::new(bytes))
}

/// A response with a complete body.
pub(super) fn document(content_type: &'static str, text: impl Into<Bytes>) -> HttpResponse {
    with_type(content_type, whole(text.into()))
}

/// A response with this body.
pub(super) fn with_type(content_type: &'static str, body: ResponseBody) -> HttpResponse {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Content type of JSON.
pub(super) const JSON: &str = "application/json";

/// A response with a JSON body.
///
/// # Panics
/// If `value` cannot be serialized, which does not happen for structs of strings and numbers.
pub(super) fn json(value: &impl Serialize) -> HttpResponse {
    document(JSON, serde_json::to_vec(value).expect("structs of strings and numbers serialize"))
}

/// Content type of Icecast's XML documents.
pub(super) const XML: &str = "text/xml; charset=utf-8";

/// A response with an XML body.
pub(super) fn xml(text: String) -> HttpResponse {
    document(XML, text)
}

/// A response whose body is written to a channel and has no end.
pub(super) fn stream(content_type: &'static str, body: Channel<Bytes>) -> HttpResponse {
    with_type(content_type, Either::Right(Either::Left(body)))
}

/// A reply as plain text.
pub(super) fn plain(reply: &Reply) -> HttpResponse {
    let (content_type, body) = reply.body();
    with_fields(reply, document(content_type, body))
}

/// A reply as JSON: an object with the member `error`.
pub(super) fn json_error(reply: &Reply) -> HttpResponse {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
    }
    with_fields(reply, json(&Refusal { error: &reply.sentence }))
}

fn with_fields(reply: &Reply, mut response: HttpResponse) -> HttpResponse {
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    for (name, value) in &reply.fields {
        // Never fails for the fields that this server sets; an invalid one would be left out.
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(*name), HeaderValue::try_from(value.as_str()))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
