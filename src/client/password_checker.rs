//! Passwords of listeners, kept as bcrypt hashes, and the thread that checks them.
//!
//! One check takes a good part of a second on a small machine, by intention. So it happens on a
//! thread of its own, one after the other, behind a short queue that no network can fill alone; what
//! was found right is remembered for as long as the process lives, under a key that it made for
//! itself.

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

/// Checks that may wait.
const MAX_WAITING: usize = 32;
/// The same of one client.
const MAX_WAITING_OF_CLIENT: usize = 2;
/// The same of all clients of one [`wide_network`].
const MAX_WAITING_OF_NETWORK: usize = 4;
/// Networks that are remembered to have been wrong.
const MAX_WRONG_NETWORKS: usize = 1024;
/// Passwords that are remembered to be right.
const MAX_VERIFIED: usize = 256;
/// How long a check may take, its waiting among it.
const CHECK_TIMEOUT: Duration = Duration::from_secs(8);
#[derive(Debug)]
struct Check {
    /// `None` for one that comes through a proxy which did not say for whom: nothing is held against it.
    client: Option<IpAddr>,
    password: Secret,
    hash: String,
    answer: oneshot::Sender<bool>,
}

/// Asks the checking thread; clones ask the same one.
#[derive(Clone, Debug)]
pub(crate) struct PasswordChecker {
    queue: Arc<CheckQueue>,
    memory: Arc<VerifiedPasswords>,
}

/// No answer in time: too many were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckerOverloaded;

/// Checks that wait, and who is worth waiting for.
#[derive(Debug, Default)]
struct CheckQueue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The oldest first.
    checks: VecDeque<Check>,
    /// Networks whose last check came out wrong, the latest last: they are served after all others.
    wrong: VecDeque<IpAddr>,
}

impl PasswordChecker {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says where it gives no thread or no random numbers.
    pub(crate) fn start() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        let (queue, memory) = (
            Arc::<CheckQueue>::default(),
            Arc::new(VerifiedPasswords { key, right: Mutex::default() }),
        );
        let (asked, remembered) = (Arc::clone(&queue), Arc::clone(&memory));
        std::thread::Builder::new().name("passwords".into()).spawn(move || {
            loop {
                let check = asked.next();
                // The caller may have dropped the receiver.
                if !check.answer.is_closed() {
                    let right = remembered.check(&check.password, &check.hash);
                    asked.note(check.client, right);
                    let _ = check.answer.send(right);
                }
            }
        })?;
        Ok(Self { queue, memory })
    }

    /// Whether a password of this client has this hash.
    ///
    /// # Errors
    /// [`CheckerOverloaded`].
    pub(crate) async fn check(
        &self,
        client: Option<IpAddr>,
        password: Secret,
        hash: String,
        clock: &Clock,
    ) -> Result<bool, CheckerOverloaded> {
        if self.memory.remembers(&self.memory.digest(&password, &hash)) {
            return Ok(true);
        }
        let (answer, told) = oneshot::channel();
        self.queue.add(Check { client, password, hash, answer })?;
        clock.timeout(CHECK_TIMEOUT, told).await.ok().and_then(Result::ok).ok_or(CheckerOverloaded)
    }
}

impl CheckQueue {
    /// Adds a check, unless its client or its network has enough of them there. Where all places are
    /// taken, the network that has most of them loses its newest, or else one that was wrong lately.
    fn add(&self, check: Check) -> Result<(), CheckerOverloaded> {
        let mut waiting = self.lock();
        waiting.checks.retain(|check| !check.answer.is_closed());
        let of_client = waiting.count(check.client, network);
        let of_network = waiting.count(check.client, wide_network);
        if of_client >= MAX_WAITING_OF_CLIENT || of_network >= MAX_WAITING_OF_NETWORK {
            return Err(CheckerOverloaded);
        }
        if waiting.checks.len() >= MAX_WAITING {
            let loser = waiting.loser(&check, of_network).ok_or(CheckerOverloaded)?;
            // Dropping it drops its sender: that request is answered with 503.
            waiting.checks.remove(loser);
        }
        waiting.checks.push_back(check);
        drop(waiting);
        self.more.notify_one();
        Ok(())
    }

    /// Waits for the next check: the oldest of a network that was not wrong lately, or else the oldest.
    fn next(&self) -> Check {
        let mut waiting = self.lock();
        loop {
            let serious = waiting.checks.iter().position(|check| !waiting.was_wrong(check.client));
            if let Some(check) = waiting.checks.remove(serious.unwrap_or(0)) {
                return check;
            }
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes what came of a check.
    fn note(&self, client: Option<IpAddr>, right: bool) {
        let Some(network) = client.map(wide_network) else { return };
        let mut waiting = self.lock();
        waiting.wrong.retain(|wrong| *wrong != network);
        if !right {
            if waiting.wrong.len() >= MAX_WRONG_NETWORKS {
                waiting.wrong.pop_front();
            }
            waiting.wrong.push_back(network);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code can panic while it holds this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// How many checks there are of clients that are the same as this one, as far as `of` tells.
    fn count(&self, client: Option<IpAddr>, of: fn(IpAddr) -> IpAddr) -> usize {
        let Some(client) = client.map(of) else { return 0 };
        self.checks.iter().filter(|check| check.client.map(of) == Some(client)).count()
    }

    fn was_wrong(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.wrong.contains(&wide_network(client)))
    }

    /// Which check gives way to this one, if any does.
    fn loser(&self, newcomer: &Check, of_network: usize) -> Option<usize> {
        let count = |&at: &usize| self.count(self.checks[at].client, wide_network);
        let greediest = (0..self.checks.len()).max_by_key(count);
        let greedier = greediest.filter(|at| count(at) > of_network.saturating_add(1));
        greedier.or_else(|| {
            let wrong = self.checks.iter().rposition(|check| self.was_wrong(check.client));
            wrong.filter(|_| !self.was_wrong(newcomer.client))
        })
    }
}

/// Passwords that were right, as keyed digests of password and hash; the newest last.
#[derive(Debug)]
struct VerifiedPasswords {
    key: [u8; 32],
    right: Mutex<VecDeque<[u8; 32]>>,
}

impl VerifiedPasswords {
    fn check(&self, password: &Secret, hash: &str) -> bool {
        let digest = self.digest(password, hash);
        let right =
            self.remembers(&digest) || bcrypt::verify(password.expose(), hash).unwrap_or(false);
        if right && !self.remembers(&digest) {
            let mut all = self.right();
            if all.len() >= MAX_VERIFIED {
                all.pop_front();
            }
            all.push_back(digest);
        }
        right
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        self.right().contains(digest)
    }

    fn digest(&self, password: &Secret, hash: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key will do");
        mac.update(hash.as_bytes());
        mac.update(password.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn right(&self) -> MutexGuard<'_, VecDeque<[u8; 32]>> {
        // No code can panic while it holds this lock.
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn right_is_right_also_the_second_time_and_wrong_is_never() {
        let hash = bcrypt::hash("geheim", 4).unwrap();
        let (checker, clock) = (PasswordChecker::start().unwrap(), Clock::start());
        let client = Some(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..2 {
            for (password, right) in [("geheim", true), ("geheimer", false)] {
                let checked = checker.check(client, Secret::new(password), hash.clone(), &clock);
                assert_eq!(checked.await, Ok(right));
            }
        }
    }

    #[test]
    fn no_network_fills_the_queue_alone() {
        let queue = CheckQueue::default();
        let mut told = Vec::new();
        let mut ask = |client: [u8; 4]| {
            let (answer, receiver) = oneshot::channel();
            told.push(receiver);
            let (client, password) = (Some(IpAddr::from(client)), Secret::new("x"));
            queue.add(Check { client, password, hash: String::new(), answer })
        };
        let twenty = (0..20).filter(|&n| ask([192, 0, 2, n]).is_ok()).count();
        assert_eq!(twenty, MAX_WAITING_OF_NETWORK, "twenty addresses of one network");
        assert_eq!(ask([198, 51, 100, 1]), Ok(()), "and another one");
        // Eight networks take all places that are left; a ninth takes one of theirs.
        for (network, host) in (0..8u8).flat_map(|n| (0..4u8).map(move |host| (n, host))) {
            let _ = ask([10, 0, network, host]);
        }
        assert_eq!(queue.lock().checks.len(), MAX_WAITING);
        assert_eq!(ask([203, 0, 113, 1]), Ok(()));
        assert_eq!(queue.lock().checks.len(), MAX_WAITING);
    }

    #[test]
    fn networks_that_were_wrong_lately_wait_for_all_others() {
        let queue = CheckQueue::default();
        let mut told = Vec::new();
        let guesser = |n: u8| Some(IpAddr::from([10, 0, n, 1]));
        let mut ask = |client| {
            let (answer, receiver) = oneshot::channel();
            told.push(receiver);
            queue.add(Check { client, password: Secret::new("x"), hash: String::new(), answer })
        };
        for n in 0..MAX_WAITING as u8 {
            queue.note(guesser(n), false);
            assert_eq!(ask(guesser(n)), Ok(()));
        }
        assert_eq!(ask(guesser(100)), Ok(()), "one that was not wrong yet");
        queue.note(guesser(101), false);
        assert_eq!(ask(guesser(101)), Err(CheckerOverloaded));
        assert_eq!(ask(None), Ok(()), "a proxy that does not say for whom it asks");
        assert_eq!(queue.next().client, guesser(100), "and it is served first");
        assert_eq!(queue.next().client, None);
        assert_eq!(queue.next().client, guesser(0));
    }

    #[test]
    fn memory_is_bounded() {
        let (memory, hash) = (
            VerifiedPasswords { key: [1; 32], right: Mutex::default() },
            bcrypt::hash("x", 4).unwrap(),
        );
        memory.right().extend((0..MAX_VERIFIED).map(|_| [0; 32]));
        assert!(memory.check(&Secret::new("x"), &hash));
        assert_eq!(memory.right().len(), MAX_VERIFIED);
    }
}
