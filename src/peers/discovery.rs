//! Keeps up with the mounts that another server has: by its events if it is a silvacast, else by its
//! stream list or its status, which are requested again and again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::backoff::Backoff;
use super::client::{Identity, RequestError, Response, get, within};
use super::directory::{PeerEntry, PeerState};
use super::limits::{MAX_LIST, MAX_LISTED};
use super::lists::{ListedMounts, event_lines, status_mounts, stream_list};
use super::settings::RelaySettings;
use crate::mount::Name;

/// How often a list is requested that does not report changes.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// The least time between two changes of what is pulled.
const CHANGE_INTERVAL: Duration = Duration::from_millis(200);
/// The least time between two reads of events.
const READ_INTERVAL: Duration = Duration::from_millis(10);

/// How long a server may send nothing. Its events have the time every two seconds.
const SILENCE: Duration = Duration::from_secs(20);

/// The kinds of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListKind {
    Events,
    StreamList,
    Status,
}

/// Reports the mounts that the server lists and the relay wants, whenever they change. Never
/// resolves. While the server is away, its mounts stay what they were. `entry` shows how it goes.
pub(super) async fn follow_mounts(
    relay: &RelaySettings,
    entry: &PeerEntry,
    mut report: impl FnMut(&BTreeSet<Name>),
) {
    let (mut backoff, mut kind) = (Backoff::default(), None);
    let mut known = KnownNames { relay, names: BTreeSet::new() };
    loop {
        let began = Instant::now();
        let read = read_list(relay, entry, &mut kind, &mut known, &mut report).await;
        let pause = match read {
            Ok(()) => {
                backoff = Backoff::default();
                POLL_INTERVAL
            }
            Err(error) => {
                // A server that is away may take a while to say so.
                let lasted = if entry.is_connected() { began.elapsed() } else { Duration::ZERO };
                let delay = backoff.next(lasted);
                entry.fail(&error.to_string(), delay);
                kind = None;
                delay
            }
        };
        sleep(pause).await;
    }
}

/// The names that are known, of those that the relay wants.
struct KnownNames<'r> {
    relay: &'r RelaySettings,
    names: BTreeSet<Name>,
}

impl KnownNames<'_> {
    /// Whether something has changed.
    ///
    /// # Errors
    /// [`RequestError::TooMany`] if reports of single mounts, which have no end, are of too many.
    fn take(&mut self, listed: ListedMounts) -> Result<bool, RequestError> {
        let wanted = |name: &Name| self.relay.local_name(name).is_some();
        Ok(match listed {
            ListedMounts::All(all) => {
                let all: BTreeSet<_> = all.into_iter().filter(wanted).take(MAX_LISTED).collect();
                let has_changed = all != self.names;
                self.names = all;
                has_changed
            }
            ListedMounts::There(name) => {
                let is_new = wanted(&name) && !self.names.contains(&name);
                if is_new && self.names.len() >= MAX_LISTED {
                    return Err(RequestError::TooMany(MAX_LISTED));
                }
                is_new && self.names.insert(name)
            }
            ListedMounts::Gone(name) => self.names.remove(&name),
        })
    }
}

/// Reads a list of the kind that the server was found to have. Events are read until they end.
async fn read_list(
    relay: &RelaySettings,
    entry: &PeerEntry,
    kind: &mut Option<ListKind>,
    known: &mut KnownNames<'_>,
    report: &mut impl FnMut(&BTreeSet<Name>),
) -> Result<(), RequestError> {
    let identity = Identity { login: relay.login.as_ref(), token: relay.token.as_ref() };
    let with_login = relay.login.as_ref().map(|_| ListKind::StreamList);
    let all = [Some(ListKind::Events), with_login, Some(ListKind::Status)];
    let candidates: Vec<_> =
        kind.map_or_else(|| all.into_iter().flatten().collect(), |it| vec![it]);
    let mut refused = None;
    for candidate in candidates {
        let (path, types, what) = match candidate {
            ListKind::Events => ("/api/v1/events", ["text/event-stream"], "events"),
            ListKind::StreamList => ("/admin/streamlist.txt", ["text/plain"], "a list of streams"),
            ListKind::Status => ("/status-json.xsl", ["application/json"], "its status"),
        };
        let response = match get(&relay.from, path, identity).await {
            Ok(response) => response,
            // Another kind of server, or another login.
            Err(error @ RequestError::Refused(..)) => {
                refused = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = response.expect_type(&types, what) {
            refused = Some(error);
            continue;
        }
        *kind = Some(candidate);
        if candidate == ListKind::Events {
            entry.set(PeerState::Connected);
            return read_events(response, known, report).await;
        }
        let text = response.text(MAX_LIST).await?;
        let names = match candidate {
            ListKind::StreamList => Some(stream_list(&text)),
            _ => status_mounts(&text, &relay.from.prefix),
        };
        let names =
            names.ok_or_else(|| RequestError::WrongType("another document".into(), what))?;
        entry.set(PeerState::Connected);
        if known.take(ListedMounts::All(names))? {
            report(&known.names);
        }
        return Ok(());
    }
    Err(refused.unwrap_or(RequestError::NotHttp))
}

/// Reads events until the connection ends.
async fn read_events(
    mut response: Response,
    known: &mut KnownNames<'_>,
    report: &mut impl FnMut(&BTreeSet<Name>),
) -> Result<(), RequestError> {
    let (mut buffer, mut event, mut data) = (Vec::new(), String::new(), String::new());
    loop {
        let mut has_changed = false;
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event),
                Some(("data", text)) => text.clone_into(&mut data),
                Some(_) => {}
                None => {
                    if let Some(listed) = event_lines(&event, &data) {
                        has_changed |= known.take(listed)?;
                    }
                    event.clear();
                    data.clear();
                }
            }
        }
        // A server that never pauses must not keep this thread busy.
        let pause = if has_changed {
            report(&known.names);
            CHANGE_INTERVAL
        } else {
            READ_INTERVAL
        };
        sleep(pause).await;
        if buffer.len() > MAX_LIST {
            return Err(RequestError::TooLong(MAX_LIST));
        }
        if within(SILENCE, response.next(&mut buffer)).await? == 0 {
            return Err(RequestError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
