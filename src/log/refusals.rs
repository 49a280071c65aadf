//! What the log says of a request that is refused.

use std::fmt::Display;
use std::net::IpAddr;

use crate::http::Reply;
use crate::log::journal;
use crate::text::sanitize;

/// Logs one: the other end of the connection, the client behind it, and the path as
/// [`redacted_path`](crate::http::redacted_path) shows it.
pub fn log(peer: impl Display, client: IpAddr, path: &str, reply: &Reply) {
    let (path, status, reason) = (sanitize(path), reply.status, sanitize(&reply.sentence));
    journal!(info, REFUSED, %peer, %client, path, status, reason, "request refused");
}
