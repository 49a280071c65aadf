//! What a packet costs that is sent by WebRTC, beside one that is only sent: the same bytes with a bare
//! `sendto`. And the memory of a session.

#[path = "../../tests/whep/load_client.rs"]
mod load_client;

use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) use load_client::{Clients, LoadClient};

use crate::contender::{Contender, WEBRTC_FLOOR};
use crate::process::Process;
use crate::report::{Limit::AtMost, Report};
use crate::rounds::{Effort, interleaved};
use crate::server::Server;
use crate::source::{Source, path};
use crate::table::{print, row, us};
use crate::{Outcome, cores};

/// Mounts, and sessions of each.
const SHAPES: [(usize, usize); 3] = [(1, 100), (1, 500), (10, 10)];
/// Together some minutes.
const ROUNDS: usize = 3;
/// The length of a datagram with a packet of the source: RTP header, 160 bytes and the tag of AES-CM.
const DATAGRAM: usize = 12 + 160 + 10;
const PACKET: Duration = Duration::from_millis(20);
/// So many sessions begin at once.
const AT_ONCE: usize = 50;
/// How long they may take.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client waits for its first audio until it sends its check again.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Cost {
    /// CPU time for each datagram.
    cpu: Duration,
    /// Bytes for each session; 0 for the floor.
    memory: f64,
}

/// Measures and prints the results.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Outcome<()> {
    let effort = effort.at_most(ROUNDS);
    for (mounts, sessions) in SHAPES {
        let contenders = [Contender::Floor, Contender::Silvacast];
        let rows = interleaved(&contenders, effort, |contender| match contender {
            Contender::Floor => floor(mounts * sessions, effort.window),
            _ => silvacast(mounts, sessions, effort.window),
        })?;
        println!(
            "\nwebrtc: mounts {mounts}, sessions of each {sessions}, a packet every 20 ms; {} rounds of {:?}; \
             the floor sends the same bytes to as many sockets",
            effort.rounds, effort.window
        );
        let cpu = |cost: &Cost| us(cost.cpu);
        let lines: Vec<_> = rows
            .iter()
            .map(|row| {
                [
                    row.contender.name().to_owned(),
                    format!("{:.2}", row.median(cpu)),
                    row.ratio_to(&rows[0], cpu).to_string(),
                    format!("{:.1}", row.median(|cost| cost.memory / 1024.0)),
                ]
            })
            .collect();
        print(["server", "CPU µs/packet", "× floor", "KiB/session"], &lines);
        let shape = format!("{mounts}x{sessions}");
        report.record(&rows, &format!("CPU µs/packet at {shape}"), cpu);
        let silvacast = row(&rows, Contender::Silvacast);
        let ratio = silvacast.map(|row| row.ratio_to(&rows[0], cpu).median);
        report.target(&format!("CPU per packet at {shape} ÷ floor"), ratio, AtMost(1.5), " ×");
    }
    Ok(())
}

fn silvacast(mounts: usize, sessions: usize, window: Duration) -> Outcome<Cost> {
    let server = Server::start(Contender::WebRtc)?;
    let first = Instant::now();
    let sources = (0..mounts).map(|mount| Source::connect(server.address, mount, 1, first));
    let mut sources = sources.collect::<Outcome<Vec<_>>>()?;
    let epoch = Instant::now();
    let clients = Clients::new();
    // What the first session needs once is not its own.
    let mut all = vec![join(&clients, server.address, &path(0))?];
    connect(&mut all, || send(&mut sources, epoch))?;
    let before = server.process.memory()?.resident;
    for number in 1..mounts * sessions {
        all.push(join(&clients, server.address, &path(number % mounts))?);
        send(&mut sources, epoch)?;
        if all.len() % AT_ONCE == 0 {
            connect(&mut all, || send(&mut sources, epoch))?;
        }
    }
    connect(&mut all, || send(&mut sources, epoch))?;
    let more = server.process.memory()?.resident.saturating_sub(before);
    let (began, cpu) = (sources[0].sent(), server.process.cpu()?);
    let until = Instant::now() + window;
    while Instant::now() < until {
        send(&mut sources, epoch)?;
        sleep(sources.iter().map(Source::until_due).min().unwrap_or_default());
    }
    let cpu = server.process.cpu()? - cpu;
    let packets = (sources[0].sent() - began) * (mounts * sessions) as u64;
    Ok(Cost {
        cpu: cpu.total.div_f64(packets as f64),
        memory: more as f64 / (mounts * sessions - 1) as f64,
    })
}

/// Goes on with all clients until each has received audio, and does this meanwhile.
pub(crate) fn connect(
    clients: &mut [LoadClient],
    mut meanwhile: impl FnMut() -> Outcome<()>,
) -> Outcome<()> {
    let (until, mut check_at) = (Instant::now() + BEGIN_TIMEOUT, Instant::now());
    while clients.iter().any(|client| client.packets == 0) {
        let now = Instant::now();
        if now > until {
            return Err("some sessions did not begin".into());
        }
        if now >= check_at {
            clients.iter().filter(|client| client.packets == 0).for_each(LoadClient::check);
            check_at = now + CHECK_INTERVAL;
        }
        clients.iter_mut().for_each(LoadClient::step);
        meanwhile()?;
    }
    Ok(())
}

fn send(sources: &mut [Source], epoch: Instant) -> Outcome<()> {
    sources.iter_mut().try_for_each(|source| source.send_due_pages(epoch))
}

/// Makes an offer to the server.
pub(crate) fn join(clients: &Clients, server: SocketAddr, mount: &str) -> Outcome<LoadClient> {
    let (mut socket, offer) = (TcpStream::connect(server)?, clients.offer());
    write!(
        socket,
        "POST {mount}/whep HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{offer}",
        offer.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, sdp) = answer.split_once("\r\n\r\n").ok_or("no answer to an offer")?;
    if head.split(' ').nth(1) != Some("201") {
        return Err(format!("an offer was refused: {answer}").into());
    }
    Ok(clients.answered(sdp)?)
}

/// Measures a process that sends as many datagrams of the same length, and does nothing else.
fn floor(receivers: usize, window: Duration) -> Outcome<Cost> {
    let sockets = (0..receivers).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    let ports = sockets.iter().map(|socket| Ok(socket.local_addr()?.port().to_string()));
    let ports = ports.collect::<Outcome<Vec<_>>>()?;
    cores::pin_to(cores::servers())?;
    let child = Command::new(env::current_exe()?)
        .arg(WEBRTC_FLOOR)
        .arg(ports.join(","))
        .stdout(Stdio::piped())
        .spawn();
    cores::pin_to_load_core()?;
    let mut child = Killed(child?);
    // It says when it begins.
    let mut ready = [0];
    child.0.stdout.take().ok_or("no output")?.read_exact(&mut ready)?;
    let process = Process::new(child.0.id())?;
    let (began, cpu) = (Instant::now(), process.cpu()?);
    sleep(window);
    let (cpu, took) = (process.cpu()? - cpu, began.elapsed());
    let packets = took.div_duration_f64(PACKET) * receivers as f64;
    Ok(Cost { cpu: cpu.total.div_f64(packets), memory: 0.0 })
}

/// A child process that ends with this.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a datagram to each of these ports every 20 ms, until the process is killed.
pub(crate) fn send_forever(ports: &str) -> Outcome<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    let address = |port: &str| Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)));
    let receivers = ports.split(',').map(address).collect::<Outcome<Vec<_>>>()?;
    println!("ready");
    let (datagram, mut due) = ([0; DATAGRAM], Instant::now());
    loop {
        for receiver in &receivers {
            // A datagram that is not taken at once is lost, as in silvacast.
            let _ = socket.send_to(&datagram, receiver);
        }
        due += PACKET;
        sleep(due.saturating_duration_since(Instant::now()));
    }
}
