//! A source and HLS listeners on one thread, with one epoll set.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};

use crate::hls_listener::{Fetched, HlsListener, Manner, Waiting};
use crate::process::{CpuTime, Memory};
use crate::server::Server;
use crate::source::Source;
use crate::{Outcome, cores};

/// Length of a segment: the default of silvacast.
const SEGMENT: Duration = Duration::from_secs(2);
/// A playlist has three segments by then, with which a player begins.
const FILLED: Duration = Duration::from_secs(8);
/// Listeners join evenly over this time, so that their requests are spread as in real life.
const JOINING: Duration = Duration::from_secs(6);
/// Pause after the last one has joined.
const SETTLE: Duration = Duration::from_secs(4);

/// How the load waits for events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It polls, as [`crate::load::Load`] does: nobody has to wake it.
    Poll,
    /// It sleeps, because a cache shares its core.
    Sleep,
}

/// The source and the listeners.
pub(crate) struct HlsLoad {
    epoll: Epoll,
    epoch: Instant,
    source: Source,
    listeners: Vec<HlsListener>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    buffer: Box<[u8]>,
    wait: Wait,
    fetched: Fetched,
}

/// The figures of a window.
pub(crate) struct HlsFigures {
    /// Number of listeners.
    pub(crate) listeners: usize,
    /// CPU time of silvacast.
    pub(crate) cpu: CpuTime,
    /// Memory of silvacast at the end.
    pub(crate) memory: Memory,
    /// Length of the window.
    pub(crate) window: Duration,
    /// New segments in the window.
    pub(crate) segments: u64,
    /// Requests that silvacast received.
    pub(crate) requests: u64,
    /// What the listeners did.
    pub(crate) fetched: Fetched,
    /// Segments or parts that listeners lost.
    pub(crate) lost: u64,
    /// How often audio arrived after the moment when it should have been heard.
    pub(crate) late: u64,
    /// Listeners that are more than one segment behind the others.
    pub(crate) behind: usize,
}

impl HlsFigures {
    /// CPU time for each listener and second.
    pub(crate) fn cost(&self) -> Duration {
        self.cpu.total.div_f64(self.listeners as f64 * self.window.as_secs_f64())
    }

    /// Whether each listener received everything in time.
    pub(crate) fn is_clean(&self) -> bool {
        let Fetched { errors, different, .. } = self.fetched;
        self.lost == 0 && self.late == 0 && self.behind == 0 && errors == 0 && different == 0
    }
}

impl HlsLoad {
    /// Starts a source, and waits until a playlist is full enough to begin.
    pub(crate) fn start(server: &Server, packets: usize, wait: Wait) -> Outcome<Self> {
        let mut load = Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            epoch: Instant::now(),
            source: Source::connect(server.address, 0, packets, Instant::now())?,
            listeners: Vec::new(),
            due: BinaryHeap::new(),
            buffer: vec![0; 64 * 1024].into(),
            wait,
            fetched: Fetched::default(),
        };
        load.run(FILLED)?;
        Ok(load)
    }

    /// Lets listeners join.
    pub(crate) fn join(&mut self, listeners: usize, manner: Manner) -> Outcome<()> {
        let began = Instant::now();
        for number in 0..listeners {
            let begin = began + JOINING.mul_f64(number as f64 / listeners as f64);
            self.listeners.push(HlsListener::new(manner, number, begin));
            self.due.push(Reverse((begin, number)));
        }
        self.run(JOINING + SETTLE)
    }

    /// Runs for a window and returns its figures.
    pub(crate) fn measure(&mut self, server: &Server, window: Duration) -> Outcome<HlsFigures> {
        self.fetched.reset();
        let lost_and_late = self.lost_and_late();
        let first = self.newest();
        let requests = requests(server.address)?;
        let (began, before) = (Instant::now(), server.process.cpu()?);
        self.run(window)?;
        let (cpu, window) = (server.process.cpu()? - before, began.elapsed());
        let memory = server.process.memory()?;
        // One of them asked for this figure.
        let requests = self::requests(server.address)? - requests - 1;
        let newest = self.newest();
        let now = self.lost_and_late();
        Ok(HlsFigures {
            listeners: self.listeners.len(),
            cpu,
            memory,
            window,
            segments: newest - first,
            requests,
            fetched: std::mem::take(&mut self.fetched),
            lost: now.0 - lost_and_late.0,
            late: now.1 - lost_and_late.1,
            behind: self.listeners.iter().filter(|l| l.next_segment() + 1 < newest).count(),
        })
    }

    /// The newest segment that a listener has taken.
    fn newest(&self) -> u64 {
        self.listeners.iter().map(HlsListener::next_segment).max().unwrap_or(0)
    }

    fn lost_and_late(&self) -> (u64, u64) {
        let all = self.listeners.iter().map(HlsListener::lost_and_late);
        all.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    fn run(&mut self, time: Duration) -> Outcome<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.source.send_due_pages(self.epoch)?;
            while let Some(&Reverse((due, number))) = self.due.peek()
                && due <= Instant::now()
            {
                self.due.pop();
                self.proceed(number)?;
            }
            self.poll()?;
        }
        Ok(())
    }

    fn proceed(&mut self, number: usize) -> Outcome<()> {
        match self.listeners[number].proceed(&self.epoll, &mut self.fetched)? {
            Waiting::Until(time) => self.due.push(Reverse((time, number))),
            Waiting::ForConnection => {}
        }
        Ok(())
    }

    fn poll(&mut self) -> Outcome<()> {
        let timeout = match self.wait {
            Wait::Poll if cores::all().len() > 1 => EpollTimeout::ZERO,
            _ => {
                let due = self.due.peek().map(|Reverse((due, _))| *due);
                let next = due.map(|due| due.saturating_duration_since(Instant::now()));
                let next = next.unwrap_or(SEGMENT).min(self.source.until_due());
                EpollTimeout::try_from(next + Duration::from_millis(1))?
            }
        };
        let mut events = [EpollEvent::empty(); 64];
        let ready = match self.epoll.wait(&mut events, timeout) {
            Err(Errno::EINTR) => 0,
            ready => ready?,
        };
        for event in &events[..ready] {
            let number = event.data() as usize;
            let listener = &mut self.listeners[number];
            let was_waiting = listener.is_waiting();
            listener.handle(&self.epoll, &mut self.buffer, &mut self.fetched)?;
            if was_waiting && !listener.is_waiting() {
                self.proceed(number)?;
            }
        }
        Ok(())
    }
}

/// How many requests a server has received, this one included.
fn requests(server: SocketAddr) -> Outcome<u64> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("silvacast_requests_total "));
    Ok(line.ok_or("the server does not count its requests")?.parse()?)
}
