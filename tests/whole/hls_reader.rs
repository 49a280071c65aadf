//! A reader of HLS that requests what a player would, and checks each answer: playlists against the
//! rules (`hls_rules`, `hls_reloads`), and the boxes of each segment and part against what the
//! playlist says of it.

use std::collections::BTreeMap;
use std::net::TcpStream;

use crate::client::{Answer, connect, exchange, get};
use crate::daemon::Daemon;
use crate::hls_reloads::Reloads;
use crate::hls_rules::{MediaPlaylist, MediaSegment};
use crate::wait::{PATIENCE, until};

/// Packets of one `moof`: when the first one is heard, and for each its duration and its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MediaFragment {
    pub sequence: u32,
    pub time: u64,
    pub packets: Vec<(u32, Vec<u8>)>,
}

impl MediaFragment {
    /// The fragments of a segment or a part, whose every byte must belong to one.
    pub(crate) fn read(file: &[u8]) -> Vec<Self> {
        let mut fragments = Vec::new();
        let boxes = boxes(file);
        assert_eq!(boxes.len() % 2, 0, "an odd number of boxes");
        for pair in boxes.chunks(2) {
            let [(moof_name, moof), (mdat_name, mdat)] = pair else { unreachable!() };
            assert_eq!((&**moof_name, &**mdat_name), (&b"moof"[..], &b"mdat"[..]));
            let inside: BTreeMap<_, _> = self::boxes(moof).into_iter().collect();
            let traf: BTreeMap<_, _> = self::boxes(inside[&b"traf"[..]]).into_iter().collect();
            let (tfdt, trun) = (traf[&b"tfdt"[..]], traf[&b"trun"[..]]);
            let count = word(trun, 4) as usize;
            assert_eq!(word(trun, 8) as usize, moof.len() + 16, "the data begins elsewhere");
            let (mut packets, mut at) = (Vec::new(), 0);
            for packet in 0..count {
                let length = word(trun, 12 + packet * 8 + 4) as usize;
                packets.push((word(trun, 12 + packet * 8), mdat[at..at + length].to_vec()));
                at += length;
            }
            assert_eq!(at, mdat.len(), "bytes that belong to no packet");
            let time = u64::from(word(tfdt, 4)) << 32 | u64::from(word(tfdt, 8));
            let sequence = word(inside[&b"mfhd"[..]], 4);
            fragments.push(Self { sequence, time, packets });
        }
        fragments
    }

    pub(crate) fn end(&self) -> u64 {
        self.time + self.packets.iter().map(|(samples, _)| u64::from(*samples)).sum::<u64>()
    }
}

/// The boxes in some bytes: names and contents.
fn boxes(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (one, rest) = bytes.split_at(word(bytes, 0) as usize);
        found.push((&one[4..8], &one[8..]));
        bytes = rest;
    }
    found
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Reads one mount.
pub(crate) struct HlsReader<'s> {
    server: &'s Daemon,
    mount: String,
    socket: Option<TcpStream>,
    reloads: Reloads,
    /// The newest playlist for low latency.
    pub newest: MediaPlaylist,
    /// Whether the stream stands still in a gap: then a segment may have less audio than it is
    /// long.
    pub pauses: bool,
    /// All steps of dates so far, in milliseconds, with the segments before which they are.
    pub date_steps: BTreeMap<u64, i64>,
    /// All complete segments so far, with what they have.
    pub files: Vec<(MediaSegment, Vec<MediaFragment>)>,
}

impl<'s> HlsReader<'s> {
    /// Waits until there is a playlist.
    pub(crate) fn join(server: &'s Daemon, mount: &str) -> Self {
        let path = format!("{mount}/low-latency.m3u8");
        let first = until("an HLS playlist", PATIENCE, || {
            let answer = get(server, &path);
            if answer.status == 200 { Ok(answer.text()) } else { Err(answer.text()) }
        });
        let newest = MediaPlaylist::read(&first).unwrap();
        let mut reloads = Reloads::default();
        reloads.check(&newest).unwrap();
        Self {
            server,
            mount: mount.into(),
            socket: None,
            reloads,
            newest,
            pauses: false,
            date_steps: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    /// Requests a path on the connection that is kept.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        let socket = self.socket.get_or_insert_with(|| connect(self.server));
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: reader\r\n\r\n");
        let answer = exchange(socket, &request);
        if answer.field("connection") != Some("keep-alive") {
            self.socket = None;
        }
        answer
    }

    /// Requests a file of the mount that must be there.
    pub(crate) fn file(&mut self, name: &str) -> Vec<u8> {
        let answer = self.get(&format!("{}/{name}", self.mount));
        assert_eq!(answer.status, 200, "{name}: {}\n{}", answer.text(), self.newest.text);
        answer.body
    }

    fn playlist(&mut self, name: &str) -> MediaPlaylist {
        let text = String::from_utf8(self.file(name)).unwrap();
        let playlist = MediaPlaylist::read(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        let short = playlist.short_parts();
        assert!(self.pauses || short.is_empty(), "{name}: {short:?} in {}", playlist.text);
        self.reloads.check(&playlist).unwrap_or_else(|why| panic!("{name}: {why}"));
        playlist
    }

    /// Waits for the next part as a player does, and checks all that is new.
    pub(crate) fn step(&mut self) {
        let (segment, part) = self.newest.next();
        let query = format!("low-latency.m3u8?_HLS_msn={segment}&_HLS_part={part}");
        self.newest = self.playlist(&query);
        assert!(self.newest.next() > (segment, part), "{query}: {}", self.newest.text);
        self.playlist("index.m3u8");
        self.date_steps.extend(self.newest.date_steps());
        let last = self.files.last().map(|(segment, _)| segment.number);
        let is_new =
            |one: &&MediaSegment| one.file.is_some() && last.is_none_or(|last| one.number > last);
        for segment in self.newest.segments.iter().filter(is_new).cloned().collect::<Vec<_>>() {
            let fragments = self.fetch(&segment);
            self.files.push((segment, fragments));
        }
    }

    /// Fetches a segment, and its parts; compares them with each other and with the segment before.
    fn fetch(&mut self, segment: &MediaSegment) -> Vec<MediaFragment> {
        let (duration, uri) = segment.file.as_ref().unwrap();
        if segment.is_gap {
            return Vec::new();
        }
        let fragments = MediaFragment::read(&self.file(uri));
        let (first, last) = (&fragments[0], &fragments[fragments.len() - 1]);
        let samples: u64 = fragments.iter().map(|one| one.end() - one.time).sum();
        let says = (duration * 48_000.0).round() as u64;
        let fits = samples == says || self.pauses && samples < says;
        assert!(fits && (self.pauses || fragments.len() == 1), "{segment:?}: {samples} samples");
        if let Some((before, earlier)) = self.files.last()
            && let (Some(earlier), true) = (earlier.last(), before.map == segment.map)
            && before.number + 1 == segment.number
        {
            assert!(first.sequence > earlier.sequence, "{segment:?}: a sequence number");
            let is_next = first.time == earlier.end();
            let is_later = self.pauses && first.time > earlier.end();
            assert!(is_next || is_later, "{segment:?} begins at {}", first.time);
        }
        for pair in fragments.windows(2) {
            assert!(pair[0].sequence < pair[1].sequence, "equal sequence numbers: {segment:?}");
            assert!(pair[0].end() < pair[1].time, "{segment:?}: {pair:?}");
        }
        let in_parts = segment.parts.iter().filter(|part| !part.is_gap);
        let in_parts: Vec<_> = in_parts
            .flat_map(|part| {
                let fragments = MediaFragment::read(&self.file(&part.uri));
                let samples: u64 = fragments.iter().map(|one| one.end() - one.time).sum();
                let says = (part.duration * 48_000.0).round() as u64;
                assert!(samples <= says && samples > 0, "{part:?}: {samples} samples");
                fragments.into_iter().flat_map(|one| one.packets)
            })
            .collect();
        let whole = || fragments.iter().flat_map(|one| &one.packets);
        assert!(segment.parts.is_empty() || whole().eq(&in_parts), "{segment:?}: other packets");
        assert!(last.end() > first.time);
        fragments
    }
}
