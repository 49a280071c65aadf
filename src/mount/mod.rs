//! A mount: where one source's pages go in and any number of listeners take them out.
//!
//! A [`Mount`] has a home among the data-plane threads, where its source is. A source has a
//! [`Claim`] on it, the only way to publish. It holds the mount from the moment it begins a stream,
//! over whoever held it before: a source that turns out to send no stream takes nothing from
//! anybody. The stream outlives its source: the next one goes on with it, and silence stands in
//! until then, or until the hold time is over. Readers on any thread have a [`View`] of it.

mod air;
mod claim;
mod feed;
mod keeper;
mod meter;
mod name;
mod ring;
mod roster;
mod seats;
mod settings;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;

pub use air::{Air, Look, OnAir, View};
pub use claim::{Claim, Loss, Lost};
pub use keeper::keep;
pub use meter::{Counter, Counters, Gauge, MOST_THREADS, Meter, Totals};
pub use name::{MAX_NAME, Name, NameError, Pattern};
pub use ring::{Cursor, Lag, MIN_RING, Ring};
pub use roster::{Entry, Guest, Roster};
pub use seats::{PerClient, Seat, Seats};
pub use settings::{Burst, Gap, Rules, Settings};
pub use table::{Description, Live, NoPlace, Slot, State, Table, Wanted};

use claim::{Desk, Introduction};
use feed::{Feed, Idle};

use crate::clock::Moment;
use crate::log::journal;
use crate::text::tame;
use ogg_splice::{Headers, Page, Tags};

/// One mount.
#[derive(Debug)]
pub struct Mount {
    /// Memory for audio, in bytes, here and in each replica.
    ring: usize,
    home: usize,
    /// Locked before `air` where both are needed.
    desk: Mutex<Desk>,
    air: RwLock<Air>,
    /// One for each thread that may have listeners.
    bells: Box<[Notify]>,
    /// Tells the keeper that what it waits for may have changed.
    stirred: Notify,
    /// Dropped last: it stands for the memory of all the above.
    slot: Arc<Slot>,
}

impl Mount {
    /// A mount without a source, on thread `home` of `threads`; its ring is allocated here.
    pub fn new(slot: Arc<Slot>, home: usize, threads: usize) -> Arc<Self> {
        let ring = slot.settings().ring;
        let mount = Arc::new(Self {
            ring,
            home,
            desk: Mutex::default(),
            air: RwLock::new(Air::new(ring)),
            bells: (0..threads).map(|_| Notify::new()).collect(),
            stirred: Notify::new(),
            slot,
        });
        mount.slot.set_mount(&mount);
        mount
    }

    /// Whether a source has a claim on it or its stream goes on without one.
    pub fn is_wanted(&self) -> bool {
        let desk = self.desk();
        desk.is_claimed() || desk.feed.is_some()
    }

    /// What the control plane sees of it.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Ends the stream for its listeners, with EOS, and takes the mount off the air.
    pub fn end(&self) {
        self.end_stream(&mut self.desk());
    }

    /// Ends the source that is heard, as its administrator wishes; false if there is none.
    pub fn evict(&self) -> bool {
        let mut desk = self.desk();
        let evicted = desk.evict();
        if evicted {
            self.source_left(&mut desk);
        }
        evicted
    }

    /// Gives what is on the air another title, until its source says one.
    pub fn retitle(&self, tags: Tags) {
        if let Some(live) = self.slot.live() {
            self.slot.set_live(Some(Live { tags, ..Live::clone(&live) }));
        }
    }

    /// Puts a source's stream on the air.
    fn begin(&self, desk: &mut Desk, source: &Introduction<'_>, now: Moment) {
        let before = desk.feed.is_some();
        let joined = desk.feed.as_mut().and_then(|feed| feed.join(source.headers));
        let spliced = joined.is_some();
        let (headers, ended) = if let Some(headers) = joined {
            (headers, None)
        } else {
            let before = desk.feed.as_ref();
            let (feed, headers) = Feed::begin(source.headers, before, &self.slot.settings(), now);
            (headers, desk.feed.replace(feed))
        };
        self.show(&headers, source, ended);
        self.slot.counters.splices.add(u64::from(spliced));
        self.stirred.notify_one();
        let (mount, codec) = (self.slot.name.as_str(), headers.codec.name());
        let channels = headers.codec.channels();
        let tags_left_out = (headers.tags_left_out > 0).then_some(headers.tags_left_out);
        match (spliced, before) {
            (true, _) => journal!(
                info,
                STREAM_SPLICED,
                mount,
                codec,
                channels,
                tags_left_out,
                "the stream goes on with a new beginning"
            ),
            (false, true) => journal!(
                warn,
                STREAM_CHAINED,
                mount,
                codec,
                channels,
                tags_left_out,
                "another kind of stream began; some players do not go on"
            ),
            (false, false) => {
                journal!(info, STREAM_BEGAN, mount, codec, channels, tags_left_out, "stream began");
            }
        }
    }

    /// Lets listeners join with these headers, and status see whose they are. A stream that `ended` for this
    /// one ends in the same moment: no thread sees the time between them, or its listeners would be hung up on.
    fn show(&self, headers: &Headers, source: &Introduction<'_>, ended: Option<Feed>) {
        let before = self.slot.live().filter(|_| ended.is_none());
        let (state, state_since, state_began) = match before {
            Some(live) => (live.state, live.state_since, live.state_began),
            None => (State::Live, SystemTime::now(), Instant::now()),
        };
        let live = Live {
            codec: headers.codec.clone(),
            tags: sanitized(&headers.tags),
            tags_left_out: headers.tags_left_out,
            description: source.description.clone(),
            since: source.since,
            began: source.began,
            bytes_before: source.bytes_before,
            state,
            state_since,
            state_began,
        };
        let mut air = self.air_mut();
        if let Some(mut feed) = ended {
            air.end(&mut feed);
        }
        let since = if let Some(stream) = &air.stream {
            stream.since
        } else {
            air.ring.begin_stream(headers.codec.granules_per_second());
            air.ring.head()
        };
        air.stream = Some(Arc::new(OnAir { headers: headers.clone(), since }));
        drop(air);
        self.slot.set_live(Some(live));
        self.ring_bells();
    }

    /// Publishes what becomes of a source's page.
    fn publish(&self, desk: &mut Desk, page: &Page<'_>, now: Moment) {
        let Some(feed) = &mut desk.feed else { return };
        let was_in_gap = feed.is_in_gap();
        let mut air = self.air_mut();
        feed.push(page, now, |page| air.ring.publish(page));
        drop(air);
        self.account(feed);
        // Status is about real time.
        let real = now.real();
        self.slot.meter.came(real, feed.page_samples(), feed.rate());
        self.slot.meter.went(real, feed.granule());
        if was_in_gap && !feed.is_in_gap() {
            self.enter(State::Live);
            self.stirred.notify_one();
        }
    }

    /// Does what is due while no source does anything.
    fn idle(&self, now: Moment) -> Idle {
        let mut desk = self.desk();
        let Some(feed) = &mut desk.feed else { return Idle::Forever };
        let was_in_gap = feed.is_in_gap();
        let mut air = self.air_mut();
        let before = air.ring.head();
        let idle = feed.idle(now, |page| air.ring.publish(page));
        let news = air.ring.head() > before;
        drop(air);
        self.account(feed);
        if news {
            self.slot.meter.went(now.real(), feed.granule());
        }
        if !was_in_gap && feed.is_in_gap() {
            self.enter(State::Gap);
        }
        if idle == Idle::Over {
            journal!(
                info,
                STREAM_ENDED,
                mount = self.slot.name.as_str(),
                "no source came back; the stream has ended"
            );
            self.end_stream(&mut desk);
        } else if news {
            self.ring_bells();
        }
        idle
    }

    /// The source that was heard is gone.
    fn source_left(&self, desk: &mut Desk) {
        if desk.feed.as_ref().is_some_and(Feed::ends_with_its_source) {
            self.end_stream(desk);
        }
    }

    fn end_stream(&self, desk: &mut Desk) {
        let Some(mut feed) = desk.feed.take() else { return };
        self.air_mut().end(&mut feed);
        self.slot.set_live(None);
        self.ring_bells();
    }

    fn account(&self, feed: &mut Feed) {
        let stats = feed.take_stats();
        self.slot.counters.silence.add(stats.silence);
        self.slot.counters.late.add(stats.late);
    }

    /// Shows whether a source is heard.
    fn enter(&self, state: State) {
        let Some(live) = self.slot.live() else { return };
        let (state_since, state_began) = (SystemTime::now(), Instant::now());
        let seconds = live.state_began.elapsed().as_secs_f32();
        let mount = self.slot.name.as_str();
        match state {
            State::Gap => {
                self.slot.counters.gaps.add(1);
                journal!(info, GAP_BEGAN, mount, "nothing comes from the source");
            }
            State::Live => {
                journal!(info, GAP_ENDED, mount, seconds, "the source is heard again");
            }
        }
        let live = Live { state, state_since, state_began, ..Live::clone(&live) };
        self.slot.set_live(Some(live));
    }

    fn ring_bells(&self) {
        for bell in &self.bells {
            bell.notify_one();
        }
    }

    // No code can panic while it holds one of these locks, so poisoning says nothing.

    fn air(&self) -> RwLockReadGuard<'_, Air> {
        self.air.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn air_mut(&self) -> RwLockWriteGuard<'_, Air> {
        self.air.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tags fit to be shown: their texts come from the encoder.
fn sanitized(tags: &Tags) -> Tags {
    let text = |text: &Option<String>| text.as_deref().map(tame);
    Tags { title: text(&tags.title), artist: text(&tags.artist) }
}
