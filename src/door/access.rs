//! Checks who may listen to a mount: its access rules, with the login guards of the door.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::request::Request;
use super::settings::DoorSettings;
use crate::auth::{
    Access, AccessMode, Link, LinkError, MAX_PASSWORD, PresentedCredentials, Verdict, basic,
};
use crate::client::{CheckerOverloaded, LinkRegister, LoginAttempt, LoginGuard, PasswordChecker};
use crate::clock::Clock;
use crate::http::Reply;
use crate::mount::{MountSettings, Name};

/// The login guards of the door. Wrong source passwords do not lock a client out as a listener, and
/// vice versa.
#[derive(Debug)]
pub(crate) struct LoginGuards {
    /// Guards the logins of sources.
    pub(crate) sources: LoginGuard,
    /// Guards the credentials of listeners.
    pub(crate) listeners: LoginGuard,
    /// The links that are known, some of which were revoked.
    pub(crate) links: Arc<LinkRegister>,
    /// Checks listeners' passwords against bcrypt hashes, on a separate thread.
    pub(crate) checker: PasswordChecker,
}

impl LoginGuards {
    /// Checks whether a client may listen to a mount. Returns the end of its access if it came with
    /// a link.
    ///
    /// # Errors
    /// The reply to send if the client may not listen.
    pub(super) async fn check_access(
        &self,
        request: &Request,
        name: &Name,
        settings: &MountSettings,
        clock: &Clock,
    ) -> Result<Option<Instant>, Reply> {
        let access = &settings.access;
        let target = &request.target;
        let authorization = request.head.field("authorization");
        let query_token = target.percent_decoded_parameter("token");
        let bearer = authorization.and_then(|authorization| {
            let (scheme, token) = authorization.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let presented = PresentedCredentials {
            login: authorization.and_then(basic),
            token: bearer.or(query_token.as_deref()),
            link: Link::of_query(target.query()),
            is_relay: self.is_relay(request, name, access)?,
        };
        let (client, guard, is_relay) = (request.client, &self.listeners, presented.is_relay);
        let (name, now) = (name.as_str(), SystemTime::now());
        // With a token or a link, nothing has compared the `Authorization` field.
        let is_login = access.mode == AccessMode::Password && presented.link.is_none();
        let compared = authorization.filter(|_| is_login && presented.login.is_some());
        let attempt = LoginAttempt { client, mount: name, authorization: compared };
        let credential = access.credential(name, &presented);
        if let Some(credential) = &credential {
            guard.check_lockout(attempt, credential)?;
        }
        let key = request.settings.share_key.as_ref();
        let verdict = access.decide(name, client.address, &presented, key, now);
        let verdict = match verdict {
            Verdict::CheckHash { password, hash, known } => {
                let address = (!client.is_proxy).then_some(client.address);
                match self.checker.check(address, password, hash, clock).await {
                    Ok(true) if known => Verdict::Admit,
                    Ok(_) => Verdict::WrongPassword,
                    Err(CheckerOverloaded) => {
                        let sentence = "Too many password checks at once; try again in a moment.";
                        return Err(Reply::new(503, sentence).with("Retry-After", "2"));
                    }
                }
            }
            verdict => verdict,
        };
        let link = presented.link.filter(|_| access.mode != AccessMode::Public);
        let verdict = match &link {
            Some(link) if verdict == Verdict::Admit && !is_relay => {
                let is_valid = self.links.note_use(name, link.expires, now);
                if is_valid { verdict } else { Verdict::BadLink(LinkError::Revoked) }
            }
            _ => verdict,
        };
        match (&verdict, &credential) {
            (Verdict::Admit, Some(credential)) => {
                guard.was_right(client, credential);
                // As the administration and the door to sources would see it.
                if let Some(authorization) = attempt.authorization {
                    guard.was_right(client, authorization);
                }
            }
            (
                Verdict::WrongPassword | Verdict::WrongToken | Verdict::BadLink(LinkError::Forged),
                _,
            ) => {
                let DoorSettings { credentials, rules, .. } = &*request.settings;
                let others = rules.logins(credentials);
                guard.was_wrong(attempt, &others);
            }
            _ => {}
        }
        if let Some(reply) = refusal(&verdict) {
            return Err(reply);
        }
        Ok(link.and_then(|link| link.end(now, Instant::now())))
    }

    /// Whether another server has logged in to relay the mount.
    ///
    /// # Errors
    /// The reply to send if it has the user name of such servers, and another password.
    fn is_relay(&self, request: &Request, name: &Name, access: &Access) -> Result<bool, Reply> {
        let DoorSettings { credentials, rules, .. } = &*request.settings;
        let authorization = request.head.field("authorization");
        let user = authorization.and_then(basic).map(|(user, _)| user);
        let relay = credentials.relay.as_ref().filter(|relay| user.as_ref() == Some(&relay.user));
        // Otherwise nothing is compared.
        let asks = matches!(access.mode, AccessMode::Password | AccessMode::Token);
        let Some(relay) = relay.filter(|_| asks) else { return Ok(false) };
        let attempt = LoginAttempt { client: request.client, mount: name.as_str(), authorization };
        let others = rules.logins(credentials);
        self.listeners.admit(&[relay], &others, attempt)?;
        Ok(true)
    }
}

/// The reply to a client that may not listen; `None` if it may.
fn refusal(verdict: &Verdict) -> Option<Reply> {
    let unauthorized = |scheme: &str, sentence: &str| {
        let challenge = format!("{scheme} realm=\"silvacast listener\"");
        Some(Reply::new(401, sentence).with("WWW-Authenticate", challenge))
    };
    match verdict {
        Verdict::Admit | Verdict::CheckHash { .. } => None,
        Verdict::AskPassword => {
            unauthorized("Basic", "This microphone requires a user name and a password.")
        }
        Verdict::WrongPassword => {
            unauthorized("Basic", "Wrong user name or password for this microphone.")
        }
        Verdict::LongPassword => {
            let sentence = format!("A listener's password has at most {MAX_PASSWORD} bytes.");
            unauthorized("Basic", &sentence)
        }
        Verdict::AskToken => unauthorized("Bearer", "This microphone requires a token."),
        Verdict::WrongToken => {
            unauthorized("Bearer", "This token is not valid for this microphone.")
        }
        Verdict::BadLink(error) => Some(Reply::new(403, format!("Refused: {error}."))),
        Verdict::WrongNetwork => {
            Some(Reply::new(403, "This microphone does not allow listeners from your address."))
        }
        Verdict::Closed => Some(Reply::new(403, "This microphone is closed to listeners.")),
    }
}
