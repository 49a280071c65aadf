//! What happens to mounts, as server-sent events: up, live, gap, down, listeners, title.
//!
//! The last of them are kept in a small ring. A reader has a place in it and no queue. One that falls behind what
//! is kept is sent the state of all mounts, as at its beginning, and goes on from there: a slow link costs it what
//! happened in between, and nothing else. One that comes back says where it was and hears the rest.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::api::{MountStatus, StreamClock};
use super::render::{date, state};
use crate::client::AdmissionSlot;
use crate::mount::{MountEntry, StreamInfo, Table};

/// Events that are kept.
pub(crate) const MAX_STORED_EVENTS: usize = 128;
/// Readers there may be at once.
pub(crate) const MAX_SUBSCRIBERS: usize = 64;
/// Changes this close together are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Events are made no faster than this, in bytes per second: changes that come meanwhile are one event.
const PACE: u64 = 48 * 1024;
/// How often each reader is told the time of each mount, which also shows that it is still there.
const CLOCK: Duration = Duration::from_secs(1);

/// The events, and who made them.
#[derive(Debug)]
pub(super) struct EventLog {
    /// Tells events of this process from those of another.
    boot: u64,
    events: RefCell<VecDeque<StoredEvent>>,
    /// The number of the newest one.
    newest: watch::Sender<u64>,
    /// Bytes of all events ever.
    said: Cell<u64>,
    /// The clocks of all mounts, and when they were read.
    times: RefCell<Option<(Instant, Bytes)>>,
}

#[derive(Debug)]
struct StoredEvent {
    number: u64,
    text: Bytes,
}

/// What is remembered of a mount, to see what changes.
#[derive(PartialEq)]
struct Seen {
    stream: Arc<StreamInfo>,
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
    clock: StreamClock,
}

impl EventLog {
    pub(super) fn new() -> Self {
        let boot = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            boot: boot.as_millis() as u64,
            events: RefCell::default(),
            newest: watch::Sender::new(0),
            said: Cell::new(0),
            times: RefCell::default(),
        }
    }

    /// Watches the table for as long as it is polled.
    pub(super) async fn watch(&self, table: &Table) {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        loop {
            let before = self.said.get();
            let mounts = table.public_streams();
            for (entry, stream) in &mounts {
                let now = Seen { stream: Arc::clone(stream), listeners: entry.listeners.taken() };
                let name = entry.name.as_str();
                match seen.get(name) {
                    None => self.say("up", &MountStatus::of(entry, stream)),
                    Some(before) if *before == now => continue,
                    Some(before) => self.say_changes(entry, before, &now),
                }
                seen.insert(name.to_owned(), now);
            }
            seen.retain(|name, _| {
                let there = mounts.iter().any(|(entry, _)| entry.name.as_str() == name);
                if !there {
                    self.say("down", &Named { name });
                }
                there
            });
            // Not held while nothing happens: it would count against the limit on mounts.
            drop(mounts);
            let said = self.said.get().saturating_sub(before);
            sleep(TOGETHER.max(Duration::from_millis(said.saturating_mul(1000) / PACE))).await;
            table.changed().await;
            sleep(TOGETHER).await;
        }
    }

    fn say_changes(&self, entry: &Arc<MountEntry>, before: &Seen, now: &Seen) {
        let (name, stream) = (entry.name.as_str(), &now.stream);
        let anew = (
            &before.stream.codec,
            &before.stream.source.description,
            before.stream.source.connected.wall,
        ) != (&stream.codec, &stream.source.description, stream.source.connected.wall);
        if anew {
            // Another source, or another stream: whatever there is to know of it.
            self.say("up", &MountStatus::of(entry, stream));
        } else if before.stream.tags != stream.tags {
            let tags = &stream.tags;
            let (title, artist) = (tags.title.as_deref(), tags.artist.as_deref());
            self.say("title", &Titled { name, title, artist });
        }
        if !anew && before.stream.state != stream.state {
            let (state, state_since) = (state(stream.state), date(stream.state_since.wall));
            self.say(state, &Stated { name, state, state_since });
        }
        if before.listeners != now.listeners {
            self.say("listeners", &Counted { name, listeners: now.listeners });
        }
    }

    fn say(&self, kind: &str, data: &impl Serialize) {
        let number = *self.newest.borrow() + 1;
        let mut events = self.events.borrow_mut();
        if events.len() >= MAX_STORED_EVENTS {
            events.pop_front();
        }
        let text = frame(Some((self.boot, number)), kind, data);
        self.said.set(self.said.get().saturating_add(text.len() as u64));
        events.push_back(StoredEvent { number, text });
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
        for (entry, _) in table.public_streams() {
            if let Some(clock) = StreamClock::of(&entry) {
                all.extend(frame(None, "clock", &Timed { name: entry.name.as_str(), clock }));
            }
        }
        let all = Bytes::from(all);
        *last = Some((Instant::now(), all.clone()));
        all
    }

    /// A place for a reader that was at `last` (`Last-StoredEvent-ID`), if that is known and still here.
    pub(super) fn join(
        &self,
        last: Option<&str>,
        permit: AdmissionSlot,
    ) -> (Subscriber, Channel<Bytes>) {
        let (sender, body) = Channel::new(1);
        let heard = last.and_then(|last| {
            let (boot, number) = last.split_once('-')?;
            let (boot, number): (u64, u64) = (boot.parse().ok()?, number.parse().ok()?);
            let oldest = self.events.borrow().front().map_or(0, |event| event.number - 1);
            (boot == self.boot && (oldest..=*self.newest.borrow()).contains(&number))
                .then_some(number)
        });
        (Subscriber { sender, heard, newest: self.newest.subscribe(), permit }, body)
    }

    /// Serves a reader until it leaves.
    pub(super) async fn serve(&self, mut place: Subscriber, table: &Table) {
        // Whether it can still be sent to is what counts: an error means that it has left.
        let _ = self.feed(&mut place, table).await;
    }

    async fn feed(&self, place: &mut Subscriber, table: &Table) -> Result<(), Gone> {
        let mut clock = interval(CLOCK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut next = place.heard.map(|heard| heard + 1);
        loop {
            match next.and_then(|number| self.event(number)) {
                Some(Kept::Event(text)) => {
                    place.send(text).await?;
                    next = next.map(|number| number + 1);
                }
                Some(Kept::None) => tokio::select! {
                    changed = place.newest.changed() => changed.map_err(|_| Gone)?,
                    _ = clock.tick() => place.send(self.times(table)).await?,
                },
                // It has heard nothing yet, or what it would hear next is not kept any more.
                None => {
                    let newest = *self.newest.borrow();
                    self.snapshot(place, newest, table).await?;
                    next = Some(newest + 1);
                }
            }
        }
    }

    /// The event of this number; `None` if it is not kept any more.
    fn event(&self, number: u64) -> Option<Kept> {
        let events = self.events.borrow();
        let Some(oldest) = events.front() else { return Some(Kept::None) };
        let at = number.checked_sub(oldest.number)?;
        Some(events.get(at as usize).map_or(Kept::None, |event| Kept::Event(event.text.clone())))
    }

    /// Sends the state of all mounts as one event, mount by mount, so that the whole of it is never in memory.
    async fn snapshot(
        &self,
        place: &mut Subscriber,
        newest: u64,
        table: &Table,
    ) -> Result<(), Gone> {
        // A reader that takes its time must not keep a mount in its place.
        let mounts = table.public_streams();
        let mounts: Vec<(Weak<MountEntry>, Arc<StreamInfo>)> =
            mounts.into_iter().map(|(entry, stream)| (Arc::downgrade(&entry), stream)).collect();
        let id = format!("id: {}-{newest}\nevent: mounts\ndata: {{\"mounts\":[", self.boot);
        place.send(id.into()).await?;
        let mut first = true;
        for (entry, stream) in mounts {
            let Some(entry) = entry.upgrade() else { continue };
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            let mount =
                serde_json::to_string(&MountStatus::of(&entry, &stream)).unwrap_or_default();
            drop(entry);
            place.send(format!("{comma}{mount}").into()).await?;
        }
        place.send(Bytes::from_static(b"]}\n\n")).await
    }
}

/// What there is of an event.
enum Kept {
    Event(Bytes),
    /// It has not happened yet.
    None,
}

/// The reader has left.
struct Gone;

/// A reader's place.
pub(super) struct Subscriber {
    sender: Sender<Bytes>,
    /// The last event that it has heard.
    heard: Option<u64>,
    newest: watch::Receiver<u64>,
    permit: AdmissionSlot,
}

impl Subscriber {
    /// For [`Admission::held_by`](crate::client::Admission::held_by).
    pub(super) fn id(&self) -> usize {
        self.permit.id()
    }

    /// Waits until there is room for it; who never makes any is the connection's affair.
    async fn send(&mut self, text: Bytes) -> Result<(), Gone> {
        self.sender.send_data(text).await.map_err(|_| Gone)
    }
}

/// One event as the stream has it. JSON has no line breaks, so nothing in it can end the event.
fn frame(id: Option<(u64, u64)>, kind: &str, data: &impl Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |(boot, number)| format!("id: {boot}-{number}\n"));
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {kind}\ndata: {data}\n\n").into()
}
