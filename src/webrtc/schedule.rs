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
use std::time::Instant;

use super::end::SessionEnd;
use super::session::{MAX_PAYLOAD, TimeAndDate};
use crate::mount::{PageLog, RingPage, StreamRecord, duration};

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

    /// How many packets were left out since the last call, because they were too long.
    pub(super) fn take_too_long(&mut self) -> u64 {
        std::mem::take(&mut self.too_long)
    }

    /// Makes all packets due that wait.
    fn hurry(&mut self, now: Instant) {
        for packet in &mut self.waiting {
            packet.due = packet.due.min(now);
        }
    }

    /// Adds the packets of a page.
    fn add(&mut self, page: RingPage<'_>, stream: &StreamRecord, now: Instant) {
        let first = page.beginning();
        for (begins, packet) in page.placed_packets() {
            let time = stream.time_of(begins).saturating_add(self.offset);
            let due = now.checked_add(duration(begins.saturating_sub(first))).unwrap_or(now);
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
        let time = stream.time_of_end(page.granule());
        if let Some(utc) = stream.utc_of(time) {
            self.date = Some(TimeAndDate { time: time.saturating_add(self.offset), utc });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ogg_splice::{Codec, Headers, OpusHead, OutputPage, PageHeader, Tags};

    use super::*;
    use crate::config::{Config, Environment};
    use crate::mount::{JoinPoint, MountSettings};
    use crate::utc::Utc;
    use crate::wall_clock::Steady;

    /// A packet of 20 ms.
    const PACKET: &[u8] = &[0xf8, 1, 2, 3];
    const SAMPLES: u64 = 960;

    struct Mount {
        log: PageLog,
        settings: MountSettings,
        granule: u64,
        now: Instant,
    }

    impl Mount {
        fn new() -> Self {
            let text = "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"\n";
            let config = Config::parse(text, &Environment::default()).unwrap();
            let settings = MountSettings::clone(&config.door.rules.defaults);
            let log = PageLog::new(settings.ring);
            let mut mount = Self { log, settings, granule: 0, now: Instant::now() };
            mount.begin(0);
            mount
        }

        fn begin(&mut self, family: u8) {
            let (channels, pre_skip, input_rate, gain, mapping) = (1, 0, 0, 0, vec![]);
            let head = OpusHead { channels, pre_skip, input_rate, gain, family, mapping };
            let (codec, tags, pages) = (Codec::Opus(head), Tags::default(), [].into());
            let headers = Headers { codec, tags, pages, tags_left_out: 0, serial: 7 };
            let start = self.log.begin(&headers, &self.settings);
            self.log.stream = Some(Arc::new(JoinPoint { headers, start }));
            self.granule = 0;
        }

        /// Publishes a page with so many packets.
        fn publish(&mut self, packets: usize, schedule: &mut Schedule) {
            self.granule += packets as u64 * SAMPLES;
            let header = PageHeader { granule: self.granule, ..PageHeader::default() };
            let lacing = vec![PACKET.len() as u8; packets];
            self.log.ring.publish(&OutputPage::new(header, &lacing, &PACKET.repeat(packets)));
            self.log.history.published(self.granule, Steady::now(), Duration::ZERO);
            schedule.look(&self.log, self.now).unwrap();
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        /// The times of the packets that are sent now.
        fn sent(&self, schedule: &mut Schedule) -> Vec<u64> {
            let mut times = Vec::new();
            while let Some(packet) = schedule.next(self.now) {
                let range = packet.start..packet.start + u64::from(packet.length);
                assert_eq!(self.log.ring.held(range).unwrap().concat(), PACKET);
                times.push(packet.time / SAMPLES);
            }
            times
        }
    }

    #[test]
    fn a_page_with_one_packet_is_sent_at_once() {
        let mut mount = Mount::new();
        let mut schedule = Schedule::new(&mount.log);
        for number in 0..5 {
            mount.publish(1, &mut schedule);
            assert_eq!(mount.sent(&mut schedule), [number]);
            assert_eq!(schedule.due(), None);
            mount.wait(20);
        }
    }

    #[test]
    fn the_packets_of_a_long_page_follow_each_other_as_they_were_recorded() {
        let mut mount = Mount::new();
        let mut schedule = Schedule::new(&mount.log);
        for page in 0..3 {
            mount.publish(50, &mut schedule);
            for packet in 0..50 {
                assert_eq!(mount.sent(&mut schedule), [page * 50 + packet]);
                mount.wait(20);
            }
        }
    }

    #[test]
    fn what_is_left_of_a_page_is_sent_when_the_next_one_comes() {
        let mut mount = Mount::new();
        let mut schedule = Schedule::new(&mount.log);
        mount.publish(5, &mut schedule);
        assert_eq!(mount.sent(&mut schedule), [0]);
        mount.wait(40);
        mount.publish(5, &mut schedule);
        assert_eq!(mount.sent(&mut schedule), [1, 2, 3, 4, 5]);
        // And one that is late begins at once.
        mount.wait(500);
        assert_eq!(mount.sent(&mut schedule), [6, 7, 8, 9]);
        mount.publish(2, &mut schedule);
        assert_eq!(mount.sent(&mut schedule), [10]);
    }

    #[test]
    fn a_reader_begins_with_the_next_page() {
        let mut mount = Mount::new();
        let mut earlier = Schedule::new(&mount.log);
        mount.publish(3, &mut earlier);
        let mut schedule = Schedule::new(&mount.log);
        schedule.look(&mount.log, mount.now).unwrap();
        assert_eq!(schedule.due(), None);
        mount.publish(1, &mut schedule);
        let packet = schedule.next(mount.now).unwrap();
        assert!(packet.follows_pause && packet.time == 3 * SAMPLES);
    }

    #[test]
    fn time_goes_on_over_pauses_and_over_streams() {
        let mut mount = Mount::new();
        let mut schedule = Schedule::new(&mount.log);
        mount.publish(1, &mut schedule);
        // The granule position stands still in a pause, and time does not.
        mount.log.history.pause(mount.granule, Duration::from_millis(40));
        mount.publish(1, &mut schedule);
        let packets: Vec<_> = std::iter::from_fn(|| schedule.next(mount.now)).collect();
        assert_eq!(packets.iter().map(|packet| packet.time / SAMPLES).collect::<Vec<_>>(), [0, 3]);
        assert!(packets[1].follows_pause);
        mount.log.history.end(mount.log.ring.head(), mount.granule);
        mount.log.era += 1;
        mount.begin(0);
        mount.publish(1, &mut schedule);
        assert_eq!(mount.sent(&mut schedule), [4]);
        let date = schedule.date().unwrap();
        assert_eq!(date.time, 5 * SAMPLES);
        assert!(date.utc.since(Utc::now()) < Duration::from_secs(1));
    }

    #[test]
    fn a_stream_that_ends_or_cannot_be_sent_ends_the_schedule() {
        let mut mount = Mount::new();
        let mut schedule = Schedule::new(&mount.log);
        mount.log.era += 1;
        mount.begin(1);
        let end = schedule.look(&mount.log, mount.now);
        assert!(matches!(end, Err(SessionEnd::NotOpus)));
        mount.log.stream = None;
        let end = schedule.look(&mount.log, mount.now);
        assert!(matches!(end, Err(SessionEnd::StreamEnded)));
    }
}
