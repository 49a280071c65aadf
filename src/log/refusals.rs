//! The log line for a refused request.

use std::fmt::Display;
use std::net::IpAddr;

use crate::http::Reply;
use crate::log::journal;
use crate::text::sanitize;

/// Logs a refused request. `peer` is the other end of the connection, `client` the client behind a
/// proxy, `path` the path as [`redacted_path`](crate::http::redacted_path) returns it.
pub fn log(peer: impl Display, client: IpAddr, path: &str, reply: &Reply) {
    let (path, status, reason) = (sanitize(path), reply.status, sanitize(&reply.sentence));
    if reply.is_warning {
        journal!(warn, REFUSED, %peer, %client, path, status, reason, "request refused");
    } else {
        journal!(info, REFUSED, %peer, %client, path, status, reason, "request refused");
    }
}
