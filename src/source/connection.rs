//! A source's connection as the door hands it over.

use std::net::SocketAddr;

use super::body::BodyFraming;
use crate::mount::Description;
use crate::quota::Permit;
use tokio::sync::oneshot;

/// A source that the door has admitted.
#[derive(Debug)]
pub struct SourceConnection {
    /// The connection.
    pub socket: std::net::TcpStream,
    /// Bytes that were read after the request head.
    pub read: Vec<u8>,
    /// How the body is framed.
    pub body: BodyFraming,
    /// When the encoder expects the response.
    pub timing: ResponseTiming,
    /// What its request head says about the mount.
    pub description: Description,
    /// The peer's address, which may be a proxy's.
    pub peer: SocketAddr,
    /// Its permit from the client's quota, freed when the source ends.
    pub permit: Option<Permit>,
    /// Receives the reason when this server ends the connection. Dropped when the source ends it.
    pub on_end: Option<oneshot::Sender<String>>,
}

/// When an encoder gets its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseTiming {
    /// `SOURCE`: at once, because the encoder sends nothing before.
    AnswerFirst,
    /// `Expect: 100-continue`: `100 Continue` at once. Some encoders wait for the final response as
    /// well, so it follows after the first bytes or a moment.
    Expects,
    /// Never: this server has asked for the stream.
    Never,
    /// After the first bytes, or after a moment: some encoders wait for the response, others do
    /// not.
    Either,
}
