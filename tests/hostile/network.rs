//! A server in one network namespace and its clients in another. The link between them has the MTU that a test wants,
//! and can be cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::daemon::{ADMIN_PASSWORD, Daemon, PASSWORD, binary};
use crate::needs::{Need, needs};
use crate::process::{Run, Running};
use crate::wait::{PATIENCE, until, when};
use crate::{client, ogg};

/// The server's address in the network.
const SERVER: &str = "10.77.0.1";
const PORT: u16 = 8080;
/// Audio in real time comes in pages of 20 ms.
const PAGE: Duration = Duration::from_millis(20);

pub(crate) struct Network {
    name: String,
    /// Bytes in a page's packet. 160 make 64 kb/s, as most Recorders send.
    packet: usize,
}

impl Network {
    /// A network whose link has this MTU, for audio with `packet` bytes in a page; `None` if this machine cannot make
    /// one.
    pub(crate) fn new(mtu: u32, packet: usize) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !needs(&[Need::Root, Need::Program("ip")]) {
            return None;
        }
        let name = format!("sv{}-{}", std::process::id() % 100_000, NEXT.fetch_add(1, SeqCst));
        let (near, far) = (format!("{name}a"), format!("{name}b"));
        let network = Self { name, packet };
        for line in [
            format!("netns add {near}"),
            format!("netns add {far}"),
            format!("-n {near} link set lo up"),
            format!("-n {far} link set lo up"),
            format!(
                "link add s0 netns {near} mtu {mtu} type veth peer name c0 netns {far} mtu {mtu}"
            ),
            format!("-n {near} addr add {SERVER}/24 dev s0"),
            format!("-n {far} addr add 10.77.0.2/24 dev c0"),
            format!("-n {near} link set s0 up"),
            format!("-n {far} link set c0 up"),
        ] {
            ip(&line);
        }
        Some(network)
    }

    /// A server in it.
    pub(crate) fn server(&self, mount_defaults: &str) -> Daemon {
        let mut command = self.inside('a');
        command.arg(binary());
        let text = format!(
            "listen = [\"0.0.0.0:{PORT}\"]\n[auth]\nsource_password = \"{PASSWORD}\"\n\
             admin_password = \"{ADMIN_PASSWORD}\"\n[limits]\nconnections_per_ip = 0\n\
             [mount-defaults]\n{mount_defaults}\n"
        );
        Daemon::of_command_with_text(command, &text)
    }

    fn inside(&self, end: char) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}{end}", self.name)]);
        command
    }

    fn this_program(&self, end: char, arguments: &[String]) -> Running {
        let mut command = self.inside(end);
        command.arg(std::env::current_exe().unwrap()).arg(AS_CLIENT).args(arguments);
        Running::start(command.stdout(Stdio::piped()))
    }

    /// A source beside the server. It first sends `ahead` seconds at once, then continues in real time for `seconds`.
    pub(crate) fn source(&self, ahead: u64, seconds: u64) -> Running {
        let numbers = [ahead, seconds, self.packet as u64].map(|number| number.to_string());
        let mut running = self.this_program('a', &[&["source".to_owned()][..], &numbers].concat());
        // It has sent the seconds ahead.
        let mut line = [0; 6];
        running.stdout().read_exact(&mut line).unwrap();
        assert_eq!(&line, b"ready\n");
        running
    }

    /// A reader at the other end.
    pub(crate) fn reader(&self, reader: &Reader) -> Running {
        let arguments = [reader.arguments(), vec![self.packet.to_string()]].concat();
        self.this_program('b', &arguments)
    }

    /// A real player that reads as fast as the audio plays, through a small window.
    pub(crate) fn ffmpeg(&self, burst: u64, seconds: u64) -> Running {
        let mut command = self.inside('b');
        command.args([
            "ffmpeg",
            "-nostdin",
            "-loglevel",
            "error",
            "-re",
            "-recv_buffer_size",
            "16384",
        ]);
        let url = format!("http://{SERVER}:{PORT}/m?burst={burst}s");
        let time = seconds.to_string();
        command.args(["-i", &url, "-t", &time, "-c", "copy", "-f", "null", "-progress", "-", "-"]);
        Running::start(command.stdout(Stdio::piped()))
    }

    /// Waits until clients have this many connections.
    pub(crate) fn wait_for_connections(&self, count: usize) {
        until(&format!("{count} connections"), PATIENCE, || {
            let output = self.inside('b').args(["ss", "-tnH", "state", "established"]).run();
            let connections = String::from_utf8_lossy(&output.stdout).lines().count();
            when(connections >= count, connections)
        });
    }

    /// Cuts the link; neither end is notified.
    pub(crate) fn cut(&self) {
        ip(&format!("-n {}b link set c0 down", self.name));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for end in ['a', 'b'] {
            let _ = Command::new("ip")
                .args(["netns", "delete", &format!("{}{end}", self.name)])
                .try_run(PATIENCE);
        }
    }
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).run();
    assert!(output.status.success(), "ip {line}: {output:?}");
}

/// How a player reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    /// `SO_RCVBUF`, in bytes.
    pub buffer: usize,
    /// The burst that it asks for, in seconds.
    pub burst: u64,
    /// How long it reads in real time, in seconds.
    pub seconds: u64,
    /// Whether it stays connected after that without reading.
    pub stays: bool,
}

impl Reader {
    fn arguments(&self) -> Vec<String> {
        let Self { buffer, burst, seconds, stays } = self;
        vec![
            "reader".into(),
            buffer.to_string(),
            burst.to_string(),
            seconds.to_string(),
            stays.to_string(),
        ]
    }
}

const AS_CLIENT: &str = "--as-client";

/// Runs this program as a client in a namespace, if the arguments say so.
pub(crate) fn act_as_client(arguments: &[String]) -> Option<ExitCode> {
    let (first, rest) = arguments.split_first()?;
    if first != AS_CLIENT {
        return None;
    }
    let number = |at: usize| rest[at].parse::<u64>().unwrap();
    if rest[0] == "source" {
        be_source(number(1), number(2), number(3) as usize);
    } else {
        let (buffer, stays, packet) = (number(1) as usize, rest[4] == "true", number(5) as usize);
        be_reader(Reader { buffer, burst: number(2), seconds: number(3), stays }, packet);
    }
    Some(ExitCode::SUCCESS)
}

fn be_source(ahead: u64, seconds: u64, packet: usize) {
    let mut socket = TcpStream::connect((SERVER, PORT)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let login = client::login(PASSWORD);
    write!(socket, "SOURCE /m HTTP/1.0\r\n{login}\r\n").unwrap();
    socket.write_all(&ogg::headers(1)).unwrap();
    let pages = |seconds: u64| (seconds * 50) as u32;
    for number in 0..pages(ahead) {
        socket.write_all(&ogg::audio(1, number, packet)).unwrap();
    }
    println!("ready");
    let began = Instant::now();
    for number in 0..pages(seconds) {
        let due = began + PAGE * (number + 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if socket.write_all(&ogg::audio(1, pages(ahead) + number, packet)).is_err() {
            return;
        }
    }
}

/// Reads as fast as the audio plays, and prints how much that was and whether the server closed the connection.
fn be_reader(reader: Reader, packet: usize) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(reader.buffer).unwrap();
    let address: SocketAddr = format!("{SERVER}:{PORT}").parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    write!(socket, "GET /m?burst={}s HTTP/1.1\r\nHost: x\r\n\r\n", reader.burst).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let page = ogg::audio(1, 0, packet).len() as f64;
    let began = Instant::now();
    let (mut taken, mut buffer) = (0_u64, vec![0; 4096]);
    let mut cut = String::from("no");
    while began.elapsed() < Duration::from_secs(reader.seconds) {
        let due = (began.elapsed().as_secs_f64() / PAGE.as_secs_f64() * page) as u64;
        let most = due.saturating_sub(taken).min(4096) as usize;
        if most == 0 {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        match socket.read(&mut buffer[..most]) {
            Ok(0) => cut = "closed".into(),
            Ok(n) => taken += n as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => cut = error.to_string(),
        }
        if cut != "no" {
            cut = format!("{cut} after {:.1} s", began.elapsed().as_secs_f64());
            break;
        }
    }
    println!("taken {taken} cut {cut}");
    if reader.stays {
        std::thread::sleep(Duration::from_mins(10));
    }
}
