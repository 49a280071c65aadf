//! Passwords of listeners, kept as bcrypt hashes, and the thread that checks them.
//!
//! One check takes a good part of a second on a small machine, by intention. So it happens on a
//! thread of its own, one after the other, behind a short queue; what was found right is remembered
//! for as long as the process lives, under a key that it made for itself.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::oneshot;

use super::Secret;
use crate::text::entries;

/// Checks that may wait.
const QUEUE: usize = 32;
/// Passwords that are remembered to be right.
const REMEMBERED: usize = 256;
/// How long a check may take, its waiting among it.
const PATIENCE: Duration = Duration::from_secs(8);
/// The most work that a hash may ask for: 2^12 rounds are two or three seconds on the smallest machine.
const MOST_COST: u32 = 12;

/// A htpasswd file with bcrypt hashes: user and hash (`htpasswd -B`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes(Arc<HashMap<String, String>>);

impl Hashes {
    /// Reads the file's text.
    ///
    /// # Errors
    /// The number of the first line that is wrong, and what is.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut users = HashMap::new();
        for (number, line) in entries(text) {
            let wrong = |what: &str| (number, what.to_owned());
            let (user, hash) = line
                .split_once(':')
                .ok_or_else(|| wrong("it takes user:hash, as htpasswd -B writes them"))?;
            let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
            let bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind));
            match cost {
                Some(4..=MOST_COST) if bcrypt && hash.len() == 60 => {}
                _ => {
                    return Err(wrong(
                        "the hash is none of bcrypt with a cost of 4 to 12; htpasswd -B makes one",
                    ));
                }
            }
            users.insert(user.to_owned(), hash.to_owned());
        }
        Ok(Self(Arc::new(users)))
    }

    /// A user's hash.
    pub fn of(&self, user: &str) -> Option<&str> {
        self.0.get(user).map(String::as_str)
    }

    /// Anybody's hash: checking a password against it takes as long as for a user that there is.
    pub fn any(&self) -> Option<&str> {
        self.0.values().next().map(String::as_str)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug)]
struct Check {
    password: Secret,
    hash: String,
    answer: oneshot::Sender<bool>,
}

/// Asks the checking thread; clones ask the same one.
#[derive(Clone, Debug)]
pub struct Checker {
    queue: SyncSender<Check>,
    memory: Arc<Memory>,
}

/// No answer in time: too many were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overwhelmed;

impl Checker {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says where it gives no thread or no random numbers.
    pub fn start() -> std::io::Result<Self> {
        let (queue, checks) = sync_channel::<Check>(QUEUE);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        let memory = Arc::new(Memory { key, right: Mutex::default() });
        let remembered = Arc::clone(&memory);
        std::thread::Builder::new().name("passwords".into()).spawn(move || {
            while let Ok(check) = checks.recv() {
                // Whoever asked may have given up.
                if !check.answer.is_closed() {
                    let right = remembered.check(&check.password, &check.hash);
                    let _ = check.answer.send(right);
                }
            }
        })?;
        Ok(Self { queue, memory })
    }

    /// Whether a password has this hash.
    ///
    /// # Errors
    /// [`Overwhelmed`].
    pub async fn check(&self, password: Secret, hash: String) -> Result<bool, Overwhelmed> {
        if self.memory.remembers(&self.memory.digest(&password, &hash)) {
            return Ok(true);
        }
        let (answer, told) = oneshot::channel();
        self.queue.try_send(Check { password, hash, answer }).map_err(|_| Overwhelmed)?;
        tokio::time::timeout(PATIENCE, told).await.ok().and_then(Result::ok).ok_or(Overwhelmed)
    }
}

/// Passwords that were right, as keyed digests of password and hash; the newest last.
#[derive(Debug)]
struct Memory {
    key: [u8; 32],
    right: Mutex<VecDeque<[u8; 32]>>,
}

impl Memory {
    fn check(&self, password: &Secret, hash: &str) -> bool {
        let digest = self.digest(password, hash);
        let right =
            self.remembers(&digest) || bcrypt::verify(password.expose(), hash).unwrap_or(false);
        if right && !self.remembers(&digest) {
            let mut all = self.right();
            if all.len() >= REMEMBERED {
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

    #[test]
    fn files_of_htpasswd_are_read_and_weaker_ones_are_not() {
        let hash = bcrypt::hash("geheim", 4).unwrap();
        let hashes = Hashes::parse(&format!("# users\n\nanna:{hash}\n")).unwrap();
        assert_eq!((hashes.of("anna"), hashes.of("bert")), (Some(&*hash), None));
        for (text, line) in [
            ("anna", 1),
            ("\nanna:$apr1$x$y", 2),
            ("anna:5f4dcc3b5aa765d61d8327deb882cf99", 1),
            ("anna:$2y$04$short", 1),
            (&*format!("anna:{}", hash.replace("$04$", "$13$")), 1),
        ] {
            assert_eq!(Hashes::parse(text).unwrap_err().0, line, "{text}");
        }
    }

    #[tokio::test]
    async fn right_is_right_also_the_second_time_and_wrong_is_never() {
        let hash = bcrypt::hash("geheim", 4).unwrap();
        let checker = Checker::start().unwrap();
        for _ in 0..2 {
            assert_eq!(checker.check(Secret::new("geheim"), hash.clone()).await, Ok(true));
            assert_eq!(checker.check(Secret::new("geheimer"), hash.clone()).await, Ok(false));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (memory, hash) =
            (Memory { key: [1; 32], right: Mutex::default() }, bcrypt::hash("x", 4).unwrap());
        memory.right().extend((0..REMEMBERED).map(|_| [0; 32]));
        assert!(memory.check(&Secret::new("x"), &hash));
        assert_eq!(memory.right().len(), REMEMBERED);
    }
}
