//! The load: all sources and listeners of a measurement, on one thread with one epoll set. So it
//! uses little processor time, and its parts cannot race with each other.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::contender::Contender;
use crate::listener::{self, Listener, Received};
use crate::process::CpuTime;
use crate::server::Server;
use crate::source::Source;
use crate::table::percentile;
use crate::{Outcome, cores};

/// How long all listeners together may take to receive their first pages.
pub(crate) const FIRST_PAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after the sources have started, and after the last listener has joined.
const SETTLE: Duration = Duration::from_secs(1);
/// Pause between the joins of two listeners, where joining is not measured.
const BETWEEN_JOINS: Duration = Duration::from_millis(1);
/// The kernel raises this to its minimum.
const MIN_BUFFER: usize = 1;

/// The sources and listeners of one server.
pub(crate) struct Load {
    server: SocketAddr,
    epoll: Epoll,
    /// Times on pages are counted from here.
    epoch: Instant,
    sources: Vec<Source>,
    listeners: Vec<Listener>,
    stalled: Vec<TcpStream>,
    received: Received,
    buffer: Box<[u8]>,
    /// How often a listener that receives nothing connects again.
    reconnects: usize,
}

/// The figures of one measurement window.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    /// The server's CPU time.
    pub(crate) cpu: CpuTime,
    /// Median latency from source to listener.
    pub(crate) p50: Duration,
    /// 99th percentile of the latency.
    pub(crate) p99: Duration,
    /// Missing packets.
    pub(crate) gaps: u64,
    /// Pages that listeners received.
    pub(crate) pages: usize,
    /// Fraction of the window in which server and load waited for a core.
    pub(crate) waited: f64,
}

impl Figures {
    /// The server's CPU time for each page that a listener received.
    pub(crate) fn cost(&self) -> Duration {
        self.cpu.total.div_f64(self.pages as f64)
    }
}

impl Load {
    /// Starts one source for each mount. The pages of the sources are evenly spread over time.
    pub(crate) fn start(server: &Server, mounts: usize, packets: usize) -> Outcome<Self> {
        let mut load = Self::empty(server)?;
        for mount in 0..mounts {
            let phase = Duration::from_millis(20) * mount as u32 / mounts as u32;
            let first = Instant::now() + phase;
            load.sources.push(Source::connect(server.address, mount, packets, first)?);
        }
        Ok(load)
    }

    /// Starts a source, with pages of 20 ms, at the first server, for listeners at the last one.
    pub(crate) fn through(first: &Server, last: &Server) -> Outcome<Self> {
        let mut load = Self::empty(last)?;
        load.sources.push(Source::connect(first.address, 0, 1, Instant::now())?);
        Ok(load)
    }

    /// Without a source, for listeners of this server.
    fn empty(server: &Server) -> Outcome<Self> {
        Ok(Self {
            server: server.address,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            epoch: Instant::now(),
            sources: Vec::new(),
            listeners: Vec::new(),
            stalled: Vec::new(),
            received: Received::default(),
            buffer: vec![0; 64 * 1024].into(),
            // Icecast's backlog is 5. A connection that does not fit may stay silent for minutes.
            reconnects: if server.contender == Contender::Icecast { 3 } else { 0 },
        })
    }

    /// The same with listeners, evenly over the mounts.
    pub(crate) fn with_listeners(
        server: &Server,
        mounts: usize,
        packets: usize,
        listeners: usize,
    ) -> Outcome<Self> {
        let mut load = Self::start(server, mounts, packets)?;
        load.join_after_a_pause(listeners)?;
        Ok(load)
    }

    /// Lets listeners join, between two pauses in which all settles.
    pub(crate) fn join_after_a_pause(&mut self, listeners: usize) -> Outcome<()> {
        self.run(SETTLE)?;
        self.join(listeners)?;
        self.run(SETTLE)
    }

    /// Lets listeners join one by one, evenly over the mounts, until all receive audio.
    pub(crate) fn join(&mut self, listeners: usize) -> Outcome<()> {
        for number in 0..listeners {
            self.start_listener(number % self.sources.len())?;
            self.run(BETWEEN_JOINS)?;
        }
        let mut silent = self.wait_for_first_pages()?;
        for _ in 0..self.reconnects {
            if silent == 0 {
                break;
            }
            self.reconnect_silent()?;
            silent = self.wait_for_first_pages()?;
        }
        match silent {
            0 => Ok(()),
            silent => Err(format!("{silent} of {listeners} listeners receive no audio").into()),
        }
    }

    /// Lets listeners join as fast as this thread can connect and read. Returns the time until all
    /// had started to connect, and the sorted times to the first page of those that received one.
    pub(crate) fn join_at_once(&mut self, listeners: usize) -> Outcome<(Duration, Vec<Duration>)> {
        let began = Instant::now();
        for number in 0..listeners {
            self.start_listener(number % self.sources.len())?;
            self.poll(EpollTimeout::ZERO)?;
        }
        let joining = began.elapsed();
        self.wait_for_first_pages()?;
        let mut times: Vec<_> = self.listeners.iter().filter_map(|l| l.first_page).collect();
        times.sort_unstable();
        Ok((joining, times))
    }

    /// Adds listeners that send a request and then never read.
    pub(crate) fn stall(&mut self, listeners: usize) -> Outcome<()> {
        for number in 0..listeners {
            let mount = number % self.sources.len();
            let mut socket = listener::connect(self.server, Some(MIN_BUFFER))?;
            while !listener::send_request(&mut socket, mount)? {
                self.run(BETWEEN_JOINS)?;
            }
            self.stalled.push(socket);
            self.run(BETWEEN_JOINS)?;
        }
        Ok(())
    }

    /// The number of pages of audio that all sources have sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sources.iter().map(Source::sent).sum()
    }

    /// The number of pages that all listeners have received so far, or since the last measurement
    /// began.
    pub(crate) fn received(&self) -> usize {
        self.received.pages
    }

    /// The connections of the listeners that never read.
    pub(crate) fn stalled(&self) -> &[TcpStream] {
        &self.stalled
    }

    /// Sends and receives for a while.
    pub(crate) fn run(&mut self, time: Duration) -> Outcome<()> {
        // If the load slept, the server would have to wake it when it sends, and would need more
        // CPU time the more often the load sleeps. On a separate core the load polls instead.
        let wait =
            if cores::all().len() > 1 { EpollTimeout::ZERO } else { EpollTimeout::from(1u8) };
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.poll(wait)?;
        }
        Ok(())
    }

    /// Sends and receives for the length of a window, and returns its figures.
    pub(crate) fn measure(&mut self, server: &Server, window: Duration) -> Outcome<Figures> {
        // The window must not begin or end while a page is being delivered, or it would count only
        // a part of the deliveries.
        self.run(self.sources[0].until_between_pages())?;
        let mut latencies = std::mem::take(&mut self.received.latencies);
        latencies.clear();
        self.received = Received { latencies, ..Received::default() };
        let began = Instant::now();
        let (before, waited) = (server.process.cpu()?, server.waited()?);
        self.run(window)?;
        self.run(self.sources[0].until_between_pages())?;
        let cpu = server.process.cpu()? - before;
        let waited = server.waited()?.saturating_sub(waited);
        let window = began.elapsed();
        let received = &mut self.received;
        if received.disconnected > 0 || received.pages == 0 {
            let all = self.listeners.len();
            let Received { disconnected, pages, .. } = received;
            return Err(format!(
                "{disconnected} of {all} listeners were disconnected; {pages} pages received"
            )
            .into());
        }
        received.latencies.sort_unstable();
        Ok(Figures {
            cpu,
            p50: percentile(&received.latencies, 0.50),
            p99: percentile(&received.latencies, 0.99),
            gaps: received.gaps,
            pages: received.pages,
            waited: waited.div_duration_f64(window),
        })
    }

    /// Connects the listeners again that have received nothing.
    fn reconnect_silent(&mut self) -> Outcome<()> {
        for number in 0..self.listeners.len() {
            if self.listeners[number].first_page.is_none() {
                let listener = self.connect(number % self.sources.len(), number)?;
                self.listeners[number] = listener;
                self.run(BETWEEN_JOINS)?;
            }
        }
        Ok(())
    }

    fn start_listener(&mut self, mount: usize) -> Outcome<()> {
        let listener = self.connect(mount, self.listeners.len())?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Connects the listener with this number.
    fn connect(&self, mount: usize, number: usize) -> Outcome<Listener> {
        let mut listener = Listener::connect(self.server, mount)?;
        let mut flags = EpollFlags::EPOLLIN;
        if !listener.send_request()? {
            flags |= EpollFlags::EPOLLOUT;
        }
        let event = EpollEvent::new(flags, number as u64);
        self.epoll.add(&listener.socket, event)?;
        Ok(listener)
    }

    /// Sends and receives until all listeners have received a page. Returns how many have not.
    fn wait_for_first_pages(&mut self) -> Outcome<usize> {
        let until = Instant::now() + FIRST_PAGE_TIMEOUT;
        loop {
            let silent = self.listeners.iter().filter(|l| l.first_page.is_none()).count();
            if silent == 0 || Instant::now() > until {
                return Ok(silent);
            }
            self.run(Duration::from_millis(50))?;
        }
    }

    /// Sends the pages that are due, waits for events and handles them.
    fn poll(&mut self, wait: EpollTimeout) -> Outcome<()> {
        for source in &mut self.sources {
            source.send_due_pages(self.epoch)?;
        }
        let mut events = [EpollEvent::empty(); 64];
        let ready = match self.epoll.wait(&mut events, wait) {
            Err(Errno::EINTR) => 0,
            ready => ready?,
        };
        for event in &events[..ready] {
            let listener = &mut self.listeners[event.data() as usize];
            if event.events().contains(EpollFlags::EPOLLOUT) && listener.send_request()? {
                let mut reading = EpollEvent::new(EpollFlags::EPOLLIN, event.data());
                self.epoll.modify(&listener.socket, &mut reading)?;
            }
            if !listener.read(&mut self.buffer, self.epoch, &mut self.received) {
                self.received.disconnected += 1;
                self.epoll.delete(&listener.socket)?;
            }
        }
        Ok(())
    }
}
