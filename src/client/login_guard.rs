//! Checks credentials, with the same lockout for sources, listeners and the administrator.
//!
//! A client that presented too many wrong credentials is refused before its credential is compared.
//! Otherwise it could still find out whether a guess is right. A credential that was right lately
//! from the same client is still compared, so a guesser cannot lock out others who share its
//! address.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::auth::{Lockout, Login};
use crate::client_addr::{ClientAddr, network};
use crate::http::Reply;
use crate::log::journal;

/// How many right credentials are remembered.
const MAX_KNOWN: usize = 1024;
/// How many of them may be of one client.
const MAX_KNOWN_OF_CLIENT: usize = 32;

/// Checks credentials and locks out clients that guess.
#[derive(Debug, Default)]
pub(crate) struct LoginGuard {
    state: Mutex<GuardState>,
}

#[derive(Debug, Default)]
struct GuardState {
    lockout: Lockout,
    known: KnownCredentials,
}

/// Credentials that were right, as keyed hashes, with the client that presented them.
#[derive(Debug, Default)]
struct KnownCredentials {
    key: RandomState,
    /// The newest last.
    entries: VecDeque<(IpAddr, u64)>,
}

impl LoginGuard {
    /// Checks an `Authorization` field against these logins. `role` is what they are for, `source`
    /// or `admin`, and becomes a part of the realm.
    ///
    /// # Errors
    /// The response to send: 401 if the login is wrong or missing, 429 if the client is locked out.
    pub(crate) fn admit(
        &self,
        logins: &[&Login],
        authorization: Option<&str>,
        client: ClientAddr,
        role: &str,
    ) -> Result<(), Reply> {
        self.check_lockout(client, authorization.unwrap_or_default())?;
        let user = logins.first().map_or("", |login| &login.user);
        let unauthorized = |sentence: String| {
            Reply::new(401, sentence)
                .with("WWW-Authenticate", format!("Basic realm=\"silvacast {role}\""))
        };
        let Some(authorization) = authorization else {
            return Err(unauthorized(format!("You need to authenticate as user '{user}'.")));
        };
        // Compare with all logins, so that the time does not reveal which one matched.
        if logins.iter().fold(false, |matched, login| matched | login.is(authorization)) {
            self.was_right(client, authorization);
            return Ok(());
        }
        self.was_wrong(client);
        Err(unauthorized(format!("Wrong user or password; the user is '{user}'.")))
    }

    /// Checks that the client is not locked out, or that this credential was right lately.
    ///
    /// # Errors
    /// The response to send (429) if the credential must not be compared.
    pub(crate) fn check_lockout(&self, client: ClientAddr, credential: &str) -> Result<(), Reply> {
        // If a trusted proxy did not forward a client address, we cannot tell clients apart, so
        // nobody is locked out.
        if client.is_proxy {
            return Ok(());
        }
        let state = self.state();
        let Some(wait) = state.lockout.wait(client.address, Instant::now()) else { return Ok(()) };
        if state.known.contains(client.address, credential) {
            return Ok(());
        }
        let sentence = "Too many wrong passwords from this address; try again in a minute.";
        let seconds = wait.as_secs().saturating_add(1);
        Err(Reply::new(429, sentence).with("Retry-After", seconds.to_string()))
    }

    /// Records that a credential was right.
    pub(crate) fn was_right(&self, client: ClientAddr, credential: &str) {
        if !client.is_proxy {
            self.state().known.insert(client.address, credential);
        }
    }

    /// Records that a credential was wrong.
    pub(crate) fn was_wrong(&self, client: ClientAddr) {
        if !client.is_proxy && self.state().lockout.record(client.address, Instant::now()) {
            journal!(
                warn,
                LOCKOUT,
                peer = %client.address,
                "too many wrong passwords within a minute; locked out for a minute"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, GuardState> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownCredentials {
    fn contains(&self, client: IpAddr, credential: &str) -> bool {
        self.entries.contains(&(network(client), self.key.hash_one(credential)))
    }

    fn insert(&mut self, client: IpAddr, credential: &str) {
        let entry = (network(client), self.key.hash_one(credential));
        if let Some(at) = self.entries.iter().position(|known| *known == entry) {
            self.entries.remove(at);
        }
        let of_client = self.entries.iter().filter(|(client, _)| *client == entry.0).count();
        if of_client >= MAX_KNOWN_OF_CLIENT {
            let oldest = self.entries.iter().position(|(client, _)| *client == entry.0);
            oldest.and_then(|at| self.entries.remove(at));
        } else if self.entries.len() >= MAX_KNOWN {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
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

    fn status(guard: &LoginGuard, client: ClientAddr, credential: &str) -> Option<u16> {
        guard.check_lockout(client, credential).err().map(|reply| reply.status)
    }

    #[test]
    fn a_locked_out_client_is_refused_even_with_the_right_credential() {
        let guard = LoginGuard::default();
        let login = Login { user: "source".into(), password: Secret::new("right") };
        let right = "Basic c291cmNlOnJpZ2h0";
        for _ in 0..5 {
            let wrong = guard.admit(&[&login], Some("Basic c291cmNlOndyb25n"), CLIENT, "source");
            assert_eq!(wrong.unwrap_err().status, 401);
        }
        assert_eq!(guard.admit(&[&login], Some(right), CLIENT, "source").unwrap_err().status, 429);
        assert!(guard.admit(&[&login], Some(right), client(2), "source").is_ok());
    }

    #[test]
    fn a_credential_that_was_right_lately_is_never_locked_out() {
        let guard = LoginGuard::default();
        guard.was_right(CLIENT, "mine");
        (0..50).for_each(|_| guard.was_wrong(CLIENT));
        assert_eq!(status(&guard, CLIENT, "mine"), None);
        assert_eq!(status(&guard, CLIENT, "another"), Some(429));
        assert_eq!(
            status(&guard, client(2), "mine"),
            Some(429),
            "another client of the same network"
        );
    }

    #[test]
    fn one_client_cannot_displace_the_known_credentials_of_others() {
        let guard = LoginGuard::default();
        guard.was_right(CLIENT, "mine");
        (0..5_000).for_each(|n| guard.was_right(client(2), &n.to_string()));
        assert!(guard.state().known.contains(CLIENT.address, "mine"));
        assert_eq!(guard.state().known.entries.len(), 1 + MAX_KNOWN_OF_CLIENT);
        for n in 0..5_000u32 {
            let address = std::net::Ipv4Addr::from_bits(n).into();
            guard.was_right(ClientAddr { address, ..CLIENT }, "theirs");
        }
        assert_eq!(guard.state().known.entries.len(), MAX_KNOWN);
    }
}
