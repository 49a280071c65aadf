//! Where credentials are asked for: one rule for sources, the administrator and listeners.
//!
//! A client that gave too many wrong ones is refused before anything is compared; otherwise a lockout
//! would only change the answer to a wrong guess. A credential that was recently right from the same
//! client is still compared, so a guesser cannot lock out others who share its address.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::auth::{Lockout, Login};
use crate::client_addr::{ClientAddr, network};
use crate::http::Reply;
use crate::log::journal;

/// Right credentials that are remembered.
const MAX_KNOWN: usize = 1024;
/// The same for one client.
const MAX_KNOWN_OF_CLIENT: usize = 32;

/// Lets in who knows a credential, and keeps out who guesses.
#[derive(Debug, Default)]
pub struct LoginGuard {
    state: Mutex<GuardState>,
}

#[derive(Debug, Default)]
struct GuardState {
    lockout: Lockout,
    known: KnownCredentials,
}

/// Credentials that were right, as keyed hashes, with the client that gave them; the latest last.
#[derive(Debug, Default)]
struct KnownCredentials {
    key: RandomState,
    all: VecDeque<(IpAddr, u64)>,
}

impl LoginGuard {
    /// Lets in whoever says one of these logins. `who` is what they are for: `source`, `admin`.
    ///
    /// # Errors
    /// The reply to give: 401 for a wrong login or none, 429 after too many wrong ones.
    pub fn admit(
        &self,
        logins: &[&Login],
        said: Option<&str>,
        client: ClientAddr,
        who: &str,
    ) -> Result<(), Reply> {
        self.try_again(client, said.unwrap_or_default())?;
        let user = logins.first().map_or("", |login| &login.user);
        let unauthorised = |sentence: String| {
            Reply::new(401, sentence)
                .with("WWW-Authenticate", format!("Basic realm=\"silvacast {who}\""))
        };
        let Some(said) = said else {
            return Err(unauthorised(format!("You need to authenticate as user '{user}'.")));
        };
        // All are looked at, whatever the first says.
        if logins.iter().fold(false, |known, login| known | login.is(said)) {
            self.was_right(client, said);
            return Ok(());
        }
        self.was_wrong(client);
        Err(unauthorised(format!("Wrong user or password; the user is '{user}'.")))
    }

    /// Whether this credential of a client may be compared now.
    ///
    /// # Errors
    /// The reply to give if the client has to wait.
    pub fn try_again(&self, client: ClientAddr, credential: &str) -> Result<(), Reply> {
        // If a trusted proxy did not forward a client address, we cannot tell clients apart, so
        // nobody is locked out.
        if client.is_proxy {
            return Ok(());
        }
        let state = self.state();
        let Some(wait) = state.lockout.wait(client.address, Instant::now()) else { return Ok(()) };
        if state.known.has(client.address, credential) {
            return Ok(());
        }
        let sentence = "Too many wrong passwords from this address; try again in a minute.";
        let seconds = wait.as_secs().saturating_add(1);
        Err(Reply::new(429, sentence).with("Retry-After", seconds.to_string()))
    }

    /// Notes that a credential was right.
    pub fn was_right(&self, client: ClientAddr, credential: &str) {
        if !client.is_proxy {
            self.state().known.note(client.address, credential);
        }
    }

    /// Notes that a credential was wrong.
    pub fn was_wrong(&self, client: ClientAddr) {
        if !client.is_proxy && self.state().lockout.record(client.address, Instant::now()) {
            journal!(warn, LOCKOUT, peer = %client.address, "too many wrong passwords in a minute: locked out for a minute");
        }
    }

    fn state(&self) -> MutexGuard<'_, GuardState> {
        // No code can panic while it holds this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownCredentials {
    fn has(&self, client: IpAddr, credential: &str) -> bool {
        self.all.contains(&(network(client), self.key.hash_one(credential)))
    }

    fn note(&mut self, client: IpAddr, credential: &str) {
        let entry = (network(client), self.key.hash_one(credential));
        if let Some(at) = self.all.iter().position(|known| *known == entry) {
            self.all.remove(at);
        }
        let own = self.all.iter().filter(|(client, _)| *client == entry.0).count();
        if own >= MAX_KNOWN_OF_CLIENT {
            let oldest = self.all.iter().position(|(client, _)| *client == entry.0);
            oldest.and_then(|at| self.all.remove(at));
        } else if self.all.len() >= MAX_KNOWN {
            self.all.pop_front();
        }
        self.all.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    const HERE: ClientAddr = client(1);

    const fn client(n: u8) -> ClientAddr {
        let address = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, n));
        ClientAddr { address, is_proxy: false, behind_proxy: false }
    }

    fn status(guard: &LoginGuard, client: ClientAddr, credential: &str) -> Option<u16> {
        guard.try_again(client, credential).err().map(|reply| reply.status)
    }

    #[test]
    fn after_a_lockout_the_right_credential_is_not_even_compared() {
        let guard = LoginGuard::default();
        let login = Login { user: "source".into(), password: Secret::new("right") };
        let right = "Basic c291cmNlOnJpZ2h0";
        for _ in 0..5 {
            let wrong = guard.admit(&[&login], Some("Basic c291cmNlOndyb25n"), HERE, "source");
            assert_eq!(wrong.unwrap_err().status, 401);
        }
        assert_eq!(guard.admit(&[&login], Some(right), HERE, "source").unwrap_err().status, 429);
        assert!(guard.admit(&[&login], Some(right), client(2), "source").is_ok());
    }

    #[test]
    fn who_was_right_lately_is_never_locked_out() {
        let guard = LoginGuard::default();
        guard.was_right(HERE, "mine");
        (0..50).for_each(|_| guard.was_wrong(HERE));
        assert_eq!(status(&guard, HERE, "mine"), None);
        assert_eq!(status(&guard, HERE, "another"), Some(429));
        assert_eq!(status(&guard, client(2), "mine"), Some(429), "its network guesses too");
    }

    #[test]
    fn one_client_cannot_make_the_others_be_forgotten() {
        let guard = LoginGuard::default();
        guard.was_right(HERE, "mine");
        (0..5_000).for_each(|n| guard.was_right(client(2), &n.to_string()));
        assert!(guard.state().known.has(HERE.address, "mine"));
        assert_eq!(guard.state().known.all.len(), 1 + MAX_KNOWN_OF_CLIENT);
        for n in 0..5_000u32 {
            let address = std::net::Ipv4Addr::from_bits(n).into();
            guard.was_right(ClientAddr { address, ..HERE }, "theirs");
        }
        assert_eq!(guard.state().known.all.len(), MAX_KNOWN);
    }
}
