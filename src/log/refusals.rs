//! The log line for a refused request.

use std::fmt::Display;
use std::net::IpAddr;

use crate::http::Reply;
use crate::log::journal;
use crate::text::sanitize;

/// The methods that are logged. Another one is whatever a client has put there, such as a password.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "SOURCE", "OPTIONS", "DELETE", "PATCH"];

/// Logs a refused request. `peer` is the other end of the connection, `client` the client behind a
/// proxy, `request` the method, and the path as [`redacted_path`](crate::http::redacted_path) returns it;
/// `None` if no request was read.
pub fn log(peer: impl Display, client: IpAddr, request: Option<(&str, &str)>, reply: &Reply) {
    let (method, path) = request.unzip();
    let method = method.filter(|method| METHODS.contains(method));
    let path = sanitize(path.unwrap_or_default());
    let (status, reason) = (reply.status, sanitize(&reply.sentence));
    if reply.is_warning {
        journal!(warn, REFUSED, %peer, %client, method, path, status, reason, "request refused");
    } else {
        journal!(info, REFUSED, %peer, %client, method, path, status, reason, "request refused");
    }
}
