//! Answers: documents, sentences, lists that are written piece by piece, and streams of events.

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

/// A body that is there as a whole, or one that is still in the making: events, or a list.
pub(super) type ResponseBody = Either<Full<Bytes>, Either<Channel<Bytes>, Pieces>>;
/// An answer.
pub(super) type HttpResponse = Response<ResponseBody>;

/// A body whose pieces are made one by one, as the client takes them: a list that has an entry for
/// each listener must not be in memory as a whole.
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

/// A document that is made piece by piece.
pub(super) fn pieces(
    kind: &'static str,
    pieces: impl Iterator<Item = String> + 'static,
) -> HttpResponse {
    let pieces = Pieces(Box::new(pieces.map(Bytes::from)));
    with_type(kind, Either::Right(Either::Right(pieces)))
}

/// A document of some type.
pub(super) fn document(kind: &'static str, text: impl Into<Bytes>) -> HttpResponse {
    with_type(kind, Either::Left(Full::new(text.into())))
}

fn with_type(kind: &'static str, body: ResponseBody) -> HttpResponse {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The type of JSON.
pub(super) const JSON: &str = "application/json";

/// JSON.
///
/// # Panics
/// Never: nothing that is given here can fail to become JSON.
pub(super) fn json(value: &impl Serialize) -> HttpResponse {
    document(JSON, serde_json::to_vec(value).expect("plain strings and numbers"))
}

/// The type of Icecast's XML.
pub(super) const XML: &str = "text/xml; charset=utf-8";

/// XML.
pub(super) fn xml(text: String) -> HttpResponse {
    document(XML, text)
}

/// A document that goes on.
pub(super) fn stream(kind: &'static str, body: Channel<Bytes>) -> HttpResponse {
    with_type(kind, Either::Right(Either::Left(body)))
}

/// A refusal as a plain sentence.
pub(super) fn plain(reply: &Reply) -> HttpResponse {
    with_fields(reply, document("text/plain; charset=utf-8", format!("{}\n", reply.sentence)))
}

/// A refusal as JSON.
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
        // The fields of a reply are our own; one that is none is left out.
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(*name), HeaderValue::try_from(value.as_str()))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
