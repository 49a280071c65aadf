//! Where passwords are asked for: one rule for sources, the administrator and listeners.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Lockout, Login};
use crate::events::journal;
use crate::http::{Origin, Reply};

/// Lets in who knows a password, and keeps out who guesses.
#[derive(Debug, Default)]
pub struct Gate {
    lockout: Mutex<Lockout>,
}

impl Gate {
    /// Lets in whoever says one of these logins. `who` is what they are for: `source`, `admin`.
    ///
    /// # Errors
    /// The reply to give: 401 for a wrong login or none, 429 after too many wrong ones.
    pub fn admit(
        &self,
        logins: &[&Login],
        said: Option<&str>,
        origin: Origin,
        who: &str,
    ) -> Result<(), Reply> {
        self.try_again(origin)?;
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
            return Ok(());
        }
        self.was_wrong(origin);
        Err(unauthorised(format!("Wrong user or password; the user is '{user}'.")))
    }

    /// Whether this client may try a password now.
    ///
    /// # Errors
    /// The reply to give if it has to wait.
    pub fn try_again(&self, origin: Origin) -> Result<(), Reply> {
        // What a proxy does not say for whom it asks is held against nobody.
        let wait = if origin.is_proxy {
            None
        } else {
            self.lockout().wait(origin.address, Instant::now())
        };
        let Some(wait) = wait else { return Ok(()) };
        let sentence = "Too many wrong passwords from this address; try again in a minute.";
        Err(Reply::new(429, sentence).with("Retry-After", (wait.as_secs() + 1).to_string()))
    }

    /// Notes a wrong password.
    pub fn was_wrong(&self, origin: Origin) {
        if !origin.is_proxy && self.lockout().note(origin.address, Instant::now()) {
            journal!(warn, LOCKOUT, peer = %origin.address, "five wrong passwords in a minute: locked out for a minute");
        }
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        // No code can panic while it holds this lock.
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
