//! Random events in the life of sources: what goes out is one valid stream, to other readers as
//! well.

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use ogg_splice::packet_samples;
use ogg_splice::testing::is_intact;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::simulation::{Encoder, PAGE, SERIAL, Stream, append};
use crate::tools::{installed, run};

/// What may happen to a source.
#[derive(Clone, Debug)]
enum Event {
    Restart { away: u64, granule: u64 },
    Takeover,
    Chain,
    Damage,
    Jump(u64),
    Back,
    Untimed,
    Split { finished: bool, more: u32 },
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
        2 => (any::<bool>(), 0u32..3).prop_map(|(finished, more)| Event::Split { finished, more }),
        1 => (0u64..5_000).prop_map(Event::Stall),
        1 => (0u64..5_000).prop_map(Event::Lost),
        1 => Just(Event::Last),
    ]
}

/// Packets on a page and bytes in each. Most pages are short; the longest have almost 255 segments.
fn lengths() -> impl Strategy<Value = (u32, usize)> {
    prop_oneof![4 => (1u32..6, 5usize..1_000), 1 => (1u32..60, 5usize..1_000)]
}

/// An event, and then five pages in real time.
fn happen(stream: &mut Stream, source: &mut Encoder, event: &Event, packets: u32, size: usize) {
    let joins = |stream: &mut Stream, source: &mut Encoder, granule| {
        stream.splice.join();
        *source = Encoder::new(source.serial.wrapping_add(1), granule, source.packet);
    };
    match *event {
        Event::Restart { away, granule } => {
            stream.wait(Duration::from_millis(away));
            joins(stream, source, granule);
        }
        Event::Takeover => joins(stream, source, 0),
        Event::Chain => {
            let last = source.page_with(1, size, |header| header.last = true);
            stream.push(&last);
            joins(stream, source, 0);
        }
        Event::Damage => source.sequence += 1,
        Event::Jump(by) => source.granule = source.granule.wrapping_add(by) >> 8,
        Event::Back => source.granule /= 2,
        Event::Untimed => {
            let page = source.page_with(packets, size, |header| header.granule = u64::MAX);
            stream.push(&page);
        }
        Event::Split { finished, more } => {
            let [begun, rest] = source.split(more);
            stream.push(&begun);
            if finished {
                stream.push(&rest);
            }
        }
        Event::Stall(ms) => {
            stream.wait(Duration::from_millis(ms));
            (0..ms / 20).for_each(|_| stream.push(&source.page(1, size)));
        }
        Event::Lost(ms) => stream.wait(Duration::from_millis(ms)),
        Event::Last => stream.push(&source.page_with(1, size, |header| {
            // A stream that ends within its last packet.
            (header.last, header.granule) = (true, header.granule - 100);
        })),
    }
    for _ in 0..5 {
        stream.wait(PAGE * packets);
        stream.push(&source.page(packets, size));
    }
}

/// Asserts everything that must be true of the stream after any events.
fn check(stream: &Stream) {
    let (mut sequence, mut granule, mut newest) = (1, 0, None);
    for page in stream.pages() {
        assert_eq!((page.serial(), page.sequence()), (SERIAL, sequence + 1));
        assert!(!page.is_continued() && !page.is_first() && !page.is_last());
        let length: u64 = page.pieces().map(|(packet, _)| packet_samples(packet).unwrap()).sum();
        assert_eq!(
            page.granule(),
            Some(granule + length),
            "a granule position is the sum of all durations"
        );
        assert!(page.pieces().all(|(_, ends)| ends));
        for (packet, _) in page.pieces().filter(|(packet, _)| packet.len() > 3 && packet[0] == 0xf8)
        {
            // Unchanged, in order, and never twice.
            assert!(is_intact(packet));
            let number = u32::from_le_bytes(packet[1..5].try_into().unwrap());
            assert!(newest.is_none_or(|newest| number > newest));
            newest = Some(number);
        }
        (sequence, granule) = (sequence + 1, granule + length);
    }
}

/// A stream with ten thousand events, to its end; the same in each run.
static TEN_THOUSAND_EVENTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]),
    );
    let strategy = (event(), 1u32..6, 5usize..700);
    let (mut stream, mut source) = (Stream::new(), Encoder::new(1, 0, 0));
    for _ in 0..10_000 {
        let (event, packets, size) = strategy.new_tree(&mut runner).unwrap().current();
        happen(&mut stream, &mut source, &event, packets, size);
    }
    check(&stream);
    let apart = stream.behind();
    assert!(apart.abs() < 2_000, "{apart} ms from real time");

    let Stream { mut splice, mut out, .. } = stream;
    splice.end(|page| append(&mut out, page));
    out
});

#[test]
fn the_ogg_crate_reads_ten_thousand_events_as_one_stream() {
    let mut reader = ogg::PacketReader::new(std::io::Cursor::new(&*TEN_THOUSAND_EVENTS));
    let mut packets = 0;
    while let Some(packet) = reader.read_packet().unwrap() {
        assert_eq!(packet.stream_serial(), SERIAL);
        packets += 1;
    }
    assert!(packets > 50_000, "{packets} packets");
}

#[test]
fn opusinfo_finds_no_fault_in_ten_thousand_events() {
    if !installed("opusinfo") {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &*TEN_THOUSAND_EVENTS).unwrap();
    let opusinfo = run(Command::new("opusinfo").arg(file.path()));
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
        events in prop::collection::vec((event(), lengths()), 1..30),
    ) {
        let (mut stream, mut source) = (Stream::new(), Encoder::new(1, 0, 0));
        for (event, (packets, size)) in events {
            happen(&mut stream, &mut source, &event, packets, size);
        }
        check(&stream);
    }
}
