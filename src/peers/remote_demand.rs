//! Asks another silvacast whether a mount is wanted there.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::sleep;

use super::client::{Identity, RequestError, get_late};
use super::settings::{ForwardSettings, ServerUrl};
use crate::auth::Login;
use crate::mount::Name;

/// The longest answer, in bytes.
const MAX_ANSWER: usize = 4096;
/// How long the other server may hold back its answer. Each question takes 1.2 kB of a link that may
/// be paid for by volume.
const WAIT: Duration = Duration::from_secs(50);
/// How often a server is asked that answers at once, and how often its answer makes something begin.
pub const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The demand for a mount of another server.
#[derive(Clone, Copy, Debug)]
pub struct RemoteDemand<'a> {
    /// The other server.
    pub server: &'a ServerUrl,
    /// The mount's name there.
    pub mount: &'a Name,
    /// With a login that may send to it, the mount is listed there from the first question on.
    pub login: Option<&'a Login>,
}

/// Why it is not known whether a mount is wanted.
#[derive(Debug, thiserror::Error)]
pub enum DemandError {
    /// There is no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server is another one, or an older one.
    #[error("the server does not tell whether a mount is wanted, as silvacast does")]
    Unknown,
}

/// The answer of another silvacast.
#[derive(Deserialize)]
struct DemandAnswer {
    wanted: bool,
}

impl<'a> RemoteDemand<'a> {
    /// The demand for what is pushed.
    pub(super) fn of(forward: &'a ForwardSettings, mount: &'a Name) -> Self {
        Self { server: &forward.to, mount, login: Some(&forward.login) }
    }

    /// Resolves when the server says that the mount is wanted, or that it is not.
    ///
    /// # Errors
    /// [`DemandError`] as soon as the server does not answer the question.
    pub async fn becomes(self, wanted: bool) -> Result<(), DemandError> {
        let path = format!("/api/v1/mounts{}/demand", self.mount);
        let query = format!("?wanted={}&wait={}s", !wanted, WAIT.as_secs());
        loop {
            let asked = Instant::now();
            let identity = Identity { login: self.login, token: None };
            let response = get_late(self.server, &path, &query, identity, WAIT).await;
            let response = match response {
                Err(RequestError::Refused(404 | 405, _)) => return Err(DemandError::Unknown),
                response => response?,
            };
            let text = response.text(MAX_ANSWER).await?;
            let answer: DemandAnswer =
                serde_json::from_str(&text).map_err(|_| DemandError::Unknown)?;
            if answer.wanted == wanted {
                return Ok(());
            }
            // A server that does not wait must not be asked without a pause.
            sleep(LEAST_INTERVAL.saturating_sub(asked.elapsed())).await;
        }
    }

    /// Resolves when the server says that the mount is not wanted any more. While it cannot be asked,
    /// somebody may still listen.
    pub async fn ends(self) {
        while self.becomes(false).await.is_err() {
            sleep(LEAST_INTERVAL).await;
        }
    }
}
