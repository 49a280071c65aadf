//! One source: pushes audio in real time, as FFmpeg does. Each packet contains the time at which it
//! was sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ogg_splice::{Page, PageHeader, write_page};

use crate::Outcome;

/// Duration of a packet.
const PACKET: Duration = Duration::from_millis(20);
const PACKET_SAMPLES: u64 = 960;
/// A page is due later by this part of its duration than it would be in real time. Without this
/// drift, all pages of a window would fall on the same phase of the kernel's clock tick (1 to 10
/// ms), and `utime`, which is sampled at the tick, would count all of the server's time or none.
const DRIFT: u32 = 700;
/// `source:measure`, encoded for Basic authentication.
const SOURCE_CREDENTIALS: &str = "c291cmNlOm1lYXN1cmU=";
/// Size of a packet at 64 kb/s.
const PACKET_BYTES: usize = 160;
/// The TOC byte of a mono Opus packet with one frame of 20 ms (RFC 6716, section 3.1).
const TOC: u8 = 0xf8;
/// Marks the packets of this benchmark.
const MAGIC: &[u8; 8] = b"measured";

/// How long a server may take to respond to a push.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The contents of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// The number of the packet in its source, from 0.
    pub(crate) number: u64,
    /// When the packet was sent, counted from the load's epoch.
    pub(crate) sent: Duration,
}

/// The path of the mount with this number.
pub(crate) fn path(mount: usize) -> String {
    format!("/bench-{mount}.opus")
}

/// A connected source.
pub(crate) struct Source {
    socket: TcpStream,
    packets_per_page: usize,
    /// When the next page is due.
    due: Instant,
    packets: u64,
    pages: u32,
    page: Vec<u8>,
}

impl Source {
    /// Connects, waits for the response, and sends the header pages. The first page of audio is due
    /// at `first`.
    pub(crate) fn connect(
        server: SocketAddr,
        mount: usize,
        packets_per_page: usize,
        first: Instant,
    ) -> Outcome<Self> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        write!(
            socket,
            "PUT {} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: fanout\r\nAccept: */*\r\n\
             Expect: 100-continue\r\nConnection: close\r\nContent-Type: audio/ogg\r\n\
             Authorization: Basic {SOURCE_CREDENTIALS}\r\n\r\n",
            path(mount)
        )?;
        let mut response = [0; 1024];
        let n = socket.read(&mut response)?;
        let response = String::from_utf8_lossy(&response[..n]);
        let line = response.lines().next().unwrap_or_default();
        if !matches!(line.split(' ').nth(1), Some("100" | "200")) {
            return Err(format!("the source was refused: {line}").into());
        }
        let mut headers = Vec::new();
        write_page(
            &mut headers,
            PageHeader { first: true, ..PageHeader::default() },
            &[b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00"],
        );
        write_page(
            &mut headers,
            PageHeader { sequence: 1, ..PageHeader::default() },
            &[b"OpusTags\x06\x00\x00\x00fanout\x00\x00\x00\x00"],
        );
        socket.write_all(&headers)?;
        // A server that does not accept a page at once is an error. It must not block the load.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, packets_per_page, due: first, packets: 0, pages: 2, page: Vec::new() })
    }

    /// Sends the pages that are due.
    pub(crate) fn send_due_pages(&mut self, epoch: Instant) -> Outcome<()> {
        while self.due <= Instant::now() {
            self.write_page(epoch.elapsed());
            self.socket.write_all(&self.page).map_err(|error| {
                format!("the server does not accept the source's page: {error}")
            })?;
            self.due += self.interval();
        }
        Ok(())
    }

    /// The time until the next page is due.
    pub(crate) fn until_due(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// The time until a moment shortly before a page is due: the one before it has been delivered
    /// by then.
    pub(crate) fn until_between_pages(&self) -> Duration {
        let interval = self.interval();
        let next = self.until_due();
        next.checked_sub(interval / 8).unwrap_or(next + interval * 7 / 8)
    }

    /// The number of pages of audio that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.packets / self.packets_per_page as u64
    }

    fn interval(&self) -> Duration {
        let real_time = PACKET * self.packets_per_page as u32;
        real_time + real_time / DRIFT
    }

    /// Writes the next page to `self.page`.
    fn write_page(&mut self, sent: Duration) {
        let packets: Vec<_> = (0..self.packets_per_page as u64)
            .map(|n| Mark { number: self.packets + n, sent }.packet())
            .collect();
        self.packets += self.packets_per_page as u64;
        let granule = self.packets * PACKET_SAMPLES;
        let stamp = PageHeader { granule, sequence: self.pages, ..PageHeader::default() };
        self.pages += 1;
        self.page.clear();
        let packets: Vec<&[u8]> = packets.iter().map(|packet| &packet[..]).collect();
        write_page(&mut self.page, stamp, &packets);
    }
}

impl Mark {
    fn packet(self) -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        packet[0] = TOC;
        packet[1..9].copy_from_slice(MAGIC);
        packet[9..17].copy_from_slice(&self.number.to_le_bytes());
        packet[17..25].copy_from_slice(&(self.sent.as_nanos() as u64).to_le_bytes());
        packet
    }

    /// The marks on a page. Packets that the server inserted have none.
    pub(crate) fn of<'a>(page: &Page<'a>) -> impl Iterator<Item = Self> + use<'a> {
        page.pieces().filter_map(|(packet, _)| {
            let rest = packet.get(1..)?.strip_prefix(MAGIC)?;
            let (number, rest) = rest.split_first_chunk()?;
            let (sent, _) = rest.split_first_chunk()?;
            Some(Self {
                number: u64::from_le_bytes(*number),
                sent: Duration::from_nanos(u64::from_le_bytes(*sent)),
            })
        })
    }
}
