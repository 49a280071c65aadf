//! The splice makes one stream from all sources of a mount. These tests run the pure core with simulated time and read
//! the stream with other programs.

use std::process::Command;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use silvacast::ogg::{Codec, OpusHead, Page, Splice, Stamp, Stamped, Tally, samples, write};

use crate::ogg::{HEAD, TAGS, next_page};
use crate::process::Run;

const SERIAL: u32 = 77;
const FRAME: u64 = 960;
const GAP_AFTER: Duration = Duration::from_secs(1);

fn samples_in(time: Duration) -> u64 {
    (time.as_nanos() * 48_000 / 1_000_000_000) as u64
}

/// A mount's stream, with a clock that the test sets.
struct Mount {
    splice: Splice,
    began: Instant,
    now: Instant,
    heard: Instant,
    in_gap: bool,
    out: Vec<u8>,
    tally: Tally,
}

impl Mount {
    fn new() -> Self {
        let mut head = Vec::new();
        write(&mut head, Stamp { first: true, ..Stamp::default() }, &[HEAD]);
        let Ok(Codec::Opus(head)) = Codec::of(&next_page(&mut &head[..]).unwrap()) else {
            panic!("not Opus")
        };
        Self::of(&head)
    }

    fn of(head: &OpusHead) -> Self {
        let mut out = Vec::new();
        let stamp = Stamp { serial: SERIAL, ..Stamp::default() };
        write(&mut out, Stamp { first: true, ..stamp }, &[HEAD]);
        write(&mut out, Stamp { sequence: 1, ..stamp }, &[TAGS]);
        let now = Instant::now();
        let splice = Splice::new(head, SERIAL, 2, true, GAP_AFTER);
        Self { splice, began: now, now, heard: now, in_gap: false, out, tally: Tally::default() }
    }

    fn push(&mut self, bytes: &[u8]) {
        let page = next_page(&mut &bytes[..]).unwrap();
        if self.in_gap {
            self.splice.resume(self.now);
        }
        let out = &mut self.out;
        if self.splice.push(&page, self.now, |page| append(out, page)) {
            (self.heard, self.in_gap) = (self.now, false);
        }
        self.count();
    }

    /// Advances the clock, and inserts the silence that is due.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        let mut next = self.heard + self.splice.patience();
        while next <= until {
            self.now = self.now.max(next);
            self.in_gap = true;
            let out = &mut self.out;
            let Some(later) = self.splice.fill(self.now, |page| append(out, page)) else { break };
            assert!(later > next, "the splice asks for silence without end");
            next = later;
        }
        self.now = until;
        self.count();
    }

    fn count(&mut self) {
        let tally = self.splice.take_tally();
        self.tally.silence += tally.silence;
        self.tally.late += tally.late;
    }

    fn pages(&self) -> Vec<Page<'_>> {
        let mut rest = &self.out[..];
        let pages = std::iter::from_fn(|| next_page(&mut rest)).skip(2).collect();
        assert!(rest.is_empty(), "not a valid page");
        pages
    }

    /// Packets that are not silence, in order.
    fn packets(&self) -> Vec<Vec<u8>> {
        let pages = self.pages();
        let packets =
            pages.iter().flat_map(|page| page.pieces().map(|(packet, _)| packet.to_vec()));
        packets.filter(|packet| packet.len() > 3 && packet[0] == 0xf8).collect()
    }

    fn position(&self) -> u64 {
        self.pages().last().and_then(Page::granule).unwrap_or(0)
    }
}

fn append(out: &mut Vec<u8>, page: &Stamped<'_>) {
    page.pieces().iter().for_each(|piece| out.extend_from_slice(piece));
}

/// Makes pages as encoders do: packets of 20 ms, each with a unique number.
#[derive(Clone, Debug)]
struct Encoder {
    serial: u32,
    sequence: u32,
    granule: u64,
    packet: u32,
}

impl Encoder {
    fn new(serial: u32, granule: u64, packet: u32) -> Self {
        Self { serial, sequence: 2, granule, packet }
    }

    fn next_packet(&mut self, size: usize) -> Vec<u8> {
        let mut packet = vec![0xf8];
        packet.extend(self.packet.to_le_bytes());
        packet.resize(size.max(5), 0x55);
        self.packet += 1;
        packet
    }

    fn page(&mut self, packets: u32, size: usize) -> Vec<u8> {
        self.page_with(packets, size, |_| {})
    }

    fn page_with(&mut self, packets: u32, size: usize, stamp: impl FnOnce(&mut Stamp)) -> Vec<u8> {
        let packets: Vec<_> = (0..packets).map(|_| self.next_packet(size)).collect();
        self.granule += packets.len() as u64 * FRAME;
        let mut place = Stamp {
            granule: self.granule,
            serial: self.serial,
            sequence: self.sequence,
            ..Stamp::default()
        };
        stamp(&mut place);
        self.sequence = self.sequence.wrapping_add(1);
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        write(&mut out, place, &packets);
        out
    }

    /// Two pages, with a packet that begins on the first and ends on the second.
    fn torn(&mut self) -> [Vec<u8>; 2] {
        let whole = self.page(2, 600);
        self.sequence += 1;
        // The second packet has the lacing values 255, 255, 90; the first of them stays on the first page.
        let (lacing, body) = (&whole[27..33], &whole[33..]);
        let cut = 600 + 255;
        let page = |flags: u8, granule: u64, sequence: u32, lacing: &[u8], body: &[u8]| {
            let mut page = whole[..27].to_vec();
            page[5] = flags;
            page[6..14].copy_from_slice(&granule.to_le_bytes());
            page[18..22].copy_from_slice(&sequence.to_le_bytes());
            page[26] = lacing.len() as u8;
            page.extend_from_slice(lacing);
            page.extend_from_slice(body);
            seal(&mut page);
            page
        };
        [
            page(0, self.granule - FRAME, self.sequence - 2, &lacing[..4], &body[..cut]),
            page(1, self.granule, self.sequence - 1, &lacing[4..], &body[cut..]),
        ]
    }
}

/// Writes the checksum into a page, with another implementation than the code under test.
fn seal(page: &mut [u8]) {
    page[22..26].fill(0);
    let crc = page.iter().fold(0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            if crc & 0x8000_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 }
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
}

const PAGE: Duration = Duration::from_millis(20);

/// A source that sends for a while in real time.
fn play(mount: &mut Mount, encoder: &mut Encoder, pages: u32) {
    for _ in 0..pages {
        mount.wait(PAGE);
        mount.push(&encoder.page(1, 50));
    }
}

/// How far the end of the stream is behind real time, in milliseconds.
fn behind(mount: &Mount) -> i64 {
    let real = samples_in(mount.now - mount.began).cast_signed();
    (real - mount.position().cast_signed()) / 48
}

/// A mount whose source has sent 100 pages in real time, and the source.
fn playing() -> (Mount, Encoder) {
    let (mut mount, mut source) = (Mount::new(), Encoder::new(1, 0, 0));
    play(&mut mount, &mut source, 100);
    (mount, source)
}

/// A second or more of audio that arrives at once.
fn push_at_once(mount: &mut Mount, source: &mut Encoder, pages: u32) {
    (0..pages).for_each(|_| mount.push(&source.page(1, 50)));
}

#[test]
fn a_source_that_returns_continues_in_real_time() {
    let (mut mount, _) = playing();
    mount.wait(Duration::from_secs(5));
    // The encoder's clock continues, or starts again, or has any value.
    for (granule, serial) in [(7 * 48_000, 2), (0, 3), (1 << 40, 4)] {
        mount.splice.join();
        let mut next = Encoder::new(serial, granule, serial * 1000);
        play(&mut mount, &mut next, 100);
        assert_eq!(mount.packets().last().unwrap()[1..5], (serial * 1000 + 99).to_le_bytes());
        assert!((-20..=20).contains(&behind(&mount)), "{} ms behind", behind(&mount));
        mount.wait(Duration::from_millis(3_700));
    }
    assert_eq!(mount.packets().len(), 400);
    assert_eq!(mount.tally.late, 0);
}

#[test]
fn a_short_absence_is_filled_with_the_time_that_was_lost() {
    let mut mount = Mount::new();
    let mut first = Encoder::new(1, 0, 0);
    play(&mut mount, &mut first, 10);
    mount.wait(Duration::from_millis(400));
    mount.splice.join();
    play(&mut mount, &mut Encoder::new(2, 0, 100), 10);
    assert_eq!(mount.tally, Tally { silence: 400 * 48, late: 0 });
    // A takeover while the old source still sends: no time was lost, and the joint is one frame.
    mount.splice.join();
    play(&mut mount, &mut Encoder::new(3, 0, 200), 10);
    assert_eq!(mount.tally, Tally { silence: 420 * 48, late: 0 });
}

#[test]
fn late_audio_after_silence_is_dropped_and_the_rest_is_in_its_place() {
    let (mut mount, mut source) = playing();
    mount.wait(Duration::from_secs(3));
    // Three seconds at once, and then real time again.
    push_at_once(&mut mount, &mut source, 150);
    play(&mut mount, &mut source, 100);
    assert!(mount.tally.silence.abs_diff(mount.tally.late) <= FRAME, "{:?}", mount.tally);
    assert!((2_900 * 48..=3_200 * 48).contains(&mount.tally.late), "{:?}", mount.tally);
    assert!((-20..=20).contains(&behind(&mount)), "{} ms behind", behind(&mount));
}

#[test]
fn a_stall_shorter_than_a_gap_loses_nothing() {
    let (mut mount, mut source) = playing();
    mount.wait(Duration::from_millis(900));
    push_at_once(&mut mount, &mut source, 45);
    play(&mut mount, &mut source, 100);
    assert_eq!((mount.tally, mount.packets().len()), (Tally::default(), 245));
}

#[test]
fn a_source_that_lost_time_without_a_jump_of_its_granule_is_heard_again() {
    let (mut mount, mut source) = playing();
    // Stopped for 20 s; its granule position continues as if no time had passed.
    mount.wait(Duration::from_secs(20));
    play(&mut mount, &mut source, 100);
    assert!(mount.tally.late <= 240 * 48, "{:?}", mount.tally);
    assert!((-20..=20).contains(&behind(&mount)), "{} ms behind", behind(&mount));
}

#[test]
fn a_backlog_cannot_push_listeners_behind() {
    let (mut mount, _) = playing();
    mount.wait(Duration::from_secs(5));
    mount.splice.join();
    let mut source = Encoder::new(2, 0, 1000);
    // A new connection begins with two seconds of audio that its encoder has kept.
    push_at_once(&mut mount, &mut source, 100);
    play(&mut mount, &mut source, 1000);
    assert!((-220..=20).contains(&behind(&mount)), "{} ms behind", behind(&mount));
    assert!(mount.tally.late >= 1_780 * 48, "{:?}", mount.tally);
}

#[test]
fn a_hole_is_filled_only_as_far_as_real_time_was_lost() {
    let (mut mount, mut source) = playing();
    // The granule position jumps by a minute, and no time was lost.
    source.granule += 60 * 48_000;
    play(&mut mount, &mut source, 100);
    assert_eq!(mount.tally, Tally::default());
    // The encoder dropped half a second of packets.
    source.granule += 24_000;
    mount.wait(Duration::from_millis(500));
    play(&mut mount, &mut source, 100);
    assert_eq!(mount.tally, Tally { silence: 24_000, late: 0 });
    // The granule position jumps back to 0.
    source.granule = 0;
    play(&mut mount, &mut source, 100);
    assert_eq!((mount.tally.silence, mount.packets().len()), (24_000, 400));
}

#[test]
fn after_a_standstill_of_server_and_source_nothing_is_inserted() {
    let (mut mount, mut source) = playing();
    // The machine slept and its source too: no time passed for either.
    mount.splice.stood_still(Duration::from_mins(10), mount.now);
    mount.wait(Duration::ZERO);
    play(&mut mount, &mut source, 200);
    assert_eq!((mount.tally, mount.packets().len()), (Tally::default(), 300));
}

#[test]
fn audio_that_arrived_while_the_server_stood_still_is_not_lost() {
    for milliseconds in [500, 1_500, 5_000, 12_000, 60_000] {
        for (lost_time_before, kept_waiting) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let (mut mount, mut source) = playing();
            if lost_time_before {
                // Such a source may not catch up; but this time the server lost it, not the source.
                mount.wait(Duration::from_secs(3));
                mount.splice.join();
                source = Encoder::new(2, 0, 100);
                play(&mut mount, &mut source, 600);
            }
            let before = (mount.tally, mount.packets().len());
            mount.splice.stood_still(Duration::from_millis(milliseconds), mount.now);
            let mut backlog = milliseconds as u32 / 20;
            if kept_waiting {
                // Its kernel probes for room only after half as long again; by then it has sent more.
                mount.now += Duration::from_millis(milliseconds / 2);
                mount.heard = mount.now;
                backlog += milliseconds as u32 / 40;
            }
            push_at_once(&mut mount, &mut source, backlog);
            play(&mut mount, &mut source, 600);
            let after = (mount.tally, mount.packets().len());
            let case = format!("{milliseconds} ms, {lost_time_before}, {kept_waiting}");
            assert_eq!(after, (before.0, before.1 + backlog as usize + 600), "{case}");
        }
    }
}

#[test]
fn a_standstill_excuses_late_audio_only_for_a_while() {
    let (mut mount, mut source) = playing();
    mount.wait(Duration::from_secs(3));
    play(&mut mount, &mut source, 700);
    mount.splice.stood_still(Duration::from_mins(1), mount.now);
    play(&mut mount, &mut source, 4_000);
    let late = mount.tally.late;
    // A minute of audio at once, long after the standstill: the source has kept it, not the server.
    push_at_once(&mut mount, &mut source, 3_000);
    assert!(mount.tally.late - late > 55 * 48_000, "{:?}", mount.tally);
}

#[test]
fn packets_across_pages_arrive_whole_or_not_at_all() {
    let mut mount = Mount::new();
    let mut source = Encoder::new(1, 0, 0);
    for page in source.torn() {
        mount.push(&page);
    }
    assert_eq!(mount.packets().len(), 2);
    // The beginning of a packet, after which its source is gone.
    let [begun, _] = source.torn();
    mount.push(&begun);
    mount.splice.join();
    let mut next = Encoder::new(2, 0, 100);
    let [_, rest] = next.torn();
    // The end of a packet whose beginning was lost.
    mount.push(&rest);
    mount.push(&next.page(1, 50));
    let numbers: Vec<_> = mount.packets().iter().map(|packet| packet[1]).collect();
    assert_eq!(numbers, [0, 1, 2, 102]);
    assert!(mount.packets().iter().all(|packet| samples(packet) == Some(FRAME)));
    assert!(mount.pages().iter().all(|page| !page.is_continued()));
}

#[test]
fn a_page_lost_between_a_packets_halves_loses_that_packet() {
    let mut mount = Mount::new();
    let mut source = Encoder::new(1, 0, 0);
    mount.push(&source.torn()[0]);
    // Pages 4 and 5 are lost.
    source.torn();
    mount.push(&source.torn()[1]);
    assert_eq!(mount.packets().len(), 1);
}

/// An event in the life of a source, with random numbers.
#[derive(Clone, Debug)]
enum Event {
    Restart { away: u64, granule: u64 },
    Takeover,
    Chain,
    Damage,
    Jump(u64),
    Back,
    Untimed,
    Torn { finished: bool },
    Stall(u64),
    Lost(u64),
    Last,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u64..4_000, any::<u64>()).prop_map(|(away, g)| Event::Restart { away, granule: g >> 8 }),
        2 => Just(Event::Takeover),
        2 => Just(Event::Chain),
        1 => Just(Event::Damage),
        1 => any::<u64>().prop_map(|jump| Event::Jump(jump >> 8)),
        1 => Just(Event::Back),
        1 => Just(Event::Untimed),
        2 => any::<bool>().prop_map(|finished| Event::Torn { finished }),
        1 => (0u64..5_000).prop_map(Event::Stall),
        1 => (0u64..5_000).prop_map(Event::Lost),
        1 => Just(Event::Last),
    ]
}

fn happen(mount: &mut Mount, source: &mut Encoder, event: &Event, packets: u32, size: usize) {
    let joins = |mount: &mut Mount, source: &mut Encoder, granule| {
        mount.splice.join();
        *source = Encoder::new(source.serial.wrapping_add(1), granule, source.packet);
    };
    match *event {
        Event::Restart { away, granule } => {
            mount.wait(Duration::from_millis(away));
            joins(mount, source, granule);
        }
        Event::Takeover => joins(mount, source, 0),
        Event::Chain => {
            let last = source.page_with(1, size, |stamp| stamp.last = true);
            mount.push(&last);
            joins(mount, source, 0);
        }
        Event::Damage => source.sequence += 1,
        Event::Jump(by) => source.granule = source.granule.wrapping_add(by) >> 8,
        Event::Back => source.granule /= 2,
        Event::Untimed => {
            let page = source.page_with(packets, size, |stamp| stamp.granule = u64::MAX);
            mount.push(&page);
        }
        Event::Torn { finished } => {
            let [begun, rest] = source.torn();
            mount.push(&begun);
            if finished {
                mount.push(&rest);
            }
        }
        Event::Stall(ms) => {
            mount.wait(Duration::from_millis(ms));
            (0..ms / 20).for_each(|_| mount.push(&source.page(1, size)));
        }
        Event::Lost(ms) => mount.wait(Duration::from_millis(ms)),
        Event::Last => mount.push(&source.page_with(1, size, |stamp| {
            // A stream that ends within its last packet.
            (stamp.last, stamp.granule) = (true, stamp.granule - 100);
        })),
    }
    for _ in 0..5 {
        mount.wait(PAGE * packets);
        mount.push(&source.page(packets, size));
    }
}

/// Asserts everything that must be true of the stream after any events.
fn check(mount: &Mount) {
    let (mut sequence, mut granule, mut newest) = (1, 0, None);
    for page in mount.pages() {
        assert_eq!((page.serial(), page.sequence()), (SERIAL, sequence + 1));
        assert!(!page.is_continued() && !page.is_first() && !page.is_last());
        let length: u64 = page.pieces().map(|(packet, _)| samples(packet).unwrap()).sum();
        assert_eq!(
            page.granule(),
            Some(granule + length),
            "a granule position is the sum of all durations"
        );
        assert!(page.pieces().all(|(_, ends)| ends));
        for (packet, _) in page.pieces().filter(|(packet, _)| packet.len() > 3 && packet[0] == 0xf8)
        {
            // Unchanged, in order, and never twice.
            assert!(packet[5..].iter().all(|&byte| byte == 0x55));
            let number = u32::from_le_bytes(packet[1..5].try_into().unwrap());
            assert!(newest.is_none_or(|newest| number > newest));
            newest = Some(number);
        }
        (sequence, granule) = (sequence + 1, granule + length);
    }
}

#[test]
fn other_programs_read_ten_thousand_splices_as_one_stream() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]),
    );
    let strategy = (event(), 1u32..6, 5usize..700);
    let (mut mount, mut source) = (Mount::new(), Encoder::new(1, 0, 0));
    for _ in 0..10_000 {
        let (event, packets, size) = strategy.new_tree(&mut runner).unwrap().current();
        happen(&mut mount, &mut source, &event, packets, size);
    }
    check(&mount);
    let apart = behind(&mount);
    assert!(apart.abs() < 2_000, "{apart} ms from real time");

    let Mount { mut splice, mut out, .. } = mount;
    splice.end(|page| append(&mut out, page));
    let mut reader = ogg::PacketReader::new(std::io::Cursor::new(&out));
    let mut packets = 0;
    while let Some(packet) = reader.read_packet().unwrap() {
        assert_eq!(packet.stream_serial(), SERIAL);
        packets += 1;
    }
    assert!(packets > 50_000, "{packets} packets");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &out).unwrap();
    let opusinfo = Command::new("opusinfo").arg(file.path()).run();
    let said = String::from_utf8_lossy(&opusinfo.stdout).into_owned()
        + &String::from_utf8_lossy(&opusinfo.stderr);
    assert!(opusinfo.status.success(), "{said}");
    assert!(said.contains("Playback length"), "{said}");
    for bad in ["WARNING", "hole", "error"] {
        assert!(!said.contains(bad), "{said}");
    }
}

proptest! {
    #[test]
    fn any_sequence_of_events_gives_one_stream(
        events in prop::collection::vec((event(), 1u32..60, 5usize..1_000), 1..30),
    ) {
        let (mut mount, mut source) = (Mount::new(), Encoder::new(1, 0, 0));
        for (event, packets, size) in events {
            happen(&mut mount, &mut source, &event, packets, size);
        }
        check(&mount);
    }
}
