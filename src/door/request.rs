//! A request as the door sees it: parsed once, with the settings that apply to it.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::SocketAddr;
use std::sync::Arc;

use super::address::client_of;
use super::settings::DoorSettings;
use crate::auth::admits;
use crate::client_addr::ClientAddr;
use crate::http::{Reply, RequestHead, RequestTarget, redacted_path, via_names};
use crate::source::BodyFraming;
use crate::text::{decode, sanitize};

/// A request, with the settings that apply to it.
#[derive(Debug)]
pub(super) struct Request {
    /// The settings that were in force when the head was complete.
    pub(super) settings: Arc<DoorSettings>,
    pub(super) head: RequestHead,
    pub(super) target: RequestTarget,
    /// The framing of the body, or the reply to invalid framing.
    pub(super) framing: Result<BodyFraming, Reply>,
    /// Address of the other end of the connection, which may be a proxy.
    pub(super) peer: SocketAddr,
    /// Address of the client, as determined from the forwarding fields of trusted proxies.
    pub(super) client: ClientAddr,
}

impl Request {
    /// Makes a request of a head that `peer` sent.
    pub(super) fn new(settings: Arc<DoorSettings>, head: RequestHead, peer: SocketAddr) -> Self {
        Self {
            target: RequestTarget::of(&head, &settings.prefix),
            framing: framing_of(&head),
            client: client_of(peer.ip(), &head, &settings.trusted_proxies),
            settings,
            head,
            peer,
        }
    }

    /// Checks the client against `allow` and `deny`. A health check from loopback is always
    /// allowed.
    ///
    /// # Errors
    /// The reply to send, with status 403, if the client's network is not allowed.
    pub(super) fn check_network(&self) -> Result<(), Reply> {
        let is_health_check = self.client.address.is_loopback() && self.head.target() == "/healthz";
        let DoorSettings { allow, deny, .. } = &*self.settings;
        if is_health_check || admits(allow, deny, self.client.address) {
            Ok(())
        } else {
            Err(Reply::new(403, "This server does not allow requests from your address."))
        }
    }

    /// The path, redacted for the log.
    pub(super) fn loggable_path(&self) -> &str {
        redacted_path(&self.target.path)
    }

    /// The value of a field, sanitized for logs, header fields and documents. `None` if the field
    /// is absent or empty.
    pub(super) fn sanitized_field(&self, name: &str) -> Option<String> {
        let texts = self.head.values(name).map(|value| sanitize(decode(value).trim()));
        texts.into_iter().find(|text| !text.is_empty())
    }

    /// The servers that the request, or what it sends, has come through.
    pub(super) fn via(&self) -> Vec<String> {
        let values: Vec<_> = self.head.values("via").map(decode).collect();
        via_names(values.iter().map(|value| &**value))
    }

    /// Whether another request may follow on this connection. Never after a body, because the door
    /// does not read bodies. An encoder's body needs no framing, so only `Content-Length: 0` says
    /// that a push has none: old encoders send it to learn whether they must log in.
    pub(super) fn keeps_connection(&self) -> bool {
        let is_read = matches!(self.head.method(), "GET" | "HEAD" | "OPTIONS");
        let has_no_body = match &self.framing {
            Ok(BodyFraming::Raw) => is_read || self.head.values("content-length").next().is_some(),
            Ok(framing) => framing.is_done(),
            Err(_) => false,
        };
        self.head.keeps_connection() && has_no_body
    }

    /// Serializes a reply to this request.
    pub(super) fn render(&self, reply: &Reply) -> Vec<u8> {
        let with_body = self.head.method() != "HEAD";
        reply.render(self.head.version(), self.keeps_connection(), with_body)
    }
}

/// Determines the framing of the body (RFC 9112, section 6.3). `Content-Length: 0` of `SOURCE` is
/// ignored, because some encoders send it with a body of unknown length.
fn framing_of(head: &RequestHead) -> Result<BodyFraming, Reply> {
    let bad = |sentence| Err(Reply::new(400, sentence));
    let mut codings = head.values("transfer-encoding");
    let length = length_of(head)?;
    match (codings.next(), length) {
        (Some(_), Some(_)) => {
            bad("A request must not have both Content-Length and Transfer-Encoding.")
        }
        (Some(coding), None)
            if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() =>
        {
            Ok(BodyFraming::CHUNKED)
        }
        (Some(_), None) => bad("The only supported transfer coding is chunked."),
        (None, None) => Ok(BodyFraming::Raw),
        (None, Some(0)) if head.method() == "SOURCE" => Ok(BodyFraming::Raw),
        (None, Some(length)) => Ok(BodyFraming::Length(length)),
    }
}

/// Parses `Content-Length`. Repeated values must be equal (RFC 9110, section 8.6).
fn length_of(head: &RequestHead) -> Result<Option<u64>, Reply> {
    let mut length = None;
    let values = head.values("content-length");
    for value in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        let digits = Some(value.trim_ascii()).filter(|text| text.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let Some(number) = number else {
            return Err(Reply::new(
                400,
                "The Content-Length of this request is not a valid number.",
            ));
        };
        if length.is_some_and(|length| length != number) {
            return Err(Reply::new(400, "The Content-Length fields of this request disagree."));
        }
        length = Some(number);
    }
    Ok(length)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request with this head to a server with the path prefix `/stream`.
    pub(in super::super) fn request(head: &str) -> Request {
        let text =
            "path_prefix = \"/stream\"\n[auth]\nsource_password = \"x\"\nadmin_password = \"y\"";
        let config = crate::config::Config::parse(text, &crate::config::Environment::default());
        let head = RequestHead::take(&mut head.as_bytes().to_vec()).unwrap().unwrap();
        Request::new(Arc::new(config.unwrap().door), head, ([192, 0, 2, 1], 4711).into())
    }

    fn framing(fields: &str) -> Result<BodyFraming, u16> {
        let mut text = format!("PUT /m HTTP/1.1\r\n{fields}\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        framing_of(&head).map_err(|reply| reply.status)
    }

    #[test]
    fn ambiguous_body_framing_is_refused() {
        for (fields, expected) in [
            ("", Ok(BodyFraming::Raw)),
            ("Content-Length: 0\r\n", Ok(BodyFraming::Length(0))),
            ("Content-Length: 5\r\n", Ok(BodyFraming::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(BodyFraming::Length(5))),
            ("Content-Length: 5, 5\r\n", Ok(BodyFraming::Length(5))),
            ("Transfer-Encoding: chunked\r\n", Ok(BodyFraming::CHUNKED)),
            ("Content-Length: 0\r\nContent-Length: 5\r\n", Err(400)),
            ("Content-Length: 5\r\nContent-Length: 0\r\n", Err(400)),
            ("Content-Length: 5, 0\r\n", Err(400)),
            ("Content-Length: \r\n", Err(400)),
            ("Content-Length: +5\r\n", Err(400)),
            ("Content-Length: 18446744073709551616\r\n", Err(400)),
            ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(400)),
        ] {
            assert_eq!(framing(fields), expected, "{fields:?}");
        }
    }
}
