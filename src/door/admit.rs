//! Admits sources and listeners: checks logins and access rules, and takes permits from the quotas.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::time::sleep;

use super::decide::{ListenerRequest, SourceRequest};
use super::request::Request;
use super::settings::DoorSettings;
use crate::auth::{
    AccessMode, Link, LinkError, MAX_PASSWORD, PresentedCredentials, Verdict, basic,
};
use crate::client::{
    CheckerOverloaded, ConnectionQuotas, LoginAttempt, LoginGuard, PasswordChecker,
};
use crate::clock::Clock;
use crate::control::HlsRequest;
use crate::hls::{HlsClient, HlsListener, HlsListeners, HlsPath, target_duration};
use crate::http::Reply;
use crate::listener::{Delivery, ListenerSession, Player};
use crate::mount::{
    ListenerInfo, MountEntry, MountTable, Name, NoRoom, Registration, Reservation, samples,
};
use crate::quota::{Limits, Permit, Quota};
use crate::source::empty_body_reply;

/// How long a source waits for a mount that is being removed, when `limits.sources` is reached.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval at which the reservation is tried again during [`RESERVE_TIMEOUT`].
const RESERVE_INTERVAL: Duration = Duration::from_millis(20);

/// The login guards of the door. Wrong source passwords do not lock a client out as a listener, and
/// vice versa.
#[derive(Debug)]
pub(crate) struct LoginGuards {
    /// Guards the logins of sources.
    pub(crate) sources: LoginGuard,
    /// Guards the credentials of listeners.
    pub(crate) listeners: LoginGuard,
    /// Checks listeners' passwords against bcrypt hashes, on a separate thread.
    pub(crate) checker: PasswordChecker,
}

/// Checks whether clients may do what they request, and counts them against the quotas.
pub(crate) struct Admittance {
    settings: Arc<ArcSwap<DoorSettings>>,
    table: Arc<MountTable>,
    listeners: Arc<Quota>,
    guards: LoginGuards,
    per_client: Arc<ConnectionQuotas>,
    hls_listeners: Arc<HlsListeners>,
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
        Self { settings, table, listeners, guards, per_client, hls_listeners }
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
        self.take_client_permit(peer, &settings.limits).map(Some)
    }

    fn take_client_permit(&self, client: IpAddr, limits: &Limits) -> Result<Permit, Reply> {
        let limit = limits.connections_per_ip;
        self.per_client.take(client, limit).ok_or_else(|| {
            let sentence = format!("This address has reached its connection limit of {limit}.");
            Reply::new(429, sentence).with("Retry-After", "10")
        })
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
            *permit = Some(self.take_client_permit(client.address, limits)?);
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
    pub(super) fn check_ban(request: &Request, entry: &MountEntry) -> Result<(), Reply> {
        let wait = entry.banned_for(request.client, &agent_of(request));
        let Some(seconds) = wait.map(|wait| wait.as_secs().saturating_add(1)) else {
            return Ok(());
        };
        let sentence = format!(
            "An administrator has disconnected you from this microphone; \
             you may listen again in {seconds} s."
        );
        Err(Reply::new(403, sentence).with("Retry-After", seconds.to_string()))
    }

    /// Checks whether a client may listen to a mount. Returns the end of its access if it came with
    /// a link.
    ///
    /// # Errors
    /// The reply to send if the client may not listen.
    pub(super) async fn check_access(
        &self,
        request: &Request,
        entry: &MountEntry,
        clock: &Clock,
    ) -> Result<Option<Instant>, Reply> {
        let access = &entry.settings_arc().access;
        let target = &request.target;
        let authorization = request.head.field("authorization");
        let query_token = target.percent_decoded_parameter("token");
        let bearer = authorization.and_then(|authorization| {
            let (scheme, token) = authorization.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let presented = PresentedCredentials {
            login: authorization.and_then(basic),
            token: bearer.or(query_token.as_deref()),
            link: Link::of_query(target.query()),
        };
        let (client, guard) = (request.client, &self.guards.listeners);
        let (name, now) = (entry.name.as_str(), SystemTime::now());
        // With a token or a link, nothing has compared the `Authorization` field.
        let is_login = access.mode == AccessMode::Password && presented.link.is_none();
        let compared = authorization.filter(|_| is_login && presented.login.is_some());
        let attempt = LoginAttempt { client, mount: name, authorization: compared };
        let credential = access.credential(name, &presented);
        if let Some(credential) = &credential {
            guard.check_lockout(attempt, credential)?;
        }
        let key = request.settings.share_key.as_ref();
        let verdict = access.decide(name, client.address, &presented, key, now);
        let verdict = match verdict {
            Verdict::CheckHash { password, hash, known } => {
                let address = (!client.is_proxy).then_some(client.address);
                match self.guards.checker.check(address, password, hash, clock).await {
                    Ok(true) if known => Verdict::Admit,
                    Ok(_) => Verdict::WrongPassword,
                    Err(CheckerOverloaded) => {
                        let sentence = "Too many password checks at once; try again in a moment.";
                        return Err(Reply::new(503, sentence).with("Retry-After", "2"));
                    }
                }
            }
            verdict => verdict,
        };
        match (&verdict, &credential) {
            (Verdict::Admit, Some(credential)) => {
                guard.was_right(client, credential);
                // As the administration and the door to sources would see it.
                if let Some(authorization) = attempt.authorization {
                    guard.was_right(client, authorization);
                }
            }
            (
                Verdict::WrongPassword | Verdict::WrongToken | Verdict::BadLink(LinkError::Forged),
                _,
            ) => {
                let DoorSettings { credentials, rules, .. } = &*request.settings;
                let others = rules.logins(credentials);
                guard.was_wrong(attempt, &others);
            }
            _ => {}
        }
        if let Some(reply) = refusal(&verdict) {
            return Err(reply);
        }
        let link = presented.link.filter(|_| access.mode != AccessMode::Public);
        Ok(link.and_then(|link| link.end(now, Instant::now())))
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
        let permits = self.take_listener_permits(request, entry)?;
        let player = Player {
            fetch_dest: request.head.field("sec-fetch-dest"),
            agent: request.head.field("user-agent"),
            range: request.head.field("range").is_some(),
            is_page: request.head.field("upgrade-insecure-requests").is_some(),
        };
        let delivery = player.delivery(listener.burst, entry.settings().burst);
        let session = ListenerSession {
            registration: register(request, entry),
            until,
            takes_chains: delivery.takes_chains,
            filler: None,
            permits: permits.into_iter().chain(permit).collect(),
        };
        Ok((delivery, session))
    }

    /// Admits a request for an HLS file. A client that has requested none for a while becomes a
    /// listener: it takes its permits and is registered.
    ///
    /// # Errors
    /// The reply to send if the mount has no HLS, or if a limit of listeners is reached.
    pub(super) fn admit_hls(
        &self,
        request: &Request,
        path: HlsPath,
        entry: &Arc<MountEntry>,
    ) -> Result<HlsRequest, Reply> {
        let settings = entry.settings_arc();
        if !settings.hls {
            let sentence = "HLS is switched off for this microphone; it is heard without.";
            return Err(Reply::new(404, sentence));
        }
        let link = Link::of_query(request.target.query());
        let link = link.filter(|_| settings.access.mode != AccessMode::Public);
        let pass = match (settings.access.mode, &link) {
            (_, Some(link)) => link.query(),
            (AccessMode::Token, None) => {
                let token = request.target.parameter("token");
                token.map_or_else(String::new, |token| format!("token={token}"))
            }
            _ => String::new(),
        };
        let client = (request.head.method() != "HEAD").then(|| {
            let name = entry.name.clone();
            match link {
                Some(link) => HlsClient::Link(name, link.signature),
                None => HlsClient::Agent(name, request.client.address, agent_of(request)),
            }
        });
        if let Some(client) = client.clone()
            && !self.hls_listeners.note_request(&client)
        {
            let permits = self.take_listener_permits(request, entry)?;
            let target = target_duration(samples(settings.hls_segment));
            let registration = register(request, entry);
            let permits = permits.into_iter().chain(entry.hls_listeners.take(usize::MAX));
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

    /// Takes a listener's permits, of the server and of the mount.
    ///
    /// # Errors
    /// The reply to send, with status 503, if one of them has reached its limit.
    fn take_listener_permits(
        &self,
        request: &Request,
        entry: &MountEntry,
    ) -> Result<[Permit; 2], Reply> {
        let full = |what, limit| {
            let sentence = format!("{what} has reached its listener limit of {limit}.");
            Reply::new(503, sentence).with("Retry-After", "10")
        };
        let limit = request.settings.limits.listeners;
        let of_server = self.listeners.take(limit).ok_or_else(|| full("This server", limit))?;
        let limit = entry.settings().max_listeners;
        let of_mount = entry.listeners.take(if limit == 0 { usize::MAX } else { limit });
        let of_mount = of_mount.ok_or_else(|| full("This microphone", limit))?;
        Ok([of_server, of_mount])
    }
}

/// Registers a listener in the directory of its mount.
fn register(request: &Request, entry: &MountEntry) -> Registration {
    entry.directory.enter(ListenerInfo::new(request.client, &agent_of(request)))
}

/// The client's `User-Agent`, as the listener directory shows it.
fn agent_of(request: &Request) -> String {
    request.sanitized_field("user-agent").unwrap_or_default()
}

/// The reply to a client that may not listen; `None` if it may.
fn refusal(verdict: &Verdict) -> Option<Reply> {
    let unauthorized = |scheme: &str, sentence: &str| {
        let challenge = format!("{scheme} realm=\"silvacast listener\"");
        Some(Reply::new(401, sentence).with("WWW-Authenticate", challenge))
    };
    match verdict {
        Verdict::Admit | Verdict::CheckHash { .. } => None,
        Verdict::AskPassword => {
            unauthorized("Basic", "This microphone requires a user name and a password.")
        }
        Verdict::WrongPassword => {
            unauthorized("Basic", "Wrong user name or password for this microphone.")
        }
        Verdict::LongPassword => {
            let sentence = format!("A listener's password has at most {MAX_PASSWORD} bytes.");
            unauthorized("Basic", &sentence)
        }
        Verdict::AskToken => unauthorized("Bearer", "This microphone requires a token."),
        Verdict::WrongToken => {
            unauthorized("Bearer", "This token is not valid for this microphone.")
        }
        Verdict::BadLink(error) => Some(Reply::new(403, format!("Refused: {error}."))),
        Verdict::WrongNetwork => {
            Some(Reply::new(403, "This microphone does not allow listeners from your address."))
        }
        Verdict::Closed => Some(Reply::new(403, "This microphone is closed to listeners.")),
    }
}
