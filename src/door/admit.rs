//! Admits sources and listeners: checks logins and access rules, and takes permits from the quotas.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ogg_splice::Codec;
use tokio::time::sleep;

use super::access::LoginGuards;
use super::decide::{ListenerRequest, SourceRequest};
use super::request::Request;
use super::settings::DoorSettings;
use crate::auth::{AccessMode, Link};
use crate::client::{ConnectionQuotas, LoginAttempt, RateLimit, TooOften};
use crate::clip::{ClipSpan, NotHeld, audio_since};
use crate::clock::Clock;
use crate::control::{ClipListener, ClipRequest, HlsRequest, not_held};
use crate::hls::{HlsClient, HlsListener, HlsListeners, HlsPath, target_duration};
use crate::http::{Reply, own_via_name};
use crate::listener::{Delivery, ListenerSession, Player, ResponseHead};
use crate::mount::{
    ListenerInfo, ListenerProtocol, MountEntry, MountSettings, MountTable, Name, NoRoom, Offer,
    Registration, Reservation, WaitingListener, WebRtcSwitch, samples,
};
use crate::quota::{Limits, Permit, Quota};
use crate::source::empty_body_reply;
use crate::webrtc::WebRtcListener;

/// How long a source waits for a mount that is being removed, when `limits.sources` is reached.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many clips are sent at the same time.
pub(crate) const MAX_CLIPS: usize = 8;

/// A client gets so many clips at once, and then one in each [`CLIP_INTERVAL`].
const CLIPS_AT_ONCE: u32 = 10;

/// See [`CLIPS_AT_ONCE`].
const CLIP_INTERVAL: Duration = Duration::from_secs(2);

/// Interval at which the reservation is tried again during [`RESERVE_TIMEOUT`].
const RESERVE_INTERVAL: Duration = Duration::from_millis(20);

/// Checks whether clients may do what they request, and counts them against the quotas.
pub(crate) struct Admittance {
    settings: Arc<ArcSwap<DoorSettings>>,
    table: Arc<MountTable>,
    listeners: Arc<Quota>,
    /// The login guards of the door.
    pub(super) guards: LoginGuards,
    per_client: Arc<ConnectionQuotas>,
    /// The listeners by HLS of each address.
    hls_per_client: Arc<ConnectionQuotas>,
    /// The listeners by WebRTC of each address.
    webrtc_per_client: Arc<ConnectionQuotas>,
    hls_listeners: Arc<HlsListeners>,
    /// Counts the clips that are being sent.
    clips: Arc<Quota>,
    clip_rate: RateLimit<IpAddr>,
}

impl Admittance {
    /// Creates an admittance. `listeners` is the quota of the whole server.
    pub(crate) fn new(
        settings: Arc<ArcSwap<DoorSettings>>,
        table: Arc<MountTable>,
        listeners: Arc<Quota>,
        guards: LoginGuards,
        per_client: Arc<ConnectionQuotas>,
        hls_listeners: Arc<HlsListeners>,
    ) -> Self {
        Self {
            settings,
            table,
            listeners,
            guards,
            per_client,
            hls_per_client: Arc::default(),
            webrtc_per_client: Arc::default(),
            hls_listeners,
            clips: Arc::default(),
            clip_rate: RateLimit::new(CLIPS_AT_ONCE, CLIP_INTERVAL),
        }
    }

    /// Takes a connection permit for a peer before its request is known. Trusted proxies need none.
    ///
    /// # Errors
    /// The reply to send, with status 429, if the client has reached its limit of connections.
    pub(super) fn take_peer_permit(
        &self,
        peer: IpAddr,
        settings: &DoorSettings,
    ) -> Result<Option<Permit>, Reply> {
        if settings.limits.connections_per_ip == 0 || settings.trusts(peer) {
            return Ok(None);
        }
        take_of_client(&self.per_client, peer, &settings.limits).map(Some)
    }

    /// Takes the client's connection permit for a request that came through a trusted proxy.
    ///
    /// # Errors
    /// The reply to send, with status 429, if the client has reached its limit of connections.
    pub(super) fn take_permit(
        &self,
        request: &Request,
        permit: &mut Option<Permit>,
    ) -> Result<(), Reply> {
        let (limits, client) = (&request.settings.limits, request.client);
        if client.behind_proxy() {
            // The previous request on this connection may have come from another client.
            *permit = None;
        }
        if limits.connections_per_ip > 0 && permit.is_none() && !client.is_proxy {
            *permit = Some(take_of_client(&self.per_client, client.address, limits)?);
        }
        Ok(())
    }

    /// Checks the login of a source and reserves its mount.
    ///
    /// # Errors
    /// The reply to send if the login is wrong, the body is empty or `limits.sources` is reached.
    pub(super) async fn admit_source(
        &self,
        request: &Request,
        source: &SourceRequest,
        clock: &Clock,
    ) -> Result<Reservation, Reply> {
        let settings = &request.settings;
        let rules = settings.rules.of(&source.name);
        let login = rules.source.as_ref().unwrap_or(&settings.credentials.source);
        let attempt = LoginAttempt {
            client: request.client,
            mount: source.name.as_str(),
            authorization: request.head.field("authorization"),
        };
        let others = settings.rules.logins(&settings.credentials);
        self.guards.sources.admit(&[login], &others, attempt)?;
        if source.framing.is_done() {
            return Err(empty_body_reply());
        }
        if source.description.via.iter().any(|name| name == own_via_name()) {
            return Err(Reply::new(508, "Refused: this stream has come from this server."));
        }
        if HlsPath::parse(source.name.as_str()).is_some() {
            let sentence =
                "Refused: the files of HLS have such names; choose a name without .m3u8.";
            return Err(Reply::new(403, sentence));
        }
        let entry = self.table.find_in_use(&source.name);
        if let Some(wait) = entry.and_then(|entry| entry.protection()) {
            let sentence = "Other encoders have taken this mount from each other, and one of them \
                            is sending now; only one encoder may send to a mount.";
            let seconds = wait.as_secs().saturating_add(1).to_string();
            return Err(Reply::new(409, sentence).with("Retry-After", seconds));
        }
        let reservation = self.reserve(&source.name, settings.limits.sources, clock).await?;
        self.table.stats().sources.add(1);
        Ok(reservation)
    }

    /// Reserves a mount. If all are in use but one is being removed, waits for it.
    async fn reserve(
        &self,
        name: &Name,
        limit: usize,
        clock: &Clock,
    ) -> Result<Reservation, Reply> {
        let deadline = clock.now().checked_add(RESERVE_TIMEOUT);
        loop {
            // Loads the current rules: a reload may have happened while this waited, and a new
            // mount keeps its rules until the next reload.
            match self.table.reserve(name, limit, || self.settings.load().rules.of(name)) {
                Ok(reservation) => return Ok(reservation),
                Err(NoRoom::Soon) if deadline.is_some_and(|deadline| clock.now() < deadline) => {
                    sleep(RESERVE_INTERVAL).await;
                }
                Err(_) => {
                    let sentence =
                        format!("Too many sources connected: all {limit} mounts are in use.");
                    return Err(Reply::new(403, sentence));
                }
            }
        }
    }

    /// Checks that no administrator has lately disconnected this client from a mount.
    ///
    /// # Errors
    /// The reply to send, with status 403, if the client is banned.
    pub(super) fn check_ban(&self, request: &Request, name: &Name) -> Result<(), Reply> {
        let wait = self.table.banned_for(name, request.client, &agent_of(request));
        let Some(seconds) = wait.map(|wait| wait.as_secs().saturating_add(1)) else {
            return Ok(());
        };
        let sentence = format!(
            "An administrator has disconnected you from this microphone; \
             you may listen again in {seconds} s."
        );
        Err(Reply::new(403, sentence).with("Retry-After", seconds.to_string()))
    }

    /// Checks that a stream is not pulled by a server that it has come through.
    ///
    /// # Errors
    /// The reply to send, with status 508.
    pub(super) fn check_loop(request: &Request, entry: &MountEntry) -> Result<(), Reply> {
        let Some(stream) = entry.stream() else { return Ok(()) };
        let way = &stream.source.description.via;
        if way.is_empty() || !request.via().iter().any(|name| way.contains(name)) {
            return Ok(());
        }
        Err(Reply::new(508, "Refused: this stream has come from the server that asks for it."))
    }

    /// Admits a listener that waits for the source of a mount: takes its permit of the server, and
    /// makes the mount wanted.
    ///
    /// # Errors
    /// The reply to send, with status 503, if a limit of listeners is reached.
    pub(super) fn admit_waiting(
        &self,
        request: &Request,
        offer: &Arc<Offer>,
    ) -> Result<(Permit, WaitingListener), Reply> {
        let limit = request.settings.limits.listeners;
        let seat = self.listeners.take(limit).ok_or_else(|| full("This server", limit))?;
        let limit = limit_of_mount(&offer.settings());
        let waiting = offer.wait(limit).ok_or_else(|| full("This microphone", limit))?;
        Ok((seat, waiting))
    }

    /// Takes a listener's permits and registers it. Returns how to deliver to it, and its session.
    ///
    /// # Errors
    /// The reply to send, with status 503, if the server or the mount has reached its limit.
    pub(super) fn admit_listener(
        &self,
        request: &Request,
        listener: &ListenerRequest,
        entry: &Arc<MountEntry>,
        until: Option<Instant>,
        permit: Option<Permit>,
    ) -> Result<(Delivery, ListenerSession), Reply> {
        let burst = Self::burst(listener, entry)?;
        let permits = self.take_listener_permits(request, entry)?;
        let player = Player {
            fetch_dest: request.head.field("sec-fetch-dest"),
            agent: request.head.field("user-agent"),
            range: request.head.field("range").is_some(),
            is_page: request.head.field("upgrade-insecure-requests").is_some(),
        };
        let delivery = player.delivery(burst, entry.settings().burst);
        let head = if listener.is_relay { ResponseHead::WithVia } else { delivery.head };
        let delivery = Delivery { head, ..delivery };
        let session = ListenerSession {
            registration: register(request, entry, ListenerProtocol::Stream, until),
            until,
            takes_chains: delivery.takes_chains,
            filler: None,
            on_end: None,
            permits: permits.into_iter().chain(permit).collect(),
        };
        Ok((delivery, session))
    }

    /// Admits a request for an HLS file. A client that has requested none for a while becomes a
    /// listener: it takes its permits and is registered. `until` is the end of its access if it came
    /// with a link.
    ///
    /// # Errors
    /// The reply to send if the mount has no HLS, or if a limit of listeners is reached.
    pub(super) fn admit_hls(
        &self,
        request: &Request,
        path: HlsPath,
        entry: &Arc<MountEntry>,
        until: Option<Instant>,
    ) -> Result<HlsRequest, Reply> {
        let settings = entry.settings_arc();
        if !settings.hls.is_on {
            let sentence = "HLS is switched off for this microphone; it is heard without.";
            return Err(Reply::new(404, sentence));
        }
        let link = Link::of_query(request.target.query());
        // Only what has opened the mount is passed on to the files: anything else could be of any length.
        let link = link.filter(|_| until.is_some());
        let has_login = request.head.field("authorization").is_some();
        let pass = match (settings.access.mode, &link) {
            (_, Some(link)) => link.query(),
            (AccessMode::Token, None) if !has_login => {
                let token = request.target.parameter("token");
                token.map_or_else(String::new, |token| format!("token={token}"))
            }
            _ => String::new(),
        };
        // Without Opus, there is nothing to hear.
        let is_heard = entry.stream().is_some_and(|it| matches!(it.codec, Codec::Opus(_)));
        let client = (is_heard && request.head.method() != "HEAD").then(|| {
            let name = entry.name.clone();
            match link {
                Some(link) => HlsClient::Link(name, link.signature),
                None => HlsClient::Agent(name, request.client.address, agent_of(request)),
            }
        });
        if let Some(client) = client.clone()
            && !self.hls_listeners.note_request(&client, entry)
        {
            let permits = self.take_listener_permits(request, entry)?;
            // It holds no connection, which would be counted.
            let of_client = take_without_connection(&self.hls_per_client, request)?;
            let target = target_duration(samples(settings.hls.segment));
            let registration = register(request, entry, ListenerProtocol::Hls, until);
            let of_hls = entry.hls_listeners.take(usize::MAX);
            let permits = permits.into_iter().chain(of_hls).chain(of_client);
            let listener = HlsListener::new(entry, registration, permits.collect(), target);
            self.hls_listeners.enter(client, listener);
        }
        let access = &settings.access;
        let is_public = access.mode == AccessMode::Public
            && [&access.allow, &access.deny].iter().all(|networks| networks.is_empty())
            && [&request.settings.allow, &request.settings.deny]
                .iter()
                .all(|networks| networks.is_empty());
        Ok(HlsRequest {
            path,
            mount: Arc::downgrade(entry),
            client,
            allow_origin: settings.allow_origin.clone(),
            is_public,
            pass,
        })
    }

    /// Admits a client that is about to make an offer for WebRTC: it takes its permits and is
    /// registered. `until` is the end of its access if it came with a link.
    ///
    /// # Errors
    /// The reply to send if the mount has no WebRTC, or if a limit of listeners is reached.
    pub(super) fn admit_webrtc(
        &self,
        request: &Request,
        entry: &Arc<MountEntry>,
        until: Option<Instant>,
    ) -> Result<WebRtcListener, Reply> {
        if entry.settings().webrtc == WebRtcSwitch::Off {
            let sentence = "WebRTC is switched off for this microphone; it is heard without.";
            return Err(Reply::new(404, sentence));
        }
        let permits = self.take_listener_permits(request, entry)?;
        // Its session outlasts the connection.
        let of_client = take_without_connection(&self.webrtc_per_client, request)?;
        let of_webrtc = entry.webrtc_listeners.take(usize::MAX);
        let permits = permits.into_iter().chain(of_webrtc).chain(of_client).collect();
        let registration = register(request, entry, ListenerProtocol::WebRtc, until);
        Ok(WebRtcListener::new(entry, registration, permits, until))
    }

    /// Admits a request for a clip, whose client is a listener until it has the clip. `until` is the end of
    /// its access if it came with a link.
    ///
    /// # Errors
    /// The reply to send if the client asks too often, or if a limit is reached.
    pub(super) fn admit_clip(
        &self,
        request: &Request,
        (span, head_only): (ClipSpan, bool),
        entry: &Arc<MountEntry>,
        until: Option<Instant>,
    ) -> Result<ClipRequest, Reply> {
        let listener = if head_only {
            None
        } else {
            let client = request.client;
            if !client.is_proxy
                && let Err(TooOften(wait)) = self.clip_rate.take(&client.address, Instant::now())
            {
                let seconds = wait.as_secs().saturating_add(1).to_string();
                let sentence = "This address asks for clips too often; wait a moment.";
                return Err(Reply::new(429, sentence).with("Retry-After", seconds));
            }
            let of_clips = self.clips.take(MAX_CLIPS).ok_or_else(|| {
                let sentence = format!("{MAX_CLIPS} clips are being sent; try again in a moment.");
                Reply::new(503, sentence).with("Retry-After", "2")
            })?;
            let permits = self.take_listener_permits(request, entry)?;
            let permits = permits.into_iter().chain([of_clips]).collect();
            entry.listener_joined(Duration::ZERO);
            let registration = register(request, entry, ListenerProtocol::Clip, until);
            Some(ClipListener::new(entry, registration, permits))
        };
        let (mount, allow_origin) = (Arc::downgrade(entry), entry.settings().allow_origin.clone());
        Ok(ClipRequest { mount, span, listener, allow_origin })
    }

    /// How much of the past a listener gets who asks to join at a time (`?at=`), else the value of
    /// `?burst=`.
    ///
    /// # Errors
    /// The reply to send, with status 404, if the time is not in memory.
    fn burst(listener: &ListenerRequest, entry: &MountEntry) -> Result<Option<Duration>, Reply> {
        let Some(at) = listener.at else { return Ok(listener.burst) };
        let mount = entry.mount().ok_or_else(|| not_held(&NotHeld::Nothing))?;
        let since = audio_since(&mount.pages(), at);
        since.map(Some).map_err(|error| not_held(&error))
    }

    /// Takes a listener's permits, of the server and of the mount.
    ///
    /// # Errors
    /// The reply to send, with status 503, if one of them has reached its limit.
    fn take_listener_permits(
        &self,
        request: &Request,
        entry: &MountEntry,
    ) -> Result<[Permit; 2], Reply> {
        let limit = request.settings.limits.listeners;
        let of_server = self.listeners.take(limit).ok_or_else(|| full("This server", limit))?;
        let limit = limit_of_mount(&entry.settings());
        let of_mount = entry.listeners.take(limit);
        let of_mount = of_mount.ok_or_else(|| full("This microphone", limit))?;
        Ok([of_server, of_mount])
    }
}

/// Takes a permit of a client's connections, or of what counts like one.
///
/// # Errors
/// The reply to send, with status 429, if the client has reached its limit.
fn take_of_client(
    quota: &Arc<ConnectionQuotas>,
    client: IpAddr,
    limits: &Limits,
) -> Result<Permit, Reply> {
    let limit = limits.connections_per_ip;
    quota.take(client, limit).ok_or_else(|| {
        let sentence = format!("This address has reached its connection limit of {limit}.");
        Reply::new(429, sentence).with("Retry-After", "10")
    })
}

/// Takes a permit of a client that listens without a connection, which would be counted.
///
/// # Errors
/// The reply to send, with status 429, if the client has reached its limit.
fn take_without_connection(
    quota: &Arc<ConnectionQuotas>,
    request: &Request,
) -> Result<Option<Permit>, Reply> {
    let (limits, client) = (&request.settings.limits, request.client);
    if limits.connections_per_ip == 0 || client.is_proxy {
        return Ok(None);
    }
    take_of_client(quota, client.address, limits).map(Some)
}

/// The most listeners that a mount may have.
fn limit_of_mount(settings: &MountSettings) -> usize {
    if settings.max_listeners == 0 { usize::MAX } else { settings.max_listeners }
}

/// The reply if a limit of listeners is reached.
fn full(what: &str, limit: usize) -> Reply {
    let sentence = format!("{what} has reached its listener limit of {limit}.");
    Reply::new(503, sentence).with("Retry-After", "10")
}

/// Registers a listener in the directory of its mount. `until` is the end of its access if it came with a
/// link.
fn register(
    request: &Request,
    entry: &MountEntry,
    protocol: ListenerProtocol,
    until: Option<Instant>,
) -> Registration {
    let listener = ListenerInfo::new(request.client, &agent_of(request), protocol);
    entry.directory.enter(match until.and_then(|_| Link::of_query(request.target.query())) {
        Some(link) => listener.by_link(link.expires),
        None => listener,
    })
}

/// The client's `User-Agent`, as the listener directory shows it.
fn agent_of(request: &Request) -> String {
    request.sanitized_field("user-agent").unwrap_or_default()
}
