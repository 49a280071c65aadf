//! Checks listeners' passwords against bcrypt hashes, on a separate thread.
//!
//! bcrypt is slow by design: one check takes a good part of a second on a small machine. The thread
//! runs one check at a time. Its queue is short, and no single network can fill it. Passwords that
//! were right are remembered until the process ends, as digests under a random key.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::oneshot;

use crate::auth::Secret;
use crate::client_addr::{network, wide_network};
use crate::clock::Clock;

/// How many checks may wait.
const MAX_WAITING_CHECKS: usize = 32;
/// How many of them may be for one client.
const MAX_WAITING_CHECKS_OF_CLIENT: usize = 2;
/// How many of them may be for one [`wide_network`].
const MAX_WAITING_CHECKS_OF_NETWORK: usize = 4;
/// How many networks with wrong passwords are remembered.
const MAX_WRONG_NETWORKS: usize = 1024;
/// How many right passwords are remembered.
const MAX_VERIFIED: usize = 256;
/// How long a check may take, including the time in the queue.
const CHECK_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug)]
struct Check {
    /// `None` if a proxy did not forward the client's address. Such checks are not limited per
    /// client.
    client: Option<IpAddr>,
    password: Secret,
    hash: String,
    result: oneshot::Sender<bool>,
}

/// A handle to the checking thread. Clones share the thread.
#[derive(Clone, Debug)]
pub(crate) struct PasswordChecker {
    queue: Arc<CheckQueue>,
    verified: Arc<VerifiedPasswords>,
}

/// Too many checks were waiting, or the check was not finished in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckerOverloaded;

/// The queue of the checking thread.
#[derive(Debug, Default)]
struct CheckQueue {
    waiting: Mutex<Waiting>,
    not_empty: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The oldest first.
    checks: VecDeque<Check>,
    /// Networks whose last password was wrong, the newest last. Their checks run after all others.
    wrong: VecDeque<IpAddr>,
}

impl PasswordChecker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's error if it provides no thread or no random numbers.
    pub(crate) fn start() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        let checker = Self {
            queue: Arc::default(),
            verified: Arc::new(VerifiedPasswords { key, digests: Mutex::default() }),
        };
        let Self { queue, verified } = checker.clone();
        std::thread::Builder::new().name("passwords".into()).spawn(move || {
            loop {
                let check = queue.next();
                // The caller may have given up and dropped the receiver.
                if !check.result.is_closed() {
                    let is_right = verified.check(&check.password, &check.hash);
                    queue.record(check.client, is_right);
                    let _ = check.result.send(is_right);
                }
            }
        })?;
        Ok(checker)
    }

    /// Whether a password that this client presented has this bcrypt hash.
    ///
    /// # Errors
    /// [`CheckerOverloaded`] if too many checks are waiting.
    pub(crate) async fn check(
        &self,
        client: Option<IpAddr>,
        password: Secret,
        hash: String,
        clock: &Clock,
    ) -> Result<bool, CheckerOverloaded> {
        if self.verified.contains(&self.verified.digest(&password, &hash)) {
            return Ok(true);
        }
        let (result, receiver) = oneshot::channel();
        self.queue.add(Check { client, password, hash, result })?;
        let received = clock.timeout(CHECK_TIMEOUT, receiver).await;
        received.ok().and_then(Result::ok).ok_or(CheckerOverloaded)
    }
}

impl CheckQueue {
    /// Adds a check, unless its client or network has too many waiting. If the queue is full,
    /// removes the check that [`Waiting::victim`] selects.
    fn add(&self, check: Check) -> Result<(), CheckerOverloaded> {
        let mut waiting = self.lock();
        waiting.checks.retain(|check| !check.result.is_closed());
        let of_client = waiting.count(check.client, network);
        let of_network = waiting.count(check.client, wide_network);
        if of_client >= MAX_WAITING_CHECKS_OF_CLIENT || of_network >= MAX_WAITING_CHECKS_OF_NETWORK
        {
            return Err(CheckerOverloaded);
        }
        if waiting.checks.len() >= MAX_WAITING_CHECKS {
            let victim = waiting.victim(&check, of_network).ok_or(CheckerOverloaded)?;
            // This drops the sender of its result, so that request is answered with 503.
            waiting.checks.remove(victim);
        }
        waiting.checks.push_back(check);
        drop(waiting);
        self.not_empty.notify_one();
        Ok(())
    }

    /// Waits for the next check: the oldest of a network that was not wrong lately, or else the
    /// oldest of all.
    fn next(&self) -> Check {
        let mut waiting = self.lock();
        loop {
            let preferred =
                waiting.checks.iter().position(|check| !waiting.was_wrong(check.client));
            if let Some(check) = waiting.checks.remove(preferred.unwrap_or(0)) {
                return check;
            }
            waiting = self.not_empty.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records the result of a check for the client's network.
    fn record(&self, client: Option<IpAddr>, is_right: bool) {
        let Some(network) = client.map(wide_network) else { return };
        let mut waiting = self.lock();
        waiting.wrong.retain(|wrong| *wrong != network);
        if !is_right {
            if waiting.wrong.len() >= MAX_WRONG_NETWORKS {
                waiting.wrong.pop_front();
            }
            waiting.wrong.push_back(network);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The number of checks from the client's network. `network_of` maps an address to its network.
    fn count(&self, client: Option<IpAddr>, network_of: fn(IpAddr) -> IpAddr) -> usize {
        let Some(network) = client.map(network_of) else { return 0 };
        self.checks.iter().filter(|check| check.client.map(network_of) == Some(network)).count()
    }

    fn was_wrong(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.wrong.contains(&wide_network(client)))
    }

    /// The index of the check that is removed for `newcomer`: the newest check of the network with
    /// the most checks, if it has more than the newcomer's network would have; or else the newest
    /// check of a network that was wrong lately, if the newcomer's network was not. `of_network` is
    /// the number of checks from the newcomer's network.
    fn victim(&self, newcomer: &Check, of_network: usize) -> Option<usize> {
        let count = |&at: &usize| self.count(self.checks[at].client, wide_network);
        let largest = (0..self.checks.len()).max_by_key(count);
        let larger = largest.filter(|at| count(at) > of_network.saturating_add(1));
        larger.or_else(|| {
            let wrong = self.checks.iter().rposition(|check| self.was_wrong(check.client));
            wrong.filter(|_| !self.was_wrong(newcomer.client))
        })
    }
}

/// Passwords that were right, as HMAC-SHA256 digests of hash and password.
#[derive(Debug)]
struct VerifiedPasswords {
    key: [u8; 32],
    /// The newest last.
    digests: Mutex<VecDeque<[u8; 32]>>,
}

impl VerifiedPasswords {
    fn check(&self, password: &Secret, hash: &str) -> bool {
        let digest = self.digest(password, hash);
        let is_right =
            self.contains(&digest) || bcrypt::verify(password.expose(), hash).unwrap_or(false);
        if is_right && !self.contains(&digest) {
            let mut digests = self.digests();
            if digests.len() >= MAX_VERIFIED {
                digests.pop_front();
            }
            digests.push_back(digest);
        }
        is_right
    }

    fn contains(&self, digest: &[u8; 32]) -> bool {
        self.digests().contains(digest)
    }

    fn digest(&self, password: &Secret, hash: &str) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC accepts keys of any length");
        mac.update(hash.as_bytes());
        mac.update(password.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn digests(&self) -> MutexGuard<'_, VecDeque<[u8; 32]>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_passes_on_each_attempt() {
        let hash = bcrypt::hash("geheim", 4).unwrap();
        let (checker, clock) = (PasswordChecker::start().unwrap(), Clock::start());
        let client = Some(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..2 {
            for (password, is_right) in [("geheim", true), ("geheimer", false)] {
                let checked = checker.check(client, Secret::new(password), hash.clone(), &clock);
                assert_eq!(checked.await, Ok(is_right));
            }
        }
    }

    #[test]
    fn no_network_fills_the_queue_alone() {
        let queue = CheckQueue::default();
        let mut receivers = Vec::new();
        let mut add = |client: [u8; 4]| {
            let (result, receiver) = oneshot::channel();
            receivers.push(receiver);
            let (client, password) = (Some(IpAddr::from(client)), Secret::new("x"));
            queue.add(Check { client, password, hash: String::new(), result })
        };
        let accepted = (0..20).filter(|&n| add([192, 0, 2, n]).is_ok()).count();
        assert_eq!(accepted, MAX_WAITING_CHECKS_OF_NETWORK, "twenty addresses of one network");
        assert_eq!(add([198, 51, 100, 1]), Ok(()), "another network");
        // Eight more networks fill the queue. The next one displaces a check of theirs.
        for (network, host) in (0..8u8).flat_map(|n| (0..4u8).map(move |host| (n, host))) {
            let _ = add([10, 0, network, host]);
        }
        assert_eq!(queue.lock().checks.len(), MAX_WAITING_CHECKS);
        assert_eq!(add([203, 0, 113, 1]), Ok(()));
        assert_eq!(queue.lock().checks.len(), MAX_WAITING_CHECKS);
    }

    #[test]
    fn checks_of_networks_that_were_wrong_lately_run_last() {
        let queue = CheckQueue::default();
        let mut receivers = Vec::new();
        let client = |n: u8| Some(IpAddr::from([10, 0, n, 1]));
        let mut add = |client| {
            let (result, receiver) = oneshot::channel();
            receivers.push(receiver);
            queue.add(Check { client, password: Secret::new("x"), hash: String::new(), result })
        };
        for n in 0..MAX_WAITING_CHECKS as u8 {
            queue.record(client(n), false);
            assert_eq!(add(client(n)), Ok(()));
        }
        assert_eq!(add(client(100)), Ok(()), "a network that was not wrong yet");
        queue.record(client(101), false);
        assert_eq!(add(client(101)), Err(CheckerOverloaded));
        assert_eq!(add(None), Ok(()), "a proxy that does not forward the client's address");
        assert_eq!(queue.next().client, client(100), "not wrong yet, so it runs first");
        assert_eq!(queue.next().client, None);
        assert_eq!(queue.next().client, client(0));
    }

    #[test]
    fn the_number_of_verified_passwords_is_bounded() {
        let verified = VerifiedPasswords { key: [1; 32], digests: Mutex::default() };
        let hash = bcrypt::hash("x", 4).unwrap();
        verified.digests().extend((0..MAX_VERIFIED).map(|_| [0; 32]));
        assert!(verified.check(&Secret::new("x"), &hash));
        assert_eq!(verified.digests().len(), MAX_VERIFIED);
    }
}
