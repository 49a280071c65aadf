//! What happens to mounts, as server-sent events: up, live, gap, down, listeners, title.
//!
//! The last of them are kept in a small ring. A reader has a place in it and no queue: one that does not keep up
//! is dropped, one that comes back says where it was and hears the rest.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout_at};

use super::api::{Clock, Mount, Mounts, date, state};
use crate::crowd;
use crate::mount::{Live, Slot, Table};

/// Events that are kept.
pub const KEPT: usize = 128;
/// Readers there may be at once.
pub const MOST_READERS: usize = 64;
/// What each of them may take of memory, in bytes, beside the list of all mounts that it begins with.
pub const READER_MEMORY: usize = 24 * 1024;
/// What a reader may take to take an event.
const PATIENCE: Duration = Duration::from_secs(10);
/// Changes this close together are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);
/// How often each reader is told the time of each mount, which also shows that it is still there.
const CLOCK: Duration = Duration::from_secs(1);

/// The events, and who made them.
#[derive(Debug)]
pub(super) struct Bulletin {
    /// Tells events of this process from those of another.
    boot: u64,
    events: RefCell<VecDeque<Event>>,
    /// The number of the newest one.
    newest: watch::Sender<u64>,
    /// The clocks of all mounts, and when they were read.
    times: RefCell<Option<(Instant, Bytes)>>,
}

#[derive(Debug)]
struct Event {
    number: u64,
    text: Bytes,
}

/// What is remembered of a mount, to see what changes.
#[derive(PartialEq)]
struct Seen {
    live: Arc<Live>,
    listeners: usize,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Stated<'a> {
    name: &'a str,
    state: &'static str,
    state_since: String,
}

#[derive(Serialize)]
struct Counted<'a> {
    name: &'a str,
    listeners: usize,
}

#[derive(Serialize)]
struct Titled<'a> {
    name: &'a str,
    title: Option<&'a str>,
    artist: Option<&'a str>,
}

#[derive(Serialize)]
struct Timed<'a> {
    name: &'a str,
    #[serde(flatten)]
    clock: Clock,
}

impl Bulletin {
    pub(super) fn new() -> Self {
        let boot = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            boot: boot.as_millis() as u64,
            events: RefCell::default(),
            newest: watch::Sender::new(0),
            times: RefCell::default(),
        }
    }

    /// Watches the table for as long as it is polled.
    pub(super) async fn watch(&self, table: &Table) {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        loop {
            let mounts = table.shown();
            for (slot, live) in &mounts {
                let now = Seen { live: Arc::clone(live), listeners: slot.listeners.taken() };
                let name = slot.name.as_str();
                match seen.get(name) {
                    None => self.say("up", &Mount::of(slot, live)),
                    Some(before) if *before == now => continue,
                    Some(before) => self.say_changes(slot, before, &now),
                }
                seen.insert(name.to_owned(), now);
            }
            seen.retain(|name, _| {
                let there = mounts.iter().any(|(slot, _)| slot.name.as_str() == name);
                if !there {
                    self.say("down", &Named { name });
                }
                there
            });
            table.changed().await;
            sleep(TOGETHER).await;
        }
    }

    fn say_changes(&self, slot: &Arc<Slot>, before: &Seen, now: &Seen) {
        let (name, live) = (slot.name.as_str(), &now.live);
        let anew = (&before.live.codec, &before.live.description, before.live.since)
            != (&live.codec, &live.description, live.since);
        if anew {
            // Another source, or another stream: whatever there is to know of it.
            self.say("up", &Mount::of(slot, live));
        } else if before.live.tags != live.tags {
            let tags = &live.tags;
            let (title, artist) = (tags.title.as_deref(), tags.artist.as_deref());
            self.say("title", &Titled { name, title, artist });
        }
        if !anew && before.live.state != live.state {
            let (state, state_since) = (state(live.state), date(live.state_since));
            self.say(state, &Stated { name, state, state_since });
        }
        if before.listeners != now.listeners {
            self.say("listeners", &Counted { name, listeners: now.listeners });
        }
    }

    fn say(&self, kind: &str, data: &impl Serialize) {
        let number = *self.newest.borrow() + 1;
        let mut events = self.events.borrow_mut();
        if events.len() >= KEPT {
            events.pop_front();
        }
        events.push_back(Event { number, text: frame(Some((self.boot, number)), kind, data) });
        drop(events);
        self.newest.send_replace(number);
    }

    /// Where all mounts are now, the same for all readers that ask at about the same time; a comment where there are none,
    /// so that a reader that has gone is noticed.
    fn times(&self, table: &Table) -> Bytes {
        let mut last = self.times.borrow_mut();
        if let Some((_, times)) = last.as_ref().filter(|(at, _)| at.elapsed() < CLOCK / 4) {
            return times.clone();
        }
        let mut all = Vec::from(&b": still here\n\n"[..]);
        for (slot, _) in table.shown() {
            if let Some(clock) = Clock::of(&slot) {
                all.extend(frame(None, "clock", &Timed { name: slot.name.as_str(), clock }));
            }
        }
        let all = Bytes::from(all);
        *last = Some((Instant::now(), all.clone()));
        all
    }

    /// A place for a reader that was at `last` (`Last-Event-ID`), if that is known and still here.
    pub(super) fn join(
        &self,
        last: Option<&str>,
        in_crowd: crowd::Place,
    ) -> (Place, Channel<Bytes>) {
        let (sender, body) = Channel::new(1);
        let heard = last.and_then(|last| {
            let (boot, number) = last.split_once('-')?;
            let (boot, number): (u64, u64) = (boot.parse().ok()?, number.parse().ok()?);
            let oldest = self.events.borrow().front().map_or(0, |event| event.number - 1);
            (boot == self.boot && (oldest..=*self.newest.borrow()).contains(&number))
                .then_some(number)
        });
        (Place { sender, heard, newest: self.newest.subscribe(), in_crowd }, body)
    }

    /// Serves a reader until it leaves or does not keep up.
    pub(super) async fn serve(&self, mut place: Place, table: &Table) {
        let mut clock = interval(CLOCK);
        let mut next = if let Some(heard) = place.heard {
            heard + 1
        } else {
            let newest = *self.newest.borrow();
            let all = frame(Some((self.boot, newest)), "mounts", &Mounts::of(table));
            if !place.send(all).await {
                return;
            }
            newest + 1
        };
        loop {
            loop {
                let event = {
                    let events = self.events.borrow();
                    match events.front() {
                        Some(oldest) if next < oldest.number => return,
                        Some(oldest) => events
                            .get((next - oldest.number) as usize)
                            .map(|event| event.text.clone()),
                        None => None,
                    }
                };
                let Some(event) = event else { break };
                if !place.send(event).await {
                    return;
                }
                next += 1;
            }
            tokio::select! {
                changed = place.newest.changed() => if changed.is_err() { return },
                _ = clock.tick() => if !place.send(self.times(table)).await { return },
            }
        }
    }
}

/// A reader's place.
pub(super) struct Place {
    sender: Sender<Bytes>,
    /// The last event that it has heard.
    heard: Option<u64>,
    newest: watch::Receiver<u64>,
    in_crowd: crowd::Place,
}

impl Place {
    /// For [`crowd::Crowd::serves`].
    pub(super) fn id(&self) -> usize {
        self.in_crowd.id()
    }

    async fn send(&mut self, text: Bytes) -> bool {
        let until = Instant::now() + PATIENCE;
        matches!(timeout_at(until, self.sender.send_data(text)).await, Ok(Ok(())))
    }
}

/// One event as the stream has it. JSON has no line breaks, so nothing in it can end the event.
fn frame(id: Option<(u64, u64)>, kind: &str, data: &impl Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |(boot, number)| format!("id: {boot}-{number}\n"));
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {kind}\ndata: {data}\n\n").into()
}
