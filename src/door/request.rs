//! One request, made once from its head: everything that is decided about it reads this.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::SocketAddr;
use std::sync::Arc;

use super::address::client_of;
use super::settings::DoorSettings;
use crate::auth::admits;
use crate::client_addr::ClientAddr;
use crate::http::{Reply, RequestHead, Target, redacted_path};
use crate::source::BodyFraming;
use crate::text::sanitize;

/// A request, and the configuration by which it is judged.
#[derive(Debug)]
pub(super) struct Request {
    /// The configuration in force when its head was complete.
    pub(super) settings: Arc<DoorSettings>,
    pub(super) head: RequestHead,
    /// Its target, or the reply to a target that is not usable.
    pub(super) target: Result<Target, Reply>,
    /// How its body is framed, or the reply to framing that is not usable.
    pub(super) framing: Result<BodyFraming, Reply>,
    /// The other end of the connection.
    pub(super) peer: SocketAddr,
    /// The client, which may be behind trusted proxies.
    pub(super) client: ClientAddr,
}

impl Request {
    /// The request of this head.
    pub(super) fn new(settings: Arc<DoorSettings>, head: RequestHead, peer: SocketAddr) -> Self {
        Self {
            target: Target::of(&head, &settings.prefix),
            framing: framing_of(&head),
            client: client_of(peer.ip(), &head, &settings.trusted_proxies),
            settings,
            head,
            peer,
        }
    }

    /// Whether the client's network may connect. A health check from this machine always may.
    ///
    /// # Errors
    /// The reply to a client whose network may not.
    pub(super) fn check_network(&self) -> Result<(), Reply> {
        let is_health_check = self.client.address.is_loopback() && self.head.target() == "/healthz";
        let DoorSettings { allow, deny, .. } = &*self.settings;
        if is_health_check || admits(allow, deny, self.client.address) {
            Ok(())
        } else {
            Err(Reply::new(403, "This server is not open to your address."))
        }
    }

    /// The path as the log shows it.
    pub(super) fn loggable_path(&self) -> &str {
        self.target.as_ref().map_or("", |target| redacted_path(&target.path))
    }

    /// A field's value, fit to be shown in logs, headers and documents; `None` if it is absent or empty.
    pub(super) fn shown_field(&self, name: &str) -> Option<String> {
        self.head.field(name).map(sanitize).filter(|text| !text.is_empty())
    }

    /// Whether another request can follow on this connection. After a body its head could not be found.
    pub(super) fn keeps_connection(&self) -> bool {
        self.head.keeps_connection() && self.framing == Ok(BodyFraming::Raw)
    }

    /// A reply to this request on the wire.
    pub(super) fn render(&self, reply: &Reply) -> Vec<u8> {
        let with_body = self.head.method() != "HEAD";
        reply.render(self.head.version(), self.keeps_connection(), with_body)
    }
}

/// How a body is framed (RFC 9112, section 6.3). Some encoders send `Content-Length: 0` for a body
/// of unknown length.
fn framing_of(head: &RequestHead) -> Result<BodyFraming, Reply> {
    let bad = |sentence| Err(Reply::new(400, sentence));
    let mut codings = head.values("transfer-encoding");
    let length = length_of(head)?;
    match (codings.next(), length) {
        (Some(_), Some(_)) => bad("A request has a length or chunks, not both."),
        (Some(coding), None)
            if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() =>
        {
            Ok(BodyFraming::CHUNKED)
        }
        (Some(_), None) => bad("The only transfer coding understood here is chunked."),
        (None, None | Some(0)) => Ok(BodyFraming::Raw),
        (None, Some(length)) => Ok(BodyFraming::Length(length)),
    }
}

/// The length that all `Content-Length` fields agree on.
fn length_of(head: &RequestHead) -> Result<Option<u64>, Reply> {
    let mut length = None;
    let values = head.values("content-length");
    for value in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        let digits = Some(value.trim_ascii()).filter(|text| text.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let Some(number) = number else {
            return Err(Reply::new(400, "The Content-Length of this request is not a number."));
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

    /// A request with this head, to a server whose paths have the prefix `/stream`.
    pub(in super::super) fn request(head: &str) -> Request {
        let text =
            "path_prefix = \"/stream\"\n[auth]\nsource_password = \"x\"\nadmin_password = \"y\"";
        let config = crate::config::Config::parse(text, &crate::config::Environment::default());
        let head = RequestHead::take(&mut head.as_bytes().to_vec()).unwrap().unwrap();
        Request::new(Arc::new(config.unwrap().door), head, ([192, 0, 2, 1], 4711).into())
    }

    fn framed(fields: &str) -> Result<BodyFraming, u16> {
        let mut text = format!("PUT /m HTTP/1.1\r\n{fields}\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        framing_of(&head).map_err(|reply| reply.status)
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        for (fields, body) in [
            ("", Ok(BodyFraming::Raw)),
            ("Content-Length: 0\r\n", Ok(BodyFraming::Raw)),
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
            assert_eq!(framed(fields), body, "{fields:?}");
        }
    }
}
