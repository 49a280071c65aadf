//! The settings of `[webrtc]`.

use std::net::SocketAddr;

/// The settings of `[webrtc]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRtcSettings {
    /// The address for UDP; `None` if WebRTC is switched off.
    pub listen: Option<SocketAddr>,
    /// Addresses, or names, by which clients reach this server besides the one that they have used
    /// for HTTP.
    pub addresses: Vec<String>,
    /// The most sessions at the same time.
    pub sessions: usize,
}
