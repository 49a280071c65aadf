//! Listeners that sleep while a page is delivered to them: the kernel notes when it arrives
//! (`SO_TIMESTAMPNS`), and they read it later. So the server has all cores for itself.

use std::io::IoSliceMut;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::Outcome;
use crate::listener;
use crate::source::Source;

/// Packets of 20 ms on each page.
const PACKETS: usize = 5;
/// How long the listeners sleep after a page was sent. A delivery that takes longer is an error.
const ASLEEP: Duration = Duration::from_millis(75);
/// Some pages.
const READ: usize = 4096;
/// Pause between the joins of two listeners.
const BETWEEN_JOINS: Duration = Duration::from_micros(200);
/// How long all listeners together may take to receive something.
const FIRST_PAGE_TIMEOUT: Duration = Duration::from_secs(20);

/// A source, and the listeners to its mount.
pub(crate) struct Audience {
    epoch: Instant,
    source: Source,
    listeners: Vec<TcpStream>,
}

/// The delivery of one page to all listeners of all audiences.
pub(crate) struct Delivery {
    /// From the moment when the page was sent until the last listener had it.
    pub(crate) time: Duration,
    /// CPU time that this process used meanwhile.
    pub(crate) load: Duration,
}

impl Audience {
    /// Starts a source and lets listeners join until all receive audio.
    pub(crate) fn start(server: SocketAddr, listeners: usize) -> Outcome<Self> {
        let source = Source::connect(server, 0, PACKETS, Instant::now())?;
        let mut audience = Self { epoch: Instant::now(), source, listeners: Vec::new() };
        for _ in 0..listeners {
            let mut socket = listener::connect(server, None)?;
            setsockopt(&socket, ReceiveTimestampns, &true)?;
            while !listener::send_request(&mut socket, 0)? {
                audience.pause()?;
            }
            audience.listeners.push(socket);
            audience.pause()?;
        }
        let until = Instant::now() + FIRST_PAGE_TIMEOUT;
        let mut silent: Vec<usize> = (0..listeners).collect();
        while !silent.is_empty() {
            if Instant::now() > until {
                return Err(format!("{} listeners receive nothing", silent.len()).into());
            }
            audience.pause()?;
            let mut still = Vec::new();
            for number in silent {
                if newest(&audience.listeners[number])?.is_none() {
                    still.push(number);
                }
            }
            silent = still;
        }
        Ok(audience)
    }

    /// Sends the pages that are due, and waits a moment.
    fn pause(&mut self) -> Outcome<()> {
        self.source.send_due_pages(self.epoch)?;
        sleep(BETWEEN_JOINS);
        Ok(())
    }

    /// Reads everything that has arrived.
    fn drain(&self) -> Outcome<()> {
        self.listeners.iter().try_for_each(|listener| newest(listener).map(|_| ()))
    }
}

/// Sends the next page of each audience at the same time, sleeps, and then reads when it arrived.
pub(crate) fn deliver(audiences: &mut [Audience]) -> Outcome<Delivery> {
    sleep(audiences.iter().map(|audience| audience.source.until_due()).max().unwrap_or_default());
    // What has arrived until now belongs to earlier pages.
    audiences.iter().try_for_each(Audience::drain)?;
    let used = || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    let (sent, before) = (now()?, used()?);
    for audience in &mut *audiences {
        audience.source.send_due_pages(audience.epoch)?;
    }
    sleep(ASLEEP);
    let load = Duration::from(used()?).saturating_sub(before.into());
    let mut last = sent;
    let mut late = 0;
    for listener in audiences.iter().flat_map(|audience| &audience.listeners) {
        match newest(listener)? {
            Some(arrival) => last = last.max(arrival),
            None => late += 1,
        }
    }
    if late > 0 {
        return Err(format!("{late} listeners had no page within {ASLEEP:?}").into());
    }
    Ok(Delivery { time: last.saturating_sub(sent), load })
}

/// The clock of the kernel's timestamps.
fn now() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_REALTIME)?.into())
}

/// Reads everything that has arrived. Returns when the newest of it arrived.
fn newest(listener: &TcpStream) -> Outcome<Option<Duration>> {
    let mut bytes = [0; READ];
    let mut space = cmsg_space!(TimeSpec);
    let mut newest = None;
    loop {
        let mut buffer = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(
            listener.as_raw_fd(),
            &mut buffer,
            Some(&mut space),
            MsgFlags::MSG_DONTWAIT,
        );
        let message = match message {
            Err(Errno::EAGAIN) => return Ok(newest),
            Err(Errno::EINTR) => continue,
            message => message?,
        };
        if message.bytes == 0 {
            return Err("a listener was disconnected".into());
        }
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(time) = control {
                newest = newest.max(Some(time.into()));
            }
        }
        // A buffer that is not full took everything.
        if message.bytes < READ {
            return Ok(newest);
        }
    }
}
