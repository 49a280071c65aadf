//! Server-sent events about mounts: up, live, gap, down, gone, listeners, wanted, unwanted, title,
//! clock, detection; and the time.
//!
//! [`EventLog`] compares the state of all mounts with the previous state, publishes the differences
//! as events and keeps the latest ones. A subscriber has a position in the log and no queue. A
//! subscriber that is new or has fallen behind the log receives the state of all mounts and
//! continues from there. A client that reconnects with `Last-Event-ID` continues after that event.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::api::{MountStatus, OffStatus, StreamClock};
use super::clocks::{ClockSample, MountClocks};
use super::detections::DetectionStatus;
use super::event_data::{
    ClockEvent, ListenersEvent, NameEvent, StateEvent, TitleEvent, encode, time_event,
};
use super::render::{rfc3339, state_name};
use crate::client::AdmissionSlot;
use crate::detections::DetectionLog;
use crate::mount::{Description, MountEntry, MountTable, Name, StreamInfo};

/// Number of events that the log keeps.
pub(crate) const MAX_STORED_EVENTS: usize = 128;
/// Maximum number of subscribers.
pub(crate) const MAX_SUBSCRIBERS: usize = 64;
/// The most detections that are published together. A subscriber that keeps up misses none of them,
/// because the log has room for several times as many.
const MAX_DETECTIONS: usize = 32;
/// Changes within this time are published together.
const BATCH_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum rate at which events are published, in bytes per second. Above it, the table is compared
/// less often, so that several changes of a mount become one event.
const MAX_RATE: u64 = 48 * 1024;
/// Interval of the time events that each subscriber receives, and at which clocks are compared.
/// Sending them also detects subscribers that have disconnected.
const TIME_INTERVAL: Duration = Duration::from_secs(2);

/// Stores the latest events and publishes new ones.
#[derive(Debug)]
pub(super) struct EventLog {
    /// Time at which the log was created, in milliseconds since 1970. It is a part of each event
    /// ID, so IDs of an earlier process are recognized.
    epoch: u64,
    events: RefCell<VecDeque<StoredEvent>>,
    /// Number of the newest event; 0 before the first.
    newest: watch::Sender<u64>,
    /// Total length of all events that were published, in bytes.
    published_bytes: Cell<u64>,
    /// The clocks of all mounts.
    clocks: RefCell<MountClocks>,
    /// When the clocks were last compared; `None` before the first subscriber.
    compared: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct StoredEvent {
    number: u64,
    text: Bytes,
}

/// The state of a mount when it was last compared.
#[derive(PartialEq)]
struct MountSnapshot {
    stream: Arc<StreamInfo>,
    /// What is shown of it, which a reload may change.
    description: Description,
    listeners: usize,
}

impl EventLog {
    pub(super) fn new() -> Self {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            epoch: epoch.as_millis() as u64,
            events: RefCell::default(),
            newest: watch::Sender::new(0),
            published_bytes: Cell::new(0),
            clocks: RefCell::new(MountClocks::new(Instant::now().into_std())),
            compared: Cell::default(),
        }
    }

    /// Publishes an event for each change in the table and for each detection. Never returns.
    pub(super) async fn watch(&self, table: &MountTable, detections: &DetectionLog) {
        let mut snapshots: BTreeMap<String, MountSnapshot> = BTreeMap::new();
        // The mounts without a stream, of which subscribers have been told.
        let mut told_off: BTreeMap<String, OffStatus> = BTreeMap::new();
        let mut told_wanted: BTreeSet<Name> = BTreeSet::new();
        let (mut changes, mut newest) = (table.changes(), detections.newest());
        let mut told_detection = 0;
        loop {
            let bytes_before = self.published_bytes.get();
            let mounts = table.public_streams();
            for (entry, stream) in &mounts {
                let listeners = entry.listeners.taken();
                let description = entry.description(stream);
                let now = MountSnapshot { stream: Arc::clone(stream), description, listeners };
                let name = entry.name.as_str();
                match snapshots.get(name) {
                    None => {
                        self.publish("up", &MountStatus::of(entry, stream));
                    }
                    Some(before) if *before == now => continue,
                    Some(before) => self.publish_changes(entry, before, &now),
                }
                snapshots.insert(name.to_owned(), now);
            }
            let is_streaming = |name: &str| mounts.iter().any(|(it, _)| it.name.as_str() == name);
            let off: BTreeMap<String, OffStatus> = (table.public_off().iter())
                .map(|mount| (mount.name.to_string(), OffStatus::of(mount)))
                .collect();
            for (name, status) in &off {
                if told_off.get(name) != Some(status) {
                    self.publish("down", status);
                }
            }
            let is_gone = |name: &&String| !is_streaming(name) && !off.contains_key(*name);
            let told: BTreeSet<&String> = snapshots.keys().chain(told_off.keys()).collect();
            for name in told.into_iter().filter(is_gone) {
                self.publish("gone", &NameEvent { name });
            }
            snapshots.retain(|name, _| is_streaming(name));
            told_off = off;
            let demands = table.public_demands();
            let wanted = demands.iter().filter(|(_, demand)| demand.is_wanted());
            let wanted: BTreeSet<Name> = wanted.map(|(name, _)| name.clone()).collect();
            for name in wanted.difference(&told_wanted) {
                self.publish("wanted", &NameEvent { name: name.as_str() });
            }
            for name in told_wanted.difference(&wanted) {
                self.publish("unwanted", &NameEvent { name: name.as_str() });
            }
            told_wanted = wanted;
            // Without listeners, the demand ends by itself.
            let lingering = demands.iter().filter(|(_, demand)| demand.listeners == 0);
            let ends = lingering.map(|(_, demand)| demand.lingers).filter(|time| !time.is_zero());
            let ends = ends.min().unwrap_or(Duration::MAX);
            // Not held while waiting: the entries would count against `limits.sources`.
            drop(mounts);
            let latest = *newest.borrow_and_update();
            let heard = detections.after(told_detection, MAX_DETECTIONS);
            told_detection = match heard.last() {
                Some((_, last)) if heard.len() >= MAX_DETECTIONS => last.number,
                // Also of those that are not kept any more.
                _ => latest,
            };
            for (name, detection) in &heard {
                if table.is_listed(name) {
                    self.publish("detection", &DetectionStatus::now(name, detection, table));
                }
            }
            let bytes = self.published_bytes.get().saturating_sub(bytes_before);
            let pause = Duration::from_millis(bytes.saturating_mul(1000) / MAX_RATE);
            sleep(BATCH_INTERVAL.max(pause)).await;
            // Fails only without the table, which this borrows.
            tokio::select! {
                _ = changes.changed() => {}
                _ = newest.wait_for(|newest| *newest > told_detection) => {}
                () = sleep(ends) => {}
            }
            sleep(BATCH_INTERVAL).await;
        }
    }

    fn publish_changes(
        &self,
        entry: &Arc<MountEntry>,
        before: &MountSnapshot,
        now: &MountSnapshot,
    ) {
        let (name, stream) = (entry.name.as_str(), &now.stream);
        let is_replaced = before.description != now.description
            || before.stream.codec != stream.codec
            || before.stream.source.connected.wall != stream.source.connected.wall;
        if is_replaced {
            // Another source, another stream or another description: any field may have changed.
            self.publish("up", &MountStatus::of(entry, stream));
        } else if before.stream.tags != stream.tags {
            let tags = &stream.tags;
            let (title, artist) = (tags.title.as_deref(), tags.artist.as_deref());
            self.publish("title", &TitleEvent { name, title, artist });
        }
        if !is_replaced && before.stream.state != stream.state {
            let (state, state_since) = (state_name(stream.state), rfc3339(stream.state_since.wall));
            self.publish(state, &StateEvent { name, state, state_since });
        }
        if before.listeners != now.listeners {
            self.publish("listeners", &ListenersEvent { name, listeners: now.listeners });
        }
    }

    /// Adds an event to the log and wakes all subscribers. Returns the event's length in bytes.
    fn publish(&self, kind: &str, data: &impl Serialize) -> usize {
        let number = *self.newest.borrow() + 1;
        let mut events = self.events.borrow_mut();
        if events.len() >= MAX_STORED_EVENTS {
            events.pop_front();
        }
        let text = encode(Some((self.epoch, number)), kind, data);
        let length = text.len();
        self.published_bytes.set(self.published_bytes.get().saturating_add(length as u64));
        events.push_back(StoredEvent { number, text });
        drop(events);
        self.newest.send_replace(number);
        length
    }

    /// Compares the clocks of all mounts with what subscribers know, and publishes the changes.
    fn compare_clocks(&self, table: &MountTable) {
        let now = Instant::now();
        // Once for all subscribers whose ticks are close together.
        let earlier = self.compared.get().filter(|then| now < *then + TIME_INTERVAL / 2);
        if earlier.is_some() {
            return;
        }
        self.compared.set(Some(now));
        let mounts = table.public_streams();
        let sample = |(entry, _): &'_ (Arc<MountEntry>, _)| {
            Some((Arc::clone(entry), StreamClock::of(entry)?))
        };
        let clocks: Vec<_> = mounts.iter().filter_map(sample).collect();
        let samples: Vec<_> = clocks
            .iter()
            .map(|(entry, clock)| ClockSample { name: entry.name.as_str(), clock: *clock })
            .collect();
        self.clocks.borrow_mut().sample(&samples, now.into_std(), |name, clock| {
            self.publish("clock", &ClockEvent { name, clock })
        });
    }

    /// Adds a subscriber. It continues after the event `last_event_id`, if the log still has all
    /// events after that one.
    pub(super) fn subscribe(
        &self,
        last_event_id: Option<&str>,
        slot: AdmissionSlot,
    ) -> (Subscriber, Channel<Bytes>) {
        let (sender, body) = Channel::new(1);
        let last_received = last_event_id.and_then(|id| {
            let (epoch, number) = id.split_once('-')?;
            let (epoch, number): (u64, u64) = (epoch.parse().ok()?, number.parse().ok()?);
            let oldest = self.events.borrow().front().map_or(0, |event| event.number - 1);
            (epoch == self.epoch && (oldest..=*self.newest.borrow()).contains(&number))
                .then_some(number)
        });
        (Subscriber { sender, last_received, newest: self.newest.subscribe(), slot }, body)
    }

    /// Sends events to a subscriber until it disconnects.
    pub(super) async fn serve(&self, mut subscriber: Subscriber, table: &MountTable) {
        // The only error is that the subscriber has disconnected.
        let _ = self.send_events(&mut subscriber, table).await;
    }

    async fn send_events(
        &self,
        subscriber: &mut Subscriber,
        table: &MountTable,
    ) -> Result<(), Disconnected> {
        let mut ticks = interval(TIME_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut next = subscriber.last_received.map(|number| number + 1);
        loop {
            match next.and_then(|number| self.event(number)) {
                Some(LoggedEvent::Published(text)) => {
                    subscriber.send(text).await?;
                    next = next.map(|number| number + 1);
                }
                Some(LoggedEvent::Future) => tokio::select! {
                    changed = subscriber.newest.changed() => changed.map_err(|_| Disconnected)?,
                    _ = ticks.tick() => {
                        self.compare_clocks(table);
                        subscriber.send(time_event()).await?;
                    }
                },
                // A new subscriber, or one whose next event is no longer in the log.
                None => {
                    // Before the list, which has all clocks, so that it is not followed by them.
                    self.compare_clocks(table);
                    let newest = *self.newest.borrow();
                    self.send_all_mounts(subscriber, newest, table).await?;
                    next = Some(newest + 1);
                }
            }
        }
    }

    /// Looks up an event by its number. `None` if the log no longer has it.
    fn event(&self, number: u64) -> Option<LoggedEvent> {
        let events = self.events.borrow();
        let Some(oldest) = events.front() else { return Some(LoggedEvent::Future) };
        let index = number.checked_sub(oldest.number)?;
        let event = events.get(index as usize);
        Some(event.map_or(LoggedEvent::Future, |event| LoggedEvent::Published(event.text.clone())))
    }

    /// Sends the state of all mounts as one event. It is sent mount by mount, so that it is never
    /// in memory as a whole.
    async fn send_all_mounts(
        &self,
        subscriber: &mut Subscriber,
        newest: u64,
        table: &MountTable,
    ) -> Result<(), Disconnected> {
        // Weak, because a slow subscriber must not keep a mount in memory, where it would count
        // against `limits.sources`.
        let mounts = table.public_streams();
        let mounts: Vec<(Weak<MountEntry>, Arc<StreamInfo>)> =
            mounts.into_iter().map(|(entry, stream)| (Arc::downgrade(&entry), stream)).collect();
        let head = format!("id: {}-{newest}\nevent: mounts\ndata: {{\"mounts\":[", self.epoch);
        subscriber.send(head.into()).await?;
        let mut first = true;
        for (entry, stream) in mounts {
            let Some(entry) = entry.upgrade() else { continue };
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            let mount =
                serde_json::to_string(&MountStatus::of(&entry, &stream)).unwrap_or_default();
            drop(entry);
            subscriber.send(format!("{comma}{mount}").into()).await?;
        }
        let off: Vec<_> = table.public_off().iter().map(OffStatus::of).collect();
        let off = serde_json::to_string(&off).unwrap_or_default();
        let demands = table.public_demands().into_iter();
        let wanted = demands.filter(|(_, demand)| demand.is_wanted());
        let wanted: Vec<String> = wanted.map(|(name, _)| name.to_string()).collect();
        let wanted = serde_json::to_string(&wanted).unwrap_or_default();
        let end = format!("],\"off\":{off},\"wanted\":{wanted}}}\n\n");
        subscriber.send(end.into()).await
    }
}

/// The result of looking up an event that has not been removed from the log.
enum LoggedEvent {
    /// The encoded event.
    Published(Bytes),
    /// The event has not been published yet.
    Future,
}

/// The subscriber has disconnected.
struct Disconnected;

/// A client that receives events.
pub(super) struct Subscriber {
    sender: Sender<Bytes>,
    /// Number of the last event that it has received, from `Last-Event-ID`.
    last_received: Option<u64>,
    newest: watch::Receiver<u64>,
    slot: AdmissionSlot,
}

impl Subscriber {
    /// Identifies its slot, for [`Admission::set_task`](crate::client::Admission::set_task).
    pub(super) fn id(&self) -> usize {
        self.slot.id()
    }

    /// Sends a part of the stream, and waits until there is room for it.
    /// `TrackedSocket::wait_for_stall` limits that time.
    async fn send(&mut self, text: Bytes) -> Result<(), Disconnected> {
        self.sender.send_data(text).await.map_err(|_| Disconnected)
    }
}
