//! No allocation per page, from the source's socket to the listeners' sockets.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use ogg_splice::{Codec, Splice};
use silvacast::config::{Config, Environment};
use silvacast::listener::{
    Amount, Delivery, ListenerConnection, ListenerSession, ResponseHead, SocketOptions,
};
use silvacast::mount::{Description, ListenerInfo, ListenerProtocol, MountTable, Name, Ring};
use silvacast::platform::Heartbeats;
use silvacast::source::{BodyFraming, ResponseTiming, SourceConnection};
use silvacast::worker::{self, Handoff, Workers};

use crate::client::{Answer, Listener, read_head};
use crate::ogg;
use crate::wait::{PATIENCE, join, until, when};

/// Counts the allocations of the threads that are watched.
struct Counting;

// One count per test, because tests run in parallel.
static RELAYING: AtomicU64 = AtomicU64::new(0);
static SPLICING: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The count that an allocation of this thread is added to.
    static WATCHED: Cell<Option<&'static AtomicU64>> = const { Cell::new(None) };
}

#[allow(unsafe_code, reason = "an allocator cannot be written otherwise; this one only counts")]
// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(count) = WATCHED.get() {
            count.fetch_add(1, SeqCst);
        }
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    far.set_nonblocking(true).unwrap();
    near.set_nodelay(true).unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    near.set_write_timeout(Some(PATIENCE)).unwrap();
    (near, far)
}

#[test]
fn pages_cross_without_a_single_allocation() {
    let text = "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"\n[mount-defaults]\n\
                ring = \"128KiB\"\nsource_timeout = \"1m\"\ngap_after = \"1m\"\nhold = \"0s\"\n\
                listener_timeout = \"1m\"\n";
    let config = Config::parse(text, &Environment::default()).unwrap();
    let settings = Arc::clone(&config.door.rules.defaults);
    let table = MountTable::default();
    let name = Name::new("/m").unwrap();
    let place = table.reserve(&name, 1, || settings).unwrap();
    let entry = Arc::clone(&place);
    let (workers, mut queues) = Workers::new(1, 1);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let queue = queues.pop().unwrap();
    let heartbeats = Heartbeats::default();
    let watchdog = heartbeats.clone();
    let audio = thread::spawn(move || {
        WATCHED.set(Some(&RELAYING));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        let heartbeat = heartbeats.of("audio");
        runtime.block_on(worker::run(queue, heartbeat, heartbeats, stopping));
    });

    let (mut source, far) = pair();
    let connection = SourceConnection {
        peer: far.peer_addr().unwrap(),
        socket: far,
        read: Vec::new(),
        body: BodyFraming::Raw,
        timing: ResponseTiming::AnswerFirst,
        description: Description::default(),
        permit: None,
        on_end: None,
    };
    workers.send(Handoff::Source(Box::new(connection), place)).unwrap();
    assert_eq!(read_head(&mut source).status, 200);
    source.write_all(&ogg::headers(1)).unwrap();
    until("the mount", PATIENCE, || when(table.find(&name).is_some(), "no mount"));
    let listen = || {
        let (near, far) = pair();
        let guest = ListenerInfo::new(
            IpAddr::from([127, 0, 0, 1]).into(),
            "test",
            ListenerProtocol::Stream,
        );
        let registration = entry.directory.enter(guest);
        let session = ListenerSession {
            registration,
            until: None,
            takes_chains: true,
            filler: None,
            permits: Vec::new(),
            on_end: None,
        };
        let burst = Amount::Time(Duration::ZERO);
        let delivery =
            Delivery { burst, takes_chains: true, filled_for: None, head: ResponseHead::Plain };
        let options = SocketOptions { send_buffer: 65536, keep_alive: Duration::from_secs(30) };
        let connection = ListenerConnection {
            socket: far,
            delivery,
            send_buffer: 8192,
            options: Some(options),
            session,
        };
        workers.send(Handoff::Listener(Box::new(connection), Arc::clone(&entry))).unwrap();
        let mut listener = Listener {
            socket: near,
            answer: Answer { status: 0, head: String::new(), body: Vec::new() },
        };
        listener.answer = read_head(&mut listener.socket);
        listener
    };
    // Two listeners that read, and one that never reads and is overtaken by the ring again and again.
    let (mut one, mut two, _stuck) = (listen(), listen(), listen());
    one.headers();
    two.headers();
    let mut relay = |from: u32, to: u32| {
        for number in from..to {
            // Heartbeats must not allocate either.
            watchdog.check();
            source.write_all(&ogg::audio(1, number, 1000)).unwrap();
            assert_eq!((one.number(), two.number()), (number, number));
        }
    };
    // First until the third listener is stuck and every buffer has grown to its final size.
    relay(0, 3_000);
    let before = RELAYING.load(SeqCst);
    relay(3_000, 6_000);
    let after = RELAYING.load(SeqCst);
    assert!(before > 0, "no allocation was counted at all");
    assert_eq!(after - before, 0, "allocations while 3,000 pages went to three listeners");
    stop.send(true).unwrap();
    join("the audio thread to end", audio);
}

#[test]
fn splicing_and_silence_allocate_nothing_a_page() {
    let mut head = &ogg::headers(1)[..];
    let Ok(Codec::Opus(head)) = Codec::of(&ogg::next_page(&mut head).unwrap()) else {
        panic!("not Opus")
    };
    let (mut splice, mut ring) =
        (Splice::new(&head, 1, 2, true, Duration::from_secs(1)), Ring::new(128 * 1024));
    // In the first round every buffer grows to its final size.
    let pages: Vec<_> = (0..1_000).map(|number| ogg::audio(1, number, 160)).collect();
    let mut now = Instant::now();
    for round in 0..2 {
        let before = SPLICING.load(SeqCst);
        WATCHED.set(Some(&SPLICING));
        for bytes in &pages {
            let Some(page) = ogg::next_page(&mut &bytes[..]) else { panic!("not a page") };
            now += Duration::from_millis(20);
            splice.push(&page, now, |page| ring.publish(page));
        }
        for _ in 0..1_000 {
            now += Duration::from_millis(20);
            splice.fill(now, |page| ring.publish(page));
        }
        splice.join();
        WATCHED.set(None);
        let count = SPLICING.load(SeqCst) - before;
        assert_eq!(count > 0, round == 0, "{count} allocations in round {round}");
    }
    assert!(ring.head() > 400_000);
}
