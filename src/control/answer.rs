//! Answers: documents, sentences, and streams of events.

use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::http::Reply;

/// A body that is there as a whole, or one that goes on.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes>>;
/// An answer.
pub(super) type Answer = Response<Body>;

/// A document of some type.
pub(super) fn document(kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(text.into())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// JSON.
///
/// # Panics
/// Never: nothing that is given here can fail to become JSON.
pub(super) fn json(value: &impl Serialize) -> Answer {
    document("application/json", serde_json::to_vec(value).expect("plain strings and numbers"))
}

/// XML.
pub(super) fn xml(text: String) -> Answer {
    document("text/xml; charset=utf-8", text)
}

/// A document that goes on.
pub(super) fn stream(kind: &'static str, body: Channel<Bytes>) -> Answer {
    let mut response = Response::new(Either::Right(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A refusal as a plain sentence.
pub(super) fn plain(reply: &Reply) -> Answer {
    with_fields(reply, document("text/plain; charset=utf-8", format!("{}\n", reply.sentence)))
}

/// A refusal as JSON.
pub(super) fn json_error(reply: &Reply) -> Answer {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
    }
    with_fields(reply, json(&Refusal { error: &reply.sentence }))
}

fn with_fields(reply: &Reply, mut response: Answer) -> Answer {
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
