//! The load: all sources and listeners of a measurement, on one thread and one epoll set, so that
//! it costs little beside the server and cannot race with itself.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::listener::{self, Listener, Tally};
use crate::server::Server;
use crate::source::Source;
use crate::table::percentile;
use crate::{Outcome, cores};

/// How long the last of the listeners may take to hear something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Rest between the joins of two listeners, where joining is not what is measured.
const BETWEEN_JOINS: Duration = Duration::from_millis(1);
/// As small as the kernel lets it be.
const LEAST_BUFFER: usize = 1;

/// Sources and listeners of one server.
pub(crate) struct Load {
    server: SocketAddr,
    epoll: Epoll,
    began: Instant,
    sources: Vec<Source>,
    listeners: Vec<Listener>,
    stalled: Vec<TcpStream>,
    tally: Tally,
    buffer: Box<[u8]>,
}

/// What one window showed.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    /// CPU time of the server per page that a listener received.
    pub(crate) cost: Duration,
    /// Median of the time from source to listener.
    pub(crate) p50: Duration,
    /// 99th percentile of it.
    pub(crate) p99: Duration,
    /// Packets missing.
    pub(crate) gaps: u64,
    /// Pages that listeners received.
    pub(crate) pages: usize,
    /// Part of the time that server and load were kept waiting for their cores by others.
    pub(crate) waited: f64,
}

impl Load {
    /// Puts sources on the air, on as many mounts, their pages evenly spread over time.
    pub(crate) fn on_air(server: &Server, mounts: usize, packets: usize) -> Outcome<Self> {
        let began = Instant::now();
        let mut load = Self {
            server: server.address,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            began,
            sources: Vec::new(),
            listeners: Vec::new(),
            stalled: Vec::new(),
            tally: Tally::default(),
            buffer: vec![0; 64 * 1024].into(),
        };
        for mount in 0..mounts {
            let phase = Duration::from_millis(20) * mount as u32 / mounts as u32;
            load.sources.push(Source::connect(
                load.server,
                mount,
                packets,
                Instant::now() + phase,
            )?);
        }
        Ok(load)
    }

    /// Listeners join one by one, evenly over the mounts, and all hear something.
    pub(crate) fn join(&mut self, listeners: usize) -> Outcome<()> {
        for number in 0..listeners {
            self.begin_to_listen(number % self.sources.len())?;
            self.run(BETWEEN_JOINS)?;
        }
        match self.wait_until_all_hear()? {
            0 => Ok(()),
            deaf => Err(format!("{deaf} of {listeners} listeners hear nothing").into()),
        }
    }

    /// Listeners join as fast as this thread can connect and read, and wait for nothing. Gives the
    /// time that all of them took to ask, and the time to the first page of each that heard one.
    pub(crate) fn rush(&mut self, listeners: usize) -> Outcome<(Duration, Vec<Duration>)> {
        let began = Instant::now();
        for number in 0..listeners {
            self.begin_to_listen(number % self.sources.len())?;
            self.turn(EpollTimeout::ZERO)?;
        }
        let took = began.elapsed();
        self.wait_until_all_hear()?;
        let mut times: Vec<_> = self.listeners.iter().filter_map(|l| l.first_page).collect();
        times.sort_unstable();
        Ok((took, times))
    }

    /// Listeners that ask and then never read.
    pub(crate) fn stall(&mut self, listeners: usize) -> Outcome<()> {
        for number in 0..listeners {
            let mount = number % self.sources.len();
            let mut socket = listener::connect(self.server, Some(LEAST_BUFFER))?;
            while !listener::ask(&mut socket, mount)? {
                self.run(BETWEEN_JOINS)?;
            }
            self.stalled.push(socket);
            self.run(BETWEEN_JOINS)?;
        }
        Ok(())
    }

    /// The listeners that never read.
    pub(crate) fn stalled(&self) -> &[TcpStream] {
        &self.stalled
    }

    /// Plays on for a while.
    pub(crate) fn run(&mut self, time: Duration) -> Outcome<()> {
        // A load that sleeps has to be woken, and the server would pay for that, the more the idler
        // the load is. With a core of its own it never sleeps.
        let wait = if cores::count() > 1 { EpollTimeout::ZERO } else { EpollTimeout::from(1u8) };
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn(wait)?;
        }
        Ok(())
    }

    /// Plays on for a while, and says what the listeners heard and what it cost the server.
    pub(crate) fn measure(&mut self, server: &Server, window: Duration) -> Outcome<Figures> {
        // A window that began or ended in the midst of a page's deliveries would count a part of them.
        self.run(self.sources[0].until_between_pages())?;
        let mut latencies = std::mem::take(&mut self.tally.latencies);
        latencies.clear();
        self.tally = Tally { latencies, ..Tally::default() };
        let (before, waited) = (server.cpu()?, server.waited()?);
        self.run(window)?;
        let cpu = server.cpu()?.saturating_sub(before);
        let waited = server.waited()?.saturating_sub(waited);
        let tally = &mut self.tally;
        if tally.lost > 0 || tally.pages == 0 {
            let all = self.listeners.len();
            let Tally { lost, pages, .. } = tally;
            return Err(
                format!("{lost} of {all} listeners were cut off; {pages} pages came").into()
            );
        }
        tally.latencies.sort_unstable();
        Ok(Figures {
            cost: cpu.div_f64(tally.pages as f64),
            p50: percentile(&tally.latencies, 0.50),
            p99: percentile(&tally.latencies, 0.99),
            gaps: tally.gaps,
            pages: tally.pages,
            waited: waited.div_duration_f64(window),
        })
    }

    fn begin_to_listen(&mut self, mount: usize) -> Outcome<()> {
        let mut listener = Listener::connect(self.server, mount)?;
        let mut flags = EpollFlags::EPOLLIN;
        if !listener.ask()? {
            flags |= EpollFlags::EPOLLOUT;
        }
        let event = EpollEvent::new(flags, self.listeners.len() as u64);
        self.epoll.add(&listener.socket, event)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Plays on until all listeners have heard something; gives the number of those that do not.
    fn wait_until_all_hear(&mut self) -> Outcome<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            let deaf = self.listeners.iter().filter(|l| l.first_page.is_none()).count();
            if deaf == 0 || Instant::now() > until {
                return Ok(deaf);
            }
            self.run(Duration::from_millis(50))?;
        }
    }

    /// Sends what is due and reads what has come, after a wait for it.
    fn turn(&mut self, wait: EpollTimeout) -> Outcome<()> {
        for source in &mut self.sources {
            source.feed(self.began)?;
        }
        let mut events = [EpollEvent::empty(); 64];
        let ready = match self.epoll.wait(&mut events, wait) {
            Err(Errno::EINTR) => 0,
            ready => ready?,
        };
        for event in &events[..ready] {
            let listener = &mut self.listeners[event.data() as usize];
            if event.events().contains(EpollFlags::EPOLLOUT) && listener.ask()? {
                let mut reading = EpollEvent::new(EpollFlags::EPOLLIN, event.data());
                self.epoll.modify(&listener.socket, &mut reading)?;
            }
            if !listener.read(&mut self.buffer, self.began, &mut self.tally) {
                self.tally.lost += 1;
                self.epoll.delete(&listener.socket)?;
            }
        }
        Ok(())
    }
}
