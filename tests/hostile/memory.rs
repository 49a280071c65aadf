//! Memory is fixed: with the shipped configuration and the worst clients of each kind, the server stays below the ceiling
//! that `check` prints.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::accounting::{Group, Kernel, ceiling, mib, process};
use crate::client::{Source, admin, get_with, login, login_as, try_connect};
use crate::daemon::{Daemon, PASSWORD};
use crate::needs::had;
use crate::ogg;
use crate::report::Report;
use crate::wait::{PATIENCE, until, when};
use crate::{Attack, Effort};

pub(crate) const ATTACKS: &[Attack] = &[
    ("memory: everybody at once", everybody_at_once),
    ("memory: pipelined requests, unread", pipelined),
    ("memory: documents, unread and closed", closed_over),
    ("memory: tags of ended streams", tags),
    ("memory: lists of listeners, unread", lists),
    ("memory: HLS, unread and waited for", hls),
    ("memory: configurations that were replaced", configurations),
];

/// The shipped configuration sets no other limits than the defaults.
const SHIPPED: &str = "";
/// With the longest `hold`, so that mounts stay.
const GAPS: &str = "[mount-defaults]\ngap = \"pause\"\nhold = \"24h\"";

/// The address of the client with this number; each client has another one.
fn client(number: usize) -> [u8; 4] {
    [127, 1 + (number / 250 / 250) as u8, (number / 250 % 250) as u8, 1 + (number % 250) as u8]
}

/// A connection of a client that does not read. Every other one has the smallest receive buffer, so that what the server
/// sends stays with the server; the others have the usual buffer, so that the server sends more at once.
fn unread_by(server: &Daemon, number: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if number.is_multiple_of(2) {
        socket.set_recv_buffer_size(2304).unwrap();
    }
    socket.bind(&SocketAddr::from((client(number), 0)).into()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], server.port));
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends as much as the kernel accepts without waiting.
fn stuff(mut socket: &TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.write(&bytes[sent..]) {
            Ok(n @ 1..) => sent += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    sent
}

/// The greatest memory of a server that was seen during an attack.
#[derive(Default)]
struct Most {
    process: u64,
    kernel: Kernel,
}

impl Most {
    fn look(&mut self, server: &Daemon) {
        self.process = self.process.max(process(server.pid()));
        let kernel = Kernel::of(server.port);
        if kernel.total() > self.kernel.total() {
            self.kernel = kernel;
        }
    }

    fn report(&self, report: &mut Report, server: &Daemon) {
        let (all, of_process) = ceiling(server);
        report.at_most("MiB in the process", of_process, mib(self.process));
        report.at_most(
            "MiB in the process and the kernel",
            all,
            mib(self.process + self.kernel.total()),
        );
        report.measured("MiB in the kernel", mib(self.kernel.total()));
    }
}

fn pipelined(report: &mut Report, _: Effort) {
    let server = Daemon::with("", SHIPPED);
    let requests = b"OPTIONS /m HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000);
    let connections: Vec<_> = (0..200).map(|number| unread_by(&server, number)).collect();
    let (mut most, mut sent) = (Most::default(), vec![0; connections.len()]);
    for _ in 0..40 {
        for (socket, sent) in connections.iter().zip(&mut sent) {
            *sent += stuff(socket, &requests[*sent % requests.len()..]);
        }
        most.look(&server);
        std::thread::sleep(Duration::from_millis(25));
    }
    most.report(report, &server);
}

fn closed_over(report: &mut Report, effort: Effort) {
    let server = Daemon::with("", SHIPPED);
    let count = if effort == Effort::Long { 14_000 } else { 4_000 };
    let (mut most, mut held) = (Most::default(), Vec::new());
    for number in 0..count {
        let socket = unread_by(&server, number);
        // The largest document that needs no password.
        stuff(&socket, b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n");
        held.push(socket);
        if number % 250 == 249 {
            most.look(&server);
        }
    }
    most.look(&server);
    report.measured("requests", count);
    report.at_most("connections that only the kernel has", 64, most.kernel.orphans);
    most.report(report, &server);
}

fn tags(report: &mut Report, _: Effort) {
    let server = Daemon::with("", GAPS);
    let mut tags = b"OpusTags\x04\0\0\0test\x01\0\0\0".to_vec();
    let picture = [&b"METADATA_BLOCK_PICTURE="[..], &vec![b'A'; 63_000]].concat();
    tags.extend((picture.len() as u32).to_le_bytes());
    tags.extend(picture);
    let (mut most, mut listeners) = (Most::default(), Vec::new());
    // A few listeners for each of many streams.
    for round in 0..25u32 {
        let _source = begin(&server, "/m", &ogg::headers_with(round + 1, ogg::HEAD, &tags));
        for number in 0..4 {
            let socket = unread_by(&server, round as usize * 4 + number);
            stuff(&socket, b"GET /m HTTP/1.1\r\nHost: x\r\n\r\n");
            listeners.push(socket);
        }
        // By now all of them have been handed over.
        server.wait_for_lines(&["event=\"source-connected\""], round as usize + 1);
        most.look(&server);
    }
    most.report(report, &server);
    let mut first = listeners.swap_remove(0);
    first.set_nonblocking(false).unwrap();
    first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut heard = Vec::new();
    let _ = Read::by_ref(&mut first).take(70_000).read_to_end(&mut heard);
    report.at_most("bytes that a listener gets before the audio", 8_192, heard.len());
}

/// A source that has sent its headers.
fn begin(server: &Daemon, mount: &str, headers: &[u8]) -> TcpStream {
    let before = server.count_lines(&["event=\"stream-", "codec="]);
    let mut socket = try_connect(server).unwrap();
    write!(socket, "SOURCE {mount} HTTP/1.0\r\n{}\r\n", login(PASSWORD)).unwrap();
    socket.write_all(headers).unwrap();
    server.wait_for_lines(&["event=\"stream-", "codec="], before + 1);
    socket
}

/// Listeners with the longest user agent, none of which reads.
fn listeners(server: &Daemon, mounts: usize, count: usize) -> Vec<TcpStream> {
    let agent = "&".repeat(4_000);
    let listeners: Vec<_> = (0..count)
        .map(|number| {
            let socket = unread_by(server, number);
            let head = format!(
                "GET /{} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n",
                number % mounts
            );
            stuff(&socket, head.as_bytes());
            socket
        })
        .collect();
    listeners
}

fn lists(report: &mut Report, _: Effort) {
    // Two thousand listeners instead of the hundred by default, because this is about the length of the list.
    let server = Daemon::with("", &format!("[limits]\nlisteners = 2000\n{GAPS}"));
    let _source = Source::connect(&server, "/0", 1);
    let _listeners = listeners(&server, 1, 2_000);
    let mut most = Most::default();
    until("2,000 listeners", PATIENCE, || {
        let stats = get_with(&server, "/admin/stats", &admin()).text();
        when(stats.contains("<listeners>2000<"), stats)
    });
    let lists: Vec<_> = (0..64)
        .map(|number| {
            let socket = unread_by(&server, 5_000 + number);
            let path = ["/admin/listclients?mount=/0", "/api/v1/listeners"][number % 2];
            stuff(&socket, format!("GET {path} HTTP/1.1\r\nHost: x\r\n{}\r\n", admin()).as_bytes());
            socket
        })
        .collect();
    for _ in 0..40 {
        most.look(&server);
        std::thread::sleep(Duration::from_millis(25));
    }
    drop(lists);
    most.report(report, &server);
}

/// Segments and playlists that are not read, and requests that wait for audio that does not come.
fn hls(report: &mut Report, _: Effort) {
    let settings = "[mount-defaults]\nring = \"1MiB\"\nhls_segment = \"10s\"\nhls_window = \"2m\"\n\
                    gap = \"pause\"\nhold = \"24h\"";
    let server = Daemon::with("", settings);
    let mut source = Source::connect(&server, "/0", 1);
    // A minute of audio, in segments as long as they may be.
    for _ in 0..60 {
        source.send(50, 200);
    }
    let playlist = "/0/index.m3u8";
    until("a segment", PATIENCE, || {
        let text = get_with(&server, playlist, "").text();
        when(text.contains(".m4s"), text)
    });
    let text = get_with(&server, playlist, "").text();
    let segment = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let next = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let next = next.unwrap().parse::<u64>().unwrap() + text.matches("#EXTINF").count() as u64;
    let paths = [
        format!("/0/{segment}"),
        format!("/0/low-latency.m3u8?_HLS_msn={}", next + 1),
        "/0/low-latency.m3u8".to_owned(),
        "/api/v1/mounts/0/demand?wanted=true&wait=60s".to_owned(),
    ];
    let mut most = Most::default();
    let requests: Vec<_> = (0..400)
        .map(|number| {
            let socket = unread_by(&server, number);
            let path = &paths[number % paths.len()];
            stuff(&socket, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            socket
        })
        .collect();
    for _ in 0..40 {
        most.look(&server);
        std::thread::sleep(Duration::from_millis(25));
    }
    report.measured("requests", requests.len());
    drop(requests);
    most.report(report, &server);
    let healthy = get_with(&server, "/healthz", "").status;
    report.at_least("answer to a health check afterwards", 200, healthy);
}

/// Connections that wait at the door, each from the time of another configuration.
fn configurations(report: &mut Report, _: Effort) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let tokens: Vec<String> = (0..7_000).map(|n| format!("name-{n}:{n:020}\n")).collect();
    let tokens = tokens.concat();
    std::fs::write(&file, tokens).unwrap();
    let mount = |n| {
        let file = file.display();
        format!("[[mount]]\nname = \"/{n}\"\naccess = \"token\"\ntokens_file = \"{file}\"\n")
    };
    let mounts: String = (0..4).map(mount).collect();
    let server = Daemon::with("", &format!("[limits]\nhead_timeout = \"5m\"\n{GAPS}\n{mounts}"));
    let (mut most, mut waiting) = (Most::default(), Vec::new());
    for round in 0..40 {
        let socket = unread_by(&server, round);
        stuff(&socket, b"GET");
        waiting.push(socket);
        server.signal(Signal::SIGHUP);
        server.wait_for_lines(&["event=\"reloaded\""], round + 1);
    }
    most.look(&server);
    report.measured("reloads, each with one more connection that waits", waiting.len());
    most.report(report, &server);
}

/// A source on each mount with the longest headers, and on each mount a second source whose headers are almost complete.
fn sources(server: &Daemon) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let tags = b"OpusTags\x04\0\0\0test\x01\0\0\0\xff\xff\0\0COMMENT=";
    let long = [&tags[..], &vec![b'x'; 60_000]].concat();
    let headers = ogg::headers_with(1, ogg::HEAD, &long);
    let heard = (0..10).map(|mount| begin(server, &format!("/{mount}"), &headers)).collect();
    let mut half = ogg::headers_with(2, ogg::HEAD, &vec![b'x'; 60_000]);
    half.truncate(half.len() - 1_000);
    let newcomers = (0..10).map(|mount| {
        let mut socket = try_connect(server).unwrap();
        write!(socket, "SOURCE /{mount} HTTP/1.0\r\n{}\r\n", login(PASSWORD)).unwrap();
        socket.write_all(&half).unwrap();
        socket
    });
    (heard, newcomers.collect())
}

/// Wrong passwords of each kind, from more networks than the server remembers.
fn guess_everywhere(server: &Daemon) {
    for number in 0..1_100_u32 {
        let address = [127, 100 + (number / 250) as u8, (number % 250) as u8, 1];
        for line in ["PUT /0", "GET /admin/stats", "PUT /1"] {
            let mut socket = crate::client::connect_from(address, server);
            let wrong = login_as("source", "wrong");
            let _ = write!(socket, "{line} HTTP/1.1\r\nHost: x\r\n{wrong}\r\n");
        }
    }
}

/// Incomplete requests, and clients that read neither their answers nor their events and keep sending.
fn unread(server: &Daemon) -> Vec<TcpStream> {
    let talk = vec![b'x'; 64 * 1024];
    let head = format!("GET /0 HTTP/1.1\r\nA: {}", "x".repeat(8_000));
    let events = "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
    let documents = format!("GET /admin/stats HTTP/1.1\r\nHost: x\r\n{}\r\n", admin());
    let requests = [(1_000..1_320, &head[..]), (2_000..2_064, events), (3_000..3_128, &documents)];
    let all = requests
        .into_iter()
        .flat_map(|(numbers, request)| numbers.map(move |number| (number, request.as_bytes())));
    all.map(|(number, request)| {
        let socket = unread_by(server, number);
        stuff(&socket, request);
        if request.ends_with(b"\r\n") {
            stuff(&socket, &talk);
        }
        socket
    })
    .collect()
}

fn everybody_at_once(report: &mut Report, _: Effort) {
    let configuration = Daemon::with("", GAPS);
    let (all, of_process) = ceiling(&configuration);
    drop(configuration);
    let group = had("a memory control group", Group::new("all", (all * 1_048_576.0) as u64));
    let server = match &group {
        Some(group) => Daemon::of(group.command(), "", GAPS),
        None => Daemon::with("", GAPS),
    };
    let mut most = Most::default();
    let (mut sources, newcomers) = sources(&server);
    let listeners = listeners(&server, 10, 100);
    // More than a ring for each mount; none of the listeners reads.
    for page in 0..500 {
        for source in &mut sources {
            source.write_all(&ogg::audio(1, page, 1_200)).unwrap();
        }
    }
    for listener in &listeners {
        stuff(listener, &vec![b'x'; 64 * 1024]);
    }
    most.look(&server);
    guess_everywhere(&server);
    let unread = unread(&server);
    for round in 0..40 {
        for source in &mut sources {
            let _ = source.write_all(&ogg::audio(1, 500 + round, 1_200));
        }
        most.look(&server);
        std::thread::sleep(Duration::from_millis(25));
    }
    let kernel = &most.kernel;
    report.at_most("MiB in the process", of_process, mib(most.process));
    report.at_most("MiB in the process and the kernel", all, mib(most.process + kernel.total()));
    report.measured("sockets", kernel.sockets);
    let kib = |bytes: u64| bytes / 1024;
    report.measured("KiB sent and not acknowledged, of one connection", kib(kernel.largest_sent));
    report.measured("KiB received and not read, of one connection", kib(kernel.largest_received));
    let parts = [kernel.received, kernel.sent, kernel.other].map(|bytes| mib(bytes).to_string());
    report.measured("MiB in the kernel: received, sent, else", parts.join(", "));
    if let Some(group) = &group {
        let (memory, connections) = group.most();
        report.at_most("MiB by the control group", all, mib(memory + connections));
        report.equal("times that it refused memory to a connection", 0, group.failures());
    }
    drop((newcomers, listeners, unread));
}
