//! The half of a mount that belongs to one thread: its sources, and the stream that they send.
//!
//! Everything here runs synchronously on the mount's home thread. The only lock per page is the one
//! around the page log, which is held while a page is copied into the ring.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ogg_splice::{Headers, Page, SpliceStats, Tags};
use tokio::sync::Notify;

use super::logical_stream::{IdleOutcome, LogicalStream};
use super::operator::Operator;
use super::page_log::{JoinPoint, PageLog};
use super::shared::SharedMount;
use super::source_slots::SourceSlots;
use super::stream_info::{SourceInfo, SourceState, StreamInfo};
use crate::clock::{Moment, Timestamp};
use crate::log::journal;
use crate::text::sanitize;

/// The home half of a mount.
#[derive(Debug)]
pub struct HomeMount {
    slots: RefCell<SourceSlots>,
    /// The stream that listeners get. It outlives its source by up to `hold`.
    stream: RefCell<Option<LogicalStream>>,
    /// A title that was set before the source's headers had come.
    early_tags: RefCell<Option<Tags>>,
    /// Wakes the gap filler, because its deadline may have changed.
    pub(super) changed: Notify,
    /// Declared last, so dropped last: the mount counts against `limits.sources` until the memory
    /// of the fields above is freed.
    shared: Arc<SharedMount>,
}

impl HomeMount {
    /// The home half of a mount without a source. Create only one per mount, on its home thread.
    pub fn new(shared: Arc<SharedMount>) -> Rc<Self> {
        Rc::new(Self {
            slots: RefCell::default(),
            stream: RefCell::default(),
            early_tags: RefCell::default(),
            changed: Notify::new(),
            shared,
        })
    }

    /// The half that other threads may use.
    pub fn shared(&self) -> &Arc<SharedMount> {
        &self.shared
    }

    /// Whether a source has a claim on the mount, or the stream continues without one.
    pub fn is_wanted(&self) -> bool {
        self.slots.borrow().is_claimed() || self.stream.borrow().is_some()
    }

    /// Ends the stream for its listeners, with an EOS page.
    pub fn end(&self) {
        let Some(mut stream) = self.stream.take() else { return };
        self.end_pages(&mut self.shared.pages_mut(), &mut stream);
        self.shared.entry().set_stream(None);
        self.shared.wake_readers();
    }

    /// Ends the stream in the log of pages. The pause in which it ends is a part of it.
    fn end_pages(&self, pages: &mut PageLog, stream: &mut LogicalStream) {
        if stream.is_in_gap() && stream.pauses_in_gaps() {
            let pause = self.shared.entry().gauges.pause(Instant::now());
            pages.history.pause(stream.granule(), pause);
        }
        pages.end(stream);
    }

    /// Ends a stream that continues without a source, to make room for another mount.
    pub fn give_way(&self) {
        if self.has_stream() {
            journal!(
                info,
                STREAM_ENDED,
                mount = self.shared.entry().name.as_str(),
                "another mount needs the place; the stream has ended"
            );
        }
        self.end();
    }

    /// Disconnects the live source for an administrator; returns false if no source is live.
    pub fn evict(&self, by: Arc<Operator>) -> bool {
        let evicted = self.slots().evict(by);
        if evicted {
            self.source_left();
        }
        evicted
    }

    /// Replaces the stream's title and artist until its source sends new ones: in the status, and in
    /// the headers of listeners that join from now on. Without a stream, they are for the one that
    /// a connected source begins next.
    pub fn retitle(&self, tags: Tags) {
        if self.slots().has_newcomer() {
            *self.early_tags.borrow_mut() = Some(tags.clone());
        }
        let entry = self.shared.entry();
        let Some(stream) = entry.stream() else { return };
        let mut pages = self.shared.pages_mut();
        if let Some(join) = &pages.stream
            && let Some(headers) = join.headers.retitled(&self.tags_in_stream(&tags))
        {
            pages.stream = Some(Arc::new(JoinPoint { headers, start: join.start }));
        }
        drop(pages);
        entry.set_stream(Some(StreamInfo { tags, ..StreamInfo::clone(&stream) }));
    }

    /// The tags that listeners get in the headers: without a title, the mount's own from the
    /// configuration. A source's title is the title of what is heard, so it comes first.
    fn tags_in_stream(&self, tags: &Tags) -> Tags {
        let own = || self.shared.entry().settings().title.clone();
        Tags { title: tags.title.clone().or_else(own), artist: tags.artist.clone() }
    }

    /// The headers of the source that was the newcomer, with a title that was set before they came.
    pub(super) fn with_early_tags(&self, headers: Headers) -> Headers {
        self.early_tags.take().and_then(|tags| headers.retitled(&tags)).unwrap_or(headers)
    }

    /// Forgets a title that was set for a source that has not begun its stream.
    pub(super) fn forget_early_tags(&self) {
        self.early_tags.take();
    }

    pub(super) fn slots(&self) -> RefMut<'_, SourceSlots> {
        self.slots.borrow_mut()
    }

    /// Makes a source's stream live: continues the current stream if possible, and replaces it
    /// otherwise.
    pub(super) fn begin(&self, headers: &Headers, source: &SourceInfo, now: Moment) {
        let mut current = self.stream.borrow_mut();
        let had_stream = current.is_some();
        let continued = current.as_mut().and_then(|stream| stream.join(headers, now));
        let spliced = continued.is_some();
        let (headers, ended) = if let Some(headers) = continued {
            (headers, None)
        } else {
            let settings = self.shared.entry().settings();
            let (stream, headers) = LogicalStream::new(headers, current.as_ref(), &settings, now);
            (headers, current.replace(stream))
        };
        drop(current);
        self.open(&headers, source, ended);
        self.shared.entry().counters.splices.add(u64::from(spliced));
        self.changed.notify_one();
        let (mount, codec) = (self.shared.entry().name.as_str(), headers.codec.name());
        let channels = headers.codec.channels();
        let tags_left_out = (headers.tags_left_out > 0).then_some(headers.tags_left_out);
        match (spliced, had_stream) {
            (true, _) => journal!(
                info,
                STREAM_SPLICED,
                mount,
                codec,
                channels,
                tags_left_out,
                "the stream continues with a new source"
            ),
            (false, true) => journal!(
                warn,
                STREAM_CHAINED,
                mount,
                codec,
                channels,
                tags_left_out,
                "a stream in another format began; some players stop here"
            ),
            (false, false) => {
                journal!(info, STREAM_BEGAN, mount, codec, channels, tags_left_out, "stream began");
            }
        }
    }

    /// Lets listeners join with these headers, and shows the stream in status. The replaced stream
    /// `ended` ends under the same lock: if a reader saw the mount without a stream, it would
    /// disconnect its listeners.
    fn open(&self, headers: &Headers, source: &SourceInfo, ended: Option<LogicalStream>) {
        let entry = self.shared.entry();
        let (state, state_since) = match entry.stream().filter(|_| ended.is_none()) {
            Some(stream) => (stream.state, stream.state_since),
            None => (SourceState::Live, Timestamp::now()),
        };
        let mut pages = self.shared.pages_mut();
        if let Some(mut stream) = ended {
            self.end_pages(&mut pages, &mut stream);
        }
        let start = match &pages.stream {
            Some(stream) => stream.start,
            None => pages.begin(headers, &entry.settings()),
        };
        pages.history.source_is(source.description.agent.as_deref());
        let in_stream = self.tags_in_stream(&headers.tags);
        let is_changed = in_stream != headers.tags;
        let joined = if is_changed { headers.retitled(&in_stream) } else { None };
        let joined = joined.unwrap_or_else(|| headers.clone());
        pages.stream = Some(Arc::new(JoinPoint { headers: joined, start }));
        drop(pages);
        entry.set_stream(Some(StreamInfo {
            codec: headers.codec.clone(),
            tags: sanitized(&headers.tags),
            tags_left_out: headers.tags_left_out,
            source: source.clone(),
            state,
            state_since,
        }));
        self.shared.wake_readers();
    }

    /// Whether the mount has a stream.
    pub(super) fn has_stream(&self) -> bool {
        self.stream.borrow().is_some()
    }

    /// Publishes a source's page as part of the stream. Does not wake readers.
    pub(super) fn publish(&self, page: &Page<'_>, now: Moment) {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else { return };
        let (was_in_gap, before) = (stream.is_in_gap(), stream.granule());
        // Status shows real time, not running time.
        let (real, gauges) = (now.real(), &self.shared.entry().gauges);
        let mut pages = self.shared.pages_mut();
        let published = stream.push(page, now, |page| pages.ring.publish(page));
        let stats = stream.take_stats();
        // Silence comes before the page.
        pages.history.silent(before..before.saturating_add(stats.silence));
        if was_in_gap && published && stream.pauses_in_gaps() {
            pages.history.pause(before, gauges.pause(real));
        }
        // Under the lock: until then, a reader counts the time since the last page as a pause.
        if published {
            pages.history.published(stream.granule(), real.into(), stream.page_duration());
            gauges.page_published(real);
        }
        drop(pages);
        self.count(&stats);
        gauges.page_received(real, stream.page_duration(), stream.byte_rate());
        if was_in_gap && !stream.is_in_gap() {
            self.set_state(SourceState::Live);
            self.changed.notify_one();
        }
    }

    /// Publishes the silence that is due while no source is sending, and ends the stream after the
    /// hold time.
    pub(super) fn idle(&self, now: Moment) -> IdleOutcome {
        let mut current = self.stream.borrow_mut();
        let Some(stream) = current.as_mut() else { return IdleOutcome::Forever };
        let (was_in_gap, granule) = (stream.is_in_gap(), stream.granule());
        let mut pages = self.shared.pages_mut();
        let before = pages.ring.head();
        let outcome = stream.idle(now, |page| pages.ring.publish(page));
        let published = pages.ring.head() > before;
        let stats = stream.take_stats();
        if published {
            pages.history.filled(stream.granule());
            pages.history.silent(granule..granule.saturating_add(stats.silence));
        }
        drop(pages);
        self.count(&stats);
        if published {
            self.shared.entry().gauges.page_published(now.real());
        }
        if !was_in_gap && stream.is_in_gap() {
            self.set_state(SourceState::Gap);
        }
        drop(current);
        if outcome == IdleOutcome::Over {
            journal!(
                info,
                STREAM_ENDED,
                mount = self.shared.entry().name.as_str(),
                "no source came back within the hold time; the stream has ended"
            );
            self.end();
        } else if published {
            self.shared.wake_readers();
        }
        outcome
    }

    /// Called after the live source has left: ends the stream if `gap` is `end`.
    pub(super) fn source_left(&self) {
        let mut current = self.stream.borrow_mut();
        let Some(stream) = current.as_mut() else { return };
        stream.source_left();
        let must_end = stream.ends_with_its_source();
        drop(current);
        if must_end {
            self.end();
        } else {
            self.changed.notify_one();
        }
    }

    fn count(&self, stats: &SpliceStats) {
        let counters = &self.shared.entry().counters;
        counters.silence.add(stats.silence);
        counters.late.add(stats.late);
    }

    /// Shows in status, and logs, whether the source is sending.
    fn set_state(&self, state: SourceState) {
        let entry = self.shared.entry();
        let Some(stream) = entry.stream() else { return };
        let seconds = stream.state_since.elapsed().as_secs_f32();
        let mount = entry.name.as_str();
        match state {
            SourceState::Gap => {
                entry.counters.gaps.add(1);
                journal!(info, GAP_BEGAN, mount, "the source stopped sending");
            }
            SourceState::Live => {
                journal!(info, GAP_ENDED, mount, seconds, "the source is sending again");
            }
        }
        let state_since = Timestamp::now();
        entry.set_stream(Some(StreamInfo { state, state_since, ..StreamInfo::clone(&stream) }));
    }
}

/// Tags without characters that are unsafe to show: the encoder chose their text.
fn sanitized(tags: &Tags) -> Tags {
    let text = |text: &Option<String>| text.as_deref().map(sanitize);
    Tags { title: text(&tags.title), artist: text(&tags.artist) }
}
