//! The keys of `[mount-defaults]` and `[[mount]]`: how mounts behave. Who may use them is in
//! [`access`](super::access).

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use super::access::{access, source_login};
use super::keys::{Key, Reload, Row, Table};
use super::kinds::{
    AllowedOrigin, AutoOr, Choice, Flag, Kind, Label, MountPattern, Number, Size, SizeOrTime, Time,
    quoted,
};
use super::layer::Layer;
use super::reader::{Problem, Reader, Section};
use crate::mount::{
    Burst, DetectionSettings, Gap, HlsSettings, MIN_RING, MountRules, MountSettings, Pattern,
    RingLength, WebRtcSwitch,
};

pub(super) const ROWS: &[&dyn Row] = &[
    &RING,
    &RING_BITRATE,
    &BURST,
    &SOURCE_TIMEOUT,
    &GAP,
    &GAP_AFTER,
    &HOLD,
    &LISTENER_TIMEOUT,
    &MAX_LISTENERS,
    &COALESCE,
    &ON_DEMAND,
    &DEMAND_TIMEOUT,
    &LINGER,
    &DETECTIONS,
    &TITLES_FROM_DETECTIONS,
    &HLS,
    &HLS_SEGMENT,
    &HLS_WINDOW,
    &WEBRTC,
    &HIDDEN,
    &EXPECTED,
    &TITLE,
    &DESCRIPTION,
    &GENRE,
    &URL,
    &ALLOW_ORIGIN,
    &NAME,
];

/// The most memory of a ring, in bytes.
const MAX_RING: usize = 256 << 20;

static RING: Key<SizeOrTime> = Key {
    table: Table::MountDefaults,
    name: "ring",
    kind: SizeOrTime(Size { least: MIN_RING, most: MAX_RING }),
    default: || RingLength::Bytes(256 << 10),
    reload: Reload::NextMount,
    doc: "All memory of the mount for audio: as a size, or as the time that it holds at `ring_bitrate`. Clips (`?clip=30s`) are cut from it.",
};

static RING_BITRATE: Key<Number> = Key {
    table: Table::MountDefaults,
    name: "ring_bitrate",
    kind: Number { least: 6_000, most: 510_000 },
    default: || 96_000,
    reload: Reload::NextMount,
    doc: "The bitrate in bit/s with which a time in `ring` becomes memory, and with pages of 20 ms. At a higher one the ring holds less.",
};

static BURST: Key<AutoOr<Time>> = Key {
    table: Table::MountDefaults,
    name: "burst",
    kind: AutoOr(Time { least: Duration::ZERO, most: Duration::from_mins(10) }),
    default: || None,
    reload: Reload::AtOnce,
    doc: "How much of the past a listener is sent on joining; `auto` suits the player. A listener may ask with `?burst=200ms`.",
};

pub(super) static SOURCE_TIMEOUT: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "source_timeout",
    kind: Time { least: Duration::from_secs(1), most: Duration::from_hours(1) },
    default: || Duration::from_secs(10),
    reload: Reload::AtOnce,
    doc: "A source that sends nothing for this long is disconnected.",
};

static GAP: Key<Choice<Gap>> = Key {
    table: Table::MountDefaults,
    name: "gap",
    kind: Choice(&[("silence", Gap::Silence), ("pause", Gap::Pause), ("end", Gap::End)]),
    default: || Gap::Silence,
    reload: Reload::NextStream,
    doc: "What listeners get during a gap: `silence`; nothing until a source continues (`pause`); or the `end` of the stream as soon as its source is gone.",
};

static GAP_AFTER: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "gap_after",
    kind: Time { least: Duration::from_millis(100), most: Duration::from_mins(5) },
    default: || Duration::from_secs(1),
    reload: Reload::NextStream,
    doc: "A gap begins when the source has sent nothing for this long, and for two of its pages or more.",
};

static HOLD: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "hold",
    kind: Time { least: Duration::ZERO, most: Duration::from_hours(24) },
    default: || Duration::from_secs(30),
    reload: Reload::NextStream,
    doc: "How long a stream continues without a source before it ends.",
};

static LISTENER_TIMEOUT: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "listener_timeout",
    kind: Time { least: Duration::from_secs(1), most: Duration::from_hours(1) },
    default: || Duration::from_secs(30),
    reload: Reload::AtOnce,
    doc: "A listener that acknowledges nothing for this long, while data for it is waiting, is disconnected.",
};

pub(super) static MAX_LISTENERS: Key<Number> = Key {
    table: Table::MountDefaults,
    name: "max_listeners",
    kind: Number { least: 0, most: 100_000 },
    default: || 0,
    reload: Reload::AtOnce,
    doc: "Listeners of one mount; 0: only `[limits] listeners` applies.",
};

static COALESCE: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "coalesce",
    kind: Time { least: Duration::ZERO, most: Duration::from_secs(5) },
    default: || Duration::ZERO,
    reload: Reload::AtOnce,
    doc: "Hold pages back for this long and send them together: less CPU, more delay.",
};

static ON_DEMAND: Key<Flag> = Key {
    table: Table::MountDefaults,
    name: "on_demand",
    kind: Flag,
    default: || false,
    reload: Reload::AtOnce,
    doc: "Whether the mount is listed as `idle` while no source sends, and a listener who comes then waits for one. An encoder learns from `/api/v1/mounts/NAME/demand` that it is wanted. Without a `*` in its name that holds from the start, otherwise once the mount was live or its encoder has asked with the source's login.",
};

static DEMAND_TIMEOUT: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "demand_timeout",
    kind: Time { least: Duration::from_millis(100), most: Duration::from_mins(5) },
    default: || Duration::from_secs(10),
    reload: Reload::AtOnce,
    doc: "How long a listener of an idle mount waits for its source.",
};

static LINGER: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "linger",
    kind: Time { least: Duration::ZERO, most: Duration::from_hours(1) },
    default: || Duration::from_secs(30),
    reload: Reload::AtOnce,
    doc: "How long the audio is still wanted when the last listener has left.",
};

static DETECTIONS: Key<Number> = Key {
    table: Table::MountDefaults,
    name: "detections",
    kind: Number { least: 0, most: 2_000 },
    default: || 256,
    reload: Reload::AtOnce,
    doc: "How many of the mount's latest detections are kept; 0: it takes none.",
};

static TITLES_FROM_DETECTIONS: Key<Flag> = Key {
    table: Table::MountDefaults,
    name: "titles_from_detections",
    kind: Flag,
    default: || false,
    reload: Reload::AtOnce,
    doc: "Whether the species that was heard last becomes the title of the stream.",
};

static HLS: Key<Flag> = Key {
    table: Table::MountDefaults,
    name: "hls",
    kind: Flag,
    default: || true,
    reload: Reload::AtOnce,
    doc: "Serve an Opus stream as HLS too, at `/NAME/index.m3u8` and, for low latency, `/NAME/low-latency.m3u8`.",
};

static WEBRTC: Key<Flag> = Key {
    table: Table::MountDefaults,
    name: "webrtc",
    kind: Flag,
    default: || true,
    reload: Reload::AtOnce,
    doc: "Send an Opus stream of one or two channels by WebRTC too, with WHEP at `/NAME/whep`, if `[webrtc] listen` is set.",
};

static HLS_SEGMENT: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "hls_segment",
    kind: Time { least: Duration::from_secs(1), most: Duration::from_secs(10) },
    default: || Duration::from_secs(2),
    reload: Reload::NextStream,
    doc: "The length of an HLS segment. A player is about three of them behind live.",
};

static HLS_WINDOW: Key<Time> = Key {
    table: Table::MountDefaults,
    name: "hls_window",
    kind: Time { least: Duration::from_secs(3), most: Duration::from_mins(2) },
    default: || Duration::from_secs(12),
    reload: Reload::AtOnce,
    doc: "How much audio an HLS playlist lists: at least three segments, and no more than the ring holds.",
};

static HIDDEN: Key<Flag> = Key {
    table: Table::MountDefaults,
    name: "hidden",
    kind: Flag,
    default: || false,
    reload: Reload::AtOnce,
    doc: "Leave the mount out of status, lists, events and metrics. Anybody who knows its name can still listen.",
};

static EXPECTED: Key<Flag> = Key {
    table: Table::MountDefaults,
    name: "expected",
    kind: Flag,
    default: || false,
    reload: Reload::AtOnce,
    doc: "Whether it is a failure for `silvacast health --strict` that the mount has no stream. Without a `*` in its name that holds from the start, otherwise once the mount was live.",
};

static TITLE: Key<Label> = Key {
    table: Table::MountDefaults,
    name: "title",
    kind: Label,
    default: || None,
    reload: Reload::AtOnce,
    doc: "What the mount is called in status, lists, playlists and on the page, instead of the encoder's `Ice-Name`.",
};

static DESCRIPTION: Key<Label> = Key {
    table: Table::MountDefaults,
    name: "description",
    kind: Label,
    default: || None,
    reload: Reload::AtOnce,
    doc: "What is heard there, instead of the encoder's `Ice-Description`.",
};

static GENRE: Key<Label> = Key {
    table: Table::MountDefaults,
    name: "genre",
    kind: Label,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The kind of sound, instead of the encoder's `Ice-Genre`.",
};

static URL: Key<Label> = Key {
    table: Table::MountDefaults,
    name: "url",
    kind: Label,
    default: || None,
    reload: Reload::AtOnce,
    doc: "A page about the mount, instead of the encoder's `Ice-Url`.",
};

static ALLOW_ORIGIN: Key<AllowedOrigin> = Key {
    table: Table::MountDefaults,
    name: "allow_origin",
    kind: AllowedOrigin,
    default: || "*".to_owned(),
    reload: Reload::AtOnce,
    doc: "The site whose pages may read the stream with scripts (CORS), or all. The value in `[mount-defaults]` also applies to status, API and events.",
};

static NAME: Key<MountPattern> = Key {
    table: Table::Mount,
    name: "name",
    kind: MountPattern,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The mounts that this section applies to: `*` stands for any text within a path segment, `**` for any text. The first section that matches applies, so special cases come before general ones; a section that can never apply is an error.",
};

/// All rules of a file. `prefix` is the path prefix, and what the file calls it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    defaults: Section<'_>,
    mounts: &[Section<'_>],
    prefix: (&str, &str),
) -> MountRules {
    let defaults = settings(&mut Layer { reader, section: defaults, inherited: None });
    let mut lines = Vec::new();
    let rules = mounts.iter().filter_map(|&section| {
        let name = reader.get(section, &NAME);
        if name.is_none() && reader.line_of(section, NAME.name).is_none() {
            let text = format!("each [[mount]] requires `name`; allowed: {}", NAME.kind.allowed());
            reader.report(section.line(reader), text);
        }
        let settings = settings(&mut Layer { reader, section, inherited: Some(&defaults) });
        let name = name?;
        lines.push(reader.line_of(section, NAME.name));
        Some((name, Arc::new(settings)))
    });
    let rules: Vec<_> = rules.collect();
    report_conflicts(reader, &rules, &lines, prefix);
    MountRules { rules, defaults: Arc::new(defaults) }
}

/// Reports sections that can never apply, because an earlier one matches each of their names or
/// because their names begin with the path prefix, which is removed before names are compared.
/// Warns of two sections that compete for some names and treat clients differently.
fn report_conflicts(
    reader: &mut Reader<'_>,
    rules: &[(Pattern, Arc<MountSettings>)],
    lines: &[Option<usize>],
    (prefix, prefix_key): (&str, &str),
) {
    let patterns: Vec<_> = rules.iter().map(|(pattern, _)| pattern.clone()).collect();
    for (index, pattern) in patterns.iter().enumerate() {
        let (earlier, line) = (&patterns[..index], lines[index]);
        let line_of = |other: &Pattern| {
            let at = earlier.iter().position(|earlier| earlier == other);
            at.and_then(|at| lines[at]).unwrap_or_default()
        };
        let name = quoted(pattern.as_str());
        if !prefix.is_empty() && pattern.as_str().starts_with(&format!("{prefix}/")) {
            let text = format!(
                "{name} never applies, because {prefix_key} \"{prefix}\" is not part of a mount's \
                 name; write {}",
                quoted(&pattern.as_str()[prefix.len()..])
            );
            reader.report(line, text);
        } else if let Some(shadow) = pattern.shadow(earlier) {
            let at = line_of(shadow);
            let text = if shadow == pattern {
                format!("duplicate mount {name}; the first is in line {at}")
            } else {
                format!(
                    "{name} never applies, because {} in line {at} comes first and matches the \
                     same names; put {name} before it, or remove it",
                    quoted(shadow.as_str())
                )
            };
            reader.report(line, text);
        } else {
            let (_, settings) = &rules[index];
            for (other, theirs) in &rules[..index] {
                if !theirs.admits_like(settings)
                    && let Some(common) = other.common_name(pattern)
                    // A special case before the general one is what the order is for.
                    && other.shadow(slice::from_ref(pattern)).is_none()
                {
                    let text = format!(
                        "{name} does not apply to names such as \"{common}\", because {} in line \
                         {} matches them too and comes first",
                        quoted(other.as_str()),
                        line_of(other)
                    );
                    reader.warnings.push(Problem { line, text });
                }
            }
        }
    }
}

/// Warns of a window of HLS that is too long for the ring.
fn check_hls(layer: &mut Layer<'_, '_>, settings: &MountSettings) {
    /// What encoders for a single microphone are usually set to, in bit/s.
    const USUAL_BITRATE: u64 = 64_000;
    let Layer { reader, section, .. } = layer;
    // Without one of these keys, the values are inherited, and were checked where they are.
    let keys = [HLS_WINDOW.name, HLS_SEGMENT.name, RING.name];
    let line = keys.iter().find_map(|key| reader.line_of(*section, key));
    let bitrate = settings.bitrate_for_hls();
    if settings.hls.is_on && line.is_some() && bitrate < USUAL_BITRATE {
        let text = format!(
            "the {} holds the {} only up to {} kbit/s; above that, playlists of HLS are shorter",
            section.key(RING.name),
            section.key(HLS_WINDOW.name),
            bitrate / 1000
        );
        reader.warnings.push(Problem { line, text });
    }
}

/// Reports a ring whose time takes more memory than a ring may have, and makes it as short as it may be.
fn check_ring(layer: &mut Layer<'_, '_>, settings: &mut MountSettings) {
    if settings.ring <= MAX_RING {
        return;
    }
    let Layer { reader, section, .. } = layer;
    let line = [RING.name, RING_BITRATE.name].iter().find_map(|key| reader.line_of(*section, key));
    let text = format!(
        "the {} of that time takes {} MiB at {} kbit/s; allowed: up to {} MiB",
        section.key(RING.name),
        settings.ring >> 20,
        settings.ring_bitrate / 1000,
        MAX_RING >> 20
    );
    reader.report(line, text);
    settings.ring = MAX_RING;
}

fn settings(layer: &mut Layer<'_, '_>) -> MountSettings {
    let mut settings = values(layer);
    check_ring(layer, &mut settings);
    check_hls(layer, &settings);
    settings
}

fn values(layer: &mut Layer<'_, '_>) -> MountSettings {
    let burst = layer.get(&BURST, |inherited| match inherited.burst {
        Burst::Auto => None,
        Burst::Time(time) => Some(time),
    });
    let ring_length = layer.get(&RING, |inherited| inherited.ring_length);
    let ring_bitrate = layer.get(&RING_BITRATE, |inherited| inherited.ring_bitrate);
    let is_sent_by_webrtc = layer.get(&WEBRTC, |inherited| inherited.webrtc == WebRtcSwitch::On);
    MountSettings {
        ring: ring_length.memory(ring_bitrate),
        ring_length,
        ring_bitrate,
        burst: burst.map_or(Burst::Auto, Burst::Time),
        source_timeout: layer.get(&SOURCE_TIMEOUT, |inherited| inherited.source_timeout),
        gap: layer.get(&GAP, |inherited| inherited.gap),
        gap_after: layer.get(&GAP_AFTER, |inherited| inherited.gap_after),
        hold: layer.get(&HOLD, |inherited| inherited.hold),
        listener_timeout: layer.get(&LISTENER_TIMEOUT, |inherited| inherited.listener_timeout),
        max_listeners: layer.get(&MAX_LISTENERS, |inherited| inherited.max_listeners),
        coalesce: layer.get(&COALESCE, |inherited| inherited.coalesce),
        on_demand: layer.get(&ON_DEMAND, |inherited| inherited.on_demand),
        demand_timeout: layer.get(&DEMAND_TIMEOUT, |inherited| inherited.demand_timeout),
        linger: layer.get(&LINGER, |inherited| inherited.linger),
        detections: DetectionSettings {
            kept: layer.get(&DETECTIONS, |inherited| inherited.detections.kept),
            are_titles: layer
                .get(&TITLES_FROM_DETECTIONS, |inherited| inherited.detections.are_titles),
        },
        webrtc: if is_sent_by_webrtc { WebRtcSwitch::On } else { WebRtcSwitch::Off },
        hls: HlsSettings {
            is_on: layer.get(&HLS, |inherited| inherited.hls.is_on),
            segment: layer.get(&HLS_SEGMENT, |inherited| inherited.hls.segment),
            window: layer.get(&HLS_WINDOW, |inherited| inherited.hls.window),
        },
        hidden: layer.get(&HIDDEN, |inherited| inherited.hidden),
        expected: layer.get(&EXPECTED, |inherited| inherited.expected),
        title: layer.get(&TITLE, |inherited| inherited.title.clone()),
        description: layer.get(&DESCRIPTION, |inherited| inherited.description.clone()),
        genre: layer.get(&GENRE, |inherited| inherited.genre.clone()),
        url: layer.get(&URL, |inherited| inherited.url.clone()),
        allow_origin: layer.get(&ALLOW_ORIGIN, |inherited| inherited.allow_origin.clone()),
        access: access(layer),
        source: source_login(layer),
    }
}
