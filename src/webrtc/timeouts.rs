//! How long a client may take.

use std::time::Duration;

/// How long a client may take until its first check arrives.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may then take until DTLS is complete.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long audio is sent without a sign that it is wanted (RFC 7675, section 5.1).
pub(super) const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
