//! The settings of a mount, and the rules that select them by the mount's name.

use std::sync::Arc;
use std::time::Duration;

use super::name::Name;
use super::pattern::Pattern;
use super::ring::{MIN_RING, Ring};
use super::stream_info::Description;
use crate::auth::{Access, AccessMode, Credentials, Login};

/// How much past audio a listener gets on joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// Depends on the player (`listener/player.rs`).
    Auto,
    /// At least this much audio, in whole pages.
    Time(Duration),
}

/// What listeners get during a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Silence, in real time.
    Silence,
    /// Nothing, until a source continues the stream.
    Pause,
    /// The end of the stream, as soon as its source leaves.
    End,
}

/// How much a mount's ring holds, as the configuration says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingLength {
    /// As memory, in bytes.
    Bytes(usize),
    /// As the time of audio at the mount's `ring_bitrate`.
    Time(Duration),
}

/// Whether a mount is sent by WebRTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebRtcSwitch {
    /// It is, if its stream is Opus and the server has WebRTC.
    On,
    /// It is not.
    Off,
}

/// How a mount is served as HLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HlsSettings {
    /// Whether it is at all.
    pub is_on: bool,
    /// Length of a segment.
    pub segment: Duration,
    /// How much audio a playlist lists.
    pub window: Duration,
}

/// What becomes of a mount's detections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectionSettings {
    /// How many are kept; with 0, none are taken.
    pub kept: usize,
    /// Whether the latest one becomes the title of the stream.
    pub are_titles: bool,
}

/// The settings of one mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSettings {
    /// The mount's memory for audio, in bytes: pages and their index.
    pub ring: usize,
    /// How the configuration says that.
    pub ring_length: RingLength,
    /// The bitrate that a time is turned into bytes with, in bit/s.
    pub ring_bitrate: usize,
    /// What a listener gets on joining.
    pub burst: Burst,
    /// A source that sends nothing for this long is disconnected.
    pub source_timeout: Duration,
    /// What listeners get during a gap.
    pub gap: Gap,
    /// A gap begins when nothing has come from a source for this long, or for the duration of two
    /// of its pages if that is longer.
    pub gap_after: Duration,
    /// How long the stream continues without a source.
    pub hold: Duration,
    /// A listener that acknowledges nothing for this long is disconnected.
    pub listener_timeout: Duration,
    /// The maximum number of listeners; 0 for no limit besides the server's.
    pub max_listeners: usize,
    /// How long a page may be held back to be sent together with the next ones.
    pub coalesce: Duration,
    /// Whether the mount is there although no source sends, and a listener waits for one.
    pub on_demand: bool,
    /// How long a listener waits for the source.
    pub demand_timeout: Duration,
    /// How long the audio is still wanted when the last listener has left.
    pub linger: Duration,
    /// What becomes of detections.
    pub detections: DetectionSettings,
    /// How the mount is sent by WebRTC.
    pub webrtc: WebRtcSwitch,
    /// How the mount is served as HLS.
    pub hls: HlsSettings,
    /// Who may listen.
    pub access: Access,
    /// The login of this mount's source; `None` for the login that all mounts share.
    pub source: Option<Login>,
    /// Whether the mount is left out of public lists.
    pub hidden: bool,
    /// Whether it is a failure that the mount has no stream (`silvacast health --strict`).
    pub expected: bool,
    /// What the mount is called, instead of what its source says.
    pub title: Option<String>,
    /// What is heard, instead of what its source says.
    pub description: Option<String>,
    /// The kind of sound, instead of what its source says.
    pub genre: Option<String>,
    /// A page about the mount, instead of the one that its source names.
    pub url: Option<String>,
    /// The site whose pages may read the stream: `*` for all, or an origin.
    pub allow_origin: String,
}

/// Length of a page's header, in bytes, and pages in a second: with pages of 20 ms, as encoders for live
/// audio send them.
const PAGE_HEADER: u64 = 28;
const PAGES: u64 = 50;

impl RingLength {
    /// The memory of a ring of this length, in bytes.
    pub fn memory(self, bitrate: usize) -> usize {
        let time = match self {
            Self::Bytes(bytes) => return bytes,
            Self::Time(time) => time.as_millis() as u64,
        };
        let bytes = time.saturating_mul(bytes_per_second(bitrate as u64)) / 1000;
        let memory = Ring::memory_for(bytes, time.saturating_mul(PAGES) / 1000);
        (memory as usize).max(MIN_RING)
    }
}

/// What a second of audio takes in a ring, in bytes.
fn bytes_per_second(bitrate: u64) -> u64 {
    bitrate / 8 + PAGE_HEADER * PAGES
}

impl MountSettings {
    /// How much audio the ring holds at `ring_bitrate`.
    pub fn ring_time(&self) -> Duration {
        let pages = Ring::entries(self.ring) as u64;
        let bytes = Ring::capacity(self.ring) as u64;
        let by_bytes = bytes * 1000 / bytes_per_second(self.ring_bitrate as u64);
        Duration::from_millis(by_bytes.min(pages * 1000 / PAGES))
    }

    /// The highest bitrate, in bit/s, at which the ring holds what a playlist of HLS lists, and the
    /// segments that clients may still request of an earlier one.
    pub fn bitrate_for_hls(&self) -> u64 {
        let HlsSettings { segment, window, .. } = self.hls;
        // A playlist lists at least three target durations, which are whole seconds.
        let target = Duration::from_secs(segment.as_millis().div_ceil(1000) as u64);
        let time = window.max(3 * target) + 2 * segment;
        let bytes = Ring::capacity(self.ring) as u64 * 1000 / time.as_millis().max(1) as u64;
        bytes.saturating_sub(PAGE_HEADER * PAGES) * 8
    }

    /// Whether these settings admit the same listeners and sources as others, and show the mount
    /// to the same people.
    pub fn admits_like(&self, other: &Self) -> bool {
        (&self.access, &self.source, self.hidden) == (&other.access, &other.source, other.hidden)
    }

    /// The description to show of a mount: what the configuration says, and otherwise what the
    /// source says, as in Icecast.
    pub fn describe(&self, source: &Description) -> Description {
        let or = |own: &Option<String>, source: &Option<String>| own.clone().or(source.clone());
        Description {
            name: or(&self.title, &source.name),
            description: or(&self.description, &source.description),
            genre: or(&self.genre, &source.genre),
            url: or(&self.url, &source.url),
            ..source.clone()
        }
    }
}

/// Selects a mount's settings by its name: the first pattern that matches, or the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRules {
    /// In the order of the configuration.
    pub rules: Vec<(Pattern, Arc<MountSettings>)>,
    /// For mounts that no pattern matches.
    pub defaults: Arc<MountSettings>,
}

impl MountRules {
    /// The settings for a mount of this name.
    pub fn of(&self, name: &Name) -> Arc<MountSettings> {
        let rule = self.rules.iter().find(|(pattern, _)| pattern.matches(name));
        Arc::clone(rule.map_or(&self.defaults, |(_, settings)| settings))
    }

    /// What is probably not meant about a link to this mount, as the end of a sentence about it.
    pub fn doubt_about_link(&self, name: &Name) -> Option<&'static str> {
        let is_known = || self.rules.iter().any(|(pattern, _)| pattern.matches(name));
        match self.of(name).access.mode {
            AccessMode::Public => Some("is open to everybody, also without this link"),
            AccessMode::Closed => Some("is closed to listeners, and no link opens it"),
            AccessMode::Password | AccessMode::Token if !is_known() => {
                Some("is not in the configuration: look for a spelling mistake")
            }
            AccessMode::Password | AccessMode::Token => None,
        }
    }

    /// The settings of all rules with what their section is for, and the defaults.
    pub fn named(&self) -> impl Iterator<Item = (&str, &MountSettings)> {
        let rules = self.rules.iter().map(|(pattern, settings)| (pattern.as_str(), &**settings));
        rules.chain([("other mounts", &*self.defaults)])
    }

    /// The mounts that the rules name without a `*`.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.rules.iter().filter_map(|(pattern, _)| pattern.name())
    }

    /// All logins of sources and of the administrator: those that mounts share, and those of single
    /// mounts.
    pub fn logins<'a>(&'a self, shared: &'a Credentials) -> Vec<&'a Login> {
        let own = self.all().filter_map(|settings| settings.source.as_ref());
        let shared = [&shared.source, &shared.admin]
            .into_iter()
            .chain(&shared.relay)
            .chain(&shared.detector);
        own.chain(shared).collect()
    }

    /// Memory of all users and tokens, in bytes.
    pub fn memory(&self) -> usize {
        self.all().map(|settings| settings.access.memory()).sum()
    }

    /// The largest ring that any mount may have, in bytes.
    pub fn largest_ring(&self) -> usize {
        self.all().map(|settings| settings.ring).max().unwrap_or(self.defaults.ring)
    }

    /// The most detections that are kept of any mount.
    pub fn most_detections(&self) -> usize {
        self.all().map(|settings| settings.detections.kept).max().unwrap_or_default()
    }

    /// Whether any mount may be there without a source.
    pub fn are_on_demand(&self) -> bool {
        self.all().any(|settings| settings.on_demand)
    }

    /// The longest segment of HLS that any mount may have.
    pub fn longest_segment(&self) -> Duration {
        let longest = self.all().map(|settings| settings.hls.segment).max();
        longest.unwrap_or(self.defaults.hls.segment)
    }

    /// The settings of all rules, and the defaults.
    fn all(&self) -> impl Iterator<Item = &Arc<MountSettings>> {
        self.rules.iter().map(|(_, settings)| settings).chain([&self.defaults])
    }
}
