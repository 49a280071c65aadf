//! Checks credentials, with the same lockout for sources, listeners and the administrator.
//!
//! A client that presented too many wrong credentials is refused before its credential is compared.
//! Otherwise it could still find out whether a guess is right. A credential that was right lately
//! from the same client is still compared, so a guesser cannot lock out others who share its
//! address. And one that is right for something else is no guess: browsers send a login to every
//! page of a server, and encoders send theirs to the administration.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::auth::{LockedOut, Lockout, Login, basic};
use crate::client_addr::{ClientAddr, network};
use crate::http::{Reply, redacted_path};
use crate::log::journal;
use crate::text::sanitize;

/// How many right credentials are remembered.
const MAX_KNOWN: usize = 1024;
/// How many of them may be of one client.
const MAX_KNOWN_OF_CLIENT: usize = 32;

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    /// To send to a mount.
    Source,
    /// To listen to a mount.
    Listener,
    /// To administer the server.
    Admin,
    /// To post detections of a mount.
    Detector,
}

/// Checks credentials of one kind and locks out clients that guess. Clones share what they know.
#[derive(Clone, Debug)]
pub(crate) struct LoginGuard {
    kind: CredentialKind,
    lockout: Arc<Mutex<Lockout>>,
    known: KnownCredentials,
}

/// Who presents a credential, and for which mount.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginAttempt<'a> {
    pub(crate) client: ClientAddr,
    /// The name of the mount; empty if the credential is not for one.
    pub(crate) mount: &'a str,
    /// The `Authorization` field, if that is what is compared.
    pub(crate) authorization: Option<&'a str>,
}

/// Credentials of all kinds that were right, as keyed hashes, with the client that presented them.
/// Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownCredentials {
    key: RandomState,
    /// The newest last.
    entries: Arc<Mutex<VecDeque<(IpAddr, u64)>>>,
}

impl CredentialKind {
    /// The kind's name in realms and in the log.
    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Listener => "listener",
            Self::Admin => "admin",
            Self::Detector => "detector",
        }
    }
}

impl LoginGuard {
    /// A guard for one kind of credentials.
    pub(crate) fn new(kind: CredentialKind, known: &KnownCredentials) -> Self {
        Self { kind, lockout: Arc::default(), known: known.clone() }
    }

    /// The name of the kind of credentials that it checks.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.name()
    }

    /// All that are locked out.
    pub(crate) fn locked_out(&self) -> Vec<LockedOut> {
        self.lockout().all(Instant::now())
    }

    /// Checks an `Authorization` field against these logins. Those in `others` are right for
    /// something else.
    ///
    /// # Errors
    /// The response to send: 401 if the login is wrong or missing, 429 if the client is locked out.
    pub(crate) fn admit(
        &self,
        logins: &[&Login],
        others: &[&Login],
        attempt: LoginAttempt<'_>,
    ) -> Result<(), Reply> {
        self.check_lockout(attempt, attempt.authorization.unwrap_or_default())?;
        let user = logins.first().map_or("", |login| &login.user);
        let unauthorized = |sentence: String| {
            let name = self.kind.name();
            // A detector may send its password as a token (RFC 6750).
            let bearer = if self.kind == CredentialKind::Detector { ", Bearer" } else { "" };
            let challenge = format!("Basic realm=\"silvacast {name}\"{bearer}");
            Reply::new(401, sentence).with("WWW-Authenticate", challenge)
        };
        let Some(authorization) = attempt.authorization else {
            return Err(unauthorized(format!("You need to authenticate as user '{user}'.")));
        };
        if is_any_of(logins, authorization) {
            self.was_right(attempt.client, authorization);
            return Ok(());
        }
        self.was_wrong(attempt, others);
        Err(unauthorized(format!("Wrong user or password; the user is '{user}'.")))
    }

    /// Checks that the client is not locked out, or that this credential was right lately.
    ///
    /// # Errors
    /// The response to send (429) if the credential must not be compared.
    pub(crate) fn check_lockout(
        &self,
        attempt: LoginAttempt<'_>,
        credential: &str,
    ) -> Result<(), Reply> {
        let client = attempt.client;
        // If a trusted proxy did not forward a client address, we cannot tell clients apart, so
        // nobody is locked out.
        if client.is_proxy {
            return Ok(());
        }
        let wait = self.lockout().wait(client.address, self.scope(attempt), Instant::now());
        let Some(wait) = wait else { return Ok(()) };
        if self.known.contains(client.address, credential) {
            return Ok(());
        }
        let sentence = "Too many wrong passwords from this address; try again in a minute.";
        let seconds = wait.as_secs().saturating_add(1);
        Err(Reply::new(429, sentence).with("Retry-After", seconds.to_string()))
    }

    /// Records that a credential was right.
    pub(crate) fn was_right(&self, client: ClientAddr, credential: &str) {
        if !client.is_proxy {
            self.known.insert(client.address, credential);
        }
    }

    /// Records that a credential was wrong, unless it is right for something else: one of `others`,
    /// or what was right lately from the same client.
    pub(crate) fn was_wrong(&self, attempt: LoginAttempt<'_>, others: &[&Login]) {
        let address = attempt.client.address;
        let is_right_elsewhere = |authorization: &str| {
            is_any_of(others, authorization) || self.known.contains(address, authorization)
        };
        if attempt.client.is_proxy || attempt.authorization.is_some_and(is_right_elsewhere) {
            return;
        }
        if self.lockout().record(address, self.scope(attempt), Instant::now()) {
            let user = attempt.authorization.and_then(basic).map(|(user, _)| sanitize(&user));
            let mount = sanitize(redacted_path(attempt.mount));
            journal!(
                warn,
                LOCKOUT,
                peer = %address,
                kind = self.kind.name(),
                mount,
                user,
                "too many wrong passwords within a minute; locked out for a minute"
            );
        }
    }

    /// What attempts are counted for. The encoders and the detectors of a station often share an
    /// address, and retry for ever, so each mount counts for itself.
    fn scope<'a>(&self, attempt: LoginAttempt<'a>) -> &'a str {
        match self.kind {
            CredentialKind::Source | CredentialKind::Detector => attempt.mount,
            CredentialKind::Listener | CredentialKind::Admin => "",
        }
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares with all logins, so that the time does not reveal which one matched.
fn is_any_of(logins: &[&Login], authorization: &str) -> bool {
    logins.iter().fold(false, |matched, login| matched | login.is(authorization))
}

impl KnownCredentials {
    fn contains(&self, client: IpAddr, credential: &str) -> bool {
        self.entries().contains(&(network(client), self.key.hash_one(credential)))
    }

    fn insert(&self, client: IpAddr, credential: &str) {
        let mut entries = self.entries();
        let entry = (network(client), self.key.hash_one(credential));
        if let Some(at) = entries.iter().position(|known| *known == entry) {
            entries.remove(at);
        }
        let of_client = entries.iter().filter(|(client, _)| *client == entry.0).count();
        if of_client >= MAX_KNOWN_OF_CLIENT {
            let oldest = entries.iter().position(|(client, _)| *client == entry.0);
            oldest.and_then(|at| entries.remove(at));
        } else if entries.len() >= MAX_KNOWN {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<(IpAddr, u64)>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    const CLIENT: ClientAddr = client(1);

    const fn client(n: u8) -> ClientAddr {
        let address = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, n));
        ClientAddr { address, is_proxy: false, proxies: 0 }
    }

    /// An attempt at `/m`.
    fn attempt(client: ClientAddr, authorization: &str) -> LoginAttempt<'_> {
        LoginAttempt { client, mount: "/m", authorization: Some(authorization) }
    }

    fn status(guard: &LoginGuard, client: ClientAddr, credential: &str) -> Option<u16> {
        guard.check_lockout(attempt(client, ""), credential).err().map(|reply| reply.status)
    }

    fn guard() -> LoginGuard {
        LoginGuard::new(CredentialKind::Source, &KnownCredentials::default())
    }

    fn login(password: &str) -> Login {
        Login { user: "source".into(), password: Secret::new(password) }
    }

    const RIGHT: &str = "Basic c291cmNlOnJpZ2h0";
    const WRONG: &str = "Basic c291cmNlOndyb25n";

    #[test]
    fn a_locked_out_client_is_refused_even_with_the_right_credential() {
        let (guard, right) = (guard(), login("right"));
        let admit = |client, authorization| {
            let admitted = guard.admit(&[&right], &[], attempt(client, authorization));
            admitted.map_err(|reply| reply.status)
        };
        for _ in 0..5 {
            assert_eq!(admit(CLIENT, WRONG), Err(401));
        }
        assert_eq!(admit(CLIENT, RIGHT), Err(429));
        assert_eq!(admit(client(2), RIGHT), Ok(()));
        let other = LoginAttempt { mount: "/other", ..attempt(CLIENT, RIGHT) };
        assert!(guard.admit(&[&right], &[], other).is_ok(), "another encoder at the same address");
    }

    #[test]
    fn a_credential_that_was_right_lately_is_never_locked_out() {
        let guard = guard();
        guard.was_right(CLIENT, "mine");
        (0..50).for_each(|_| guard.was_wrong(attempt(CLIENT, WRONG), &[]));
        assert_eq!(status(&guard, CLIENT, "mine"), None);
        assert_eq!(status(&guard, CLIENT, "another"), Some(429));
        assert_eq!(
            status(&guard, client(2), "mine"),
            Some(429),
            "another client of the same network"
        );
    }

    #[test]
    fn what_is_right_for_something_else_is_no_guess() {
        let known = KnownCredentials::default();
        let (sources, admin) = (
            LoginGuard::new(CredentialKind::Source, &known),
            LoginGuard::new(CredentialKind::Admin, &known),
        );
        let (right, other) = (login("right"), login("other"));
        for _ in 0..50 {
            let refused = admin.admit(&[&other], &[&right], attempt(CLIENT, RIGHT)).unwrap_err();
            assert_eq!(refused.status, 401);
        }
        // The same, if the other credential is known only because it was right there.
        sources.admit(&[&right], &[], attempt(CLIENT, RIGHT)).unwrap();
        (0..50).for_each(|_| admin.was_wrong(attempt(CLIENT, RIGHT), &[]));
        assert_eq!(status(&admin, CLIENT, "x"), None);
    }

    #[test]
    fn one_client_cannot_displace_the_known_credentials_of_others() {
        let guard = guard();
        guard.was_right(CLIENT, "mine");
        (0..5_000).for_each(|n| guard.was_right(client(2), &n.to_string()));
        assert!(guard.known.contains(CLIENT.address, "mine"));
        assert_eq!(guard.known.entries().len(), 1 + MAX_KNOWN_OF_CLIENT);
        for n in 0..5_000u32 {
            let address = std::net::Ipv4Addr::from_bits(n).into();
            guard.was_right(ClientAddr { address, ..CLIENT }, "theirs");
        }
        assert_eq!(guard.known.entries().len(), MAX_KNOWN);
    }
}
