//! When the packets of a mount are sent.
//!
//! A packet is sent as soon as its page is published, unless the page has several: these follow each
//! other as they were recorded, so that a receiver needs no larger buffer for long pages. What is
//! left of a page is sent at once when the next one comes, so pacing never delays a stream for good.
//!
//! Times come from granule positions. They continue when one stream of the mount follows another:
//! all of them are one stream of RTP.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::end::SessionEnd;
use super::session::{MAX_PAYLOAD, TimeAndDate};
use crate::mount::{PageLog, RingPage, StreamRecord};

/// The most packets that wait to be sent. A page has at most 255.
const MAX_WAITING: usize = 512;

/// The packets of a mount that are still to be sent.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Ring position after the newest page that was looked at.
    position: u64,
    /// The stream of that page.
    era: u64,
    /// What is added to the times of the present stream.
    offset: u64,
    /// When the newest packet ends.
    end: u64,
    waiting: VecDeque<ScheduledPacket>,
    date: Option<TimeAndDate>,
    /// Packets left out because they were too long.
    too_long: u64,
}

/// A packet that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScheduledPacket {
    /// Ring position of its first byte.
    pub start: u64,
    /// Its length, in bytes.
    pub length: u32,
    /// When it is heard, in samples.
    pub time: u64,
    /// Whether audio is missing before it.
    pub follows_pause: bool,
    /// When it is sent.
    pub due: Instant,
}

impl Schedule {
    /// A schedule that begins with the next page.
    pub(super) fn new(pages: &PageLog) -> Self {
        Self {
            position: pages.ring.head(),
            era: pages.era,
            offset: 0,
            end: 0,
            waiting: VecDeque::new(),
            date: None,
            too_long: 0,
        }
    }

    /// Looks at the pages that have been published, at `now`.
    ///
    /// # Errors
    /// Why no more packets follow.
    pub(super) fn look(&mut self, pages: &PageLog, now: Instant) -> Result<(), SessionEnd> {
        let Some(join_point) = &pages.stream else { return Err(SessionEnd::StreamEnded) };
        let record = pages.history.streams().next_back().ok_or(SessionEnd::StreamEnded)?;
        if !record.codec.is_in_rtp() {
            return Err(SessionEnd::NotOpus);
        }
        if self.era != pages.era {
            self.era = pages.era;
            self.position = self.position.max(join_point.start);
            // The times of the new stream begin at zero.
            self.offset = self.end;
        }
        let numbers = pages.ring.pages_between(self.position, u64::MAX);
        self.position = pages.ring.head();
        for number in numbers {
            let page = pages.ring.page(number);
            self.hurry(now);
            self.add(page, record, now);
        }
        Ok(())
    }

    /// When the next packet is to be sent.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|packet| packet.due)
    }

    /// The next packet, if it is to be sent at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Option<ScheduledPacket> {
        self.waiting.pop_front_if(|packet| packet.due <= now)
    }

    /// When the newest packet was recorded.
    pub(super) fn date(&self) -> Option<TimeAndDate> {
        self.date
    }

    /// How many packets were left out because they were too long.
    pub(super) fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Makes all packets due that wait.
    fn hurry(&mut self, now: Instant) {
        for packet in &mut self.waiting {
            packet.due = packet.due.min(now);
        }
    }

    /// Adds the packets of a page.
    fn add(&mut self, page: RingPage<'_>, stream: &StreamRecord, now: Instant) {
        let granule = page.granule();
        let packets = || page.packets().filter(|packet| packet.samples > 0);
        let samples = packets().map(|packet| u64::from(packet.samples)).sum();
        let first = granule.saturating_sub(samples);
        let mut begins = first;
        for packet in packets() {
            let time = stream.time_of(begins).saturating_add(self.offset);
            let due = now.checked_add(duration(begins.saturating_sub(first))).unwrap_or(now);
            begins = begins.saturating_add(u64::from(packet.samples));
            if packet.length as usize > MAX_PAYLOAD {
                self.too_long = self.too_long.saturating_add(1);
                continue;
            }
            if self.waiting.len() == MAX_WAITING {
                self.waiting.pop_front();
            }
            let follows_pause = time != self.end;
            self.waiting.push_back(ScheduledPacket {
                start: packet.start,
                length: packet.length,
                time,
                follows_pause,
                due,
            });
            self.end = time.saturating_add(u64::from(packet.samples));
        }
        let time = stream.time_of_end(granule);
        if let Some(utc) = stream.utc_of(time) {
            self.date = Some(TimeAndDate { time: time.saturating_add(self.offset), utc });
        }
    }
}

/// The duration of so many samples at 48 kHz.
fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(125) / 6)
}
