//! Whether a source or a listener gets what it asks for: logins, access rules, limits.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::time::sleep;

use super::client_quotas::ClientQuotas;
use super::decide::{ListenerRequest, SourceRequest};
use super::request::Request;
use super::settings::{DoorSettings, Limits};
use crate::auth::{
    AccessMode, Link, LinkError, MAX_PASSWORD, PresentedCredentials, Verdict, basic,
};
use crate::client::{CheckerOverloaded, LoginGuard, PasswordChecker};
use crate::clock::Clock;
use crate::http::Reply;
use crate::listener::{Amount, ListenerSession, Player, amount};
use crate::mount::{ListenerInfo, MountEntry, Name, NoRoom, Reservation, Table};
use crate::quota::{Permit, Quota};

/// How long a source waits for the place of a mount whose stream has ended.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the table is asked whether that place is free.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Login guards, one for each kind of login: wrong passwords for one do not lock a client out of the
/// others.
#[derive(Debug)]
pub(crate) struct LoginGuards {
    /// For sources.
    pub(crate) sources: LoginGuard,
    /// For listeners.
    pub(crate) listeners: LoginGuard,
    /// Checks listeners' passwords.
    pub(crate) checker: PasswordChecker,
}

/// Decides who is let in, and counts those who are.
pub(crate) struct Admittance {
    settings: Arc<ArcSwap<DoorSettings>>,
    table: Arc<Table>,
    listeners: Arc<Quota>,
    guards: LoginGuards,
    per_client: ClientQuotas,
}

impl Admittance {
    /// Lets clients in by the settings in force; `listeners` counts those of the whole server.
    pub(crate) fn new(
        settings: Arc<ArcSwap<DoorSettings>>,
        table: Arc<Table>,
        listeners: Arc<Quota>,
        guards: LoginGuards,
    ) -> Self {
        let per_client = ClientQuotas::default();
        Self { settings, table, listeners, guards, per_client }
    }

    /// Takes a connection permit for a peer that is not a proxy, before its request is known.
    ///
    /// # Errors
    /// The reply to a client that has as many connections as it may.
    pub(super) fn take_peer_permit(
        &self,
        peer: IpAddr,
        settings: &DoorSettings,
    ) -> Result<Option<Permit>, Reply> {
        if settings.limits.connections_per_ip == 0 || settings.trusts(peer) {
            return Ok(None);
        }
        self.take_permit_of(peer, &settings.limits).map(Some)
    }

    fn take_permit_of(&self, client: IpAddr, limits: &Limits) -> Result<Permit, Reply> {
        let limit = limits.connections_per_ip;
        self.per_client.take(client, limit).ok_or_else(|| {
            let sentence = format!("This address has all of its {limit} connections already.");
            Reply::new(429, sentence).with("Retry-After", "10")
        })
    }

    /// Takes the client's connection permit, for a request whose client was not known before: one
    /// that came through a proxy.
    ///
    /// # Errors
    /// The reply to a client that has as many connections as it may.
    pub(super) fn take_permit(
        &self,
        request: &Request,
        permit: &mut Option<Permit>,
    ) -> Result<(), Reply> {
        let (limits, client) = (&request.settings.limits, request.client);
        if client.behind_proxy {
            // The request before this one, on the same connection, may have been another client's.
            *permit = None;
        }
        if limits.connections_per_ip > 0 && permit.is_none() && !client.is_proxy {
            *permit = Some(self.take_permit_of(client.address, limits)?);
        }
        Ok(())
    }

    /// Checks a source's login and reserves its mount.
    ///
    /// # Errors
    /// The reply to a wrong login, or where all mounts are taken.
    pub(super) async fn admit_source(
        &self,
        request: &Request,
        source: &SourceRequest,
        clock: &Clock,
    ) -> Result<Reservation, Reply> {
        let settings = &request.settings;
        let rules = settings.rules.of(&source.name);
        let login = rules.source.as_ref().unwrap_or(&settings.source);
        let authorization = request.head.field("authorization");
        self.guards.sources.admit(&[login], authorization, request.client, "source")?;
        let reservation = self.reserve(&source.name, settings.limits.sources, clock).await?;
        self.table.stats().sources.add(1);
        Ok(reservation)
    }

    /// Reserves a mount, if there is room for it or will be in a moment.
    async fn reserve(
        &self,
        name: &Name,
        limit: usize,
        clock: &Clock,
    ) -> Result<Reservation, Reply> {
        let end = clock.now().checked_add(PLACE_TIMEOUT);
        loop {
            // The rules in force now: a mount that is created keeps those it is created with until
            // the next reload.
            match self.table.reserve(name, limit, || self.settings.load().rules.of(name)) {
                Ok(reservation) => return Ok(reservation),
                Err(NoRoom::Soon) if end.is_some_and(|end| clock.now() < end) => {
                    sleep(POLL_INTERVAL).await;
                }
                Err(_) => {
                    let sentence =
                        format!("Too many sources connected: all {limit} mounts are in use.");
                    return Err(Reply::new(403, sentence));
                }
            }
        }
    }

    /// Whether a client may listen to a mount; until when, if it came by a link.
    ///
    /// # Errors
    /// The reply to a client that may not.
    pub(super) async fn check_access(
        &self,
        request: &Request,
        entry: &MountEntry,
        clock: &Clock,
    ) -> Result<Option<Instant>, Reply> {
        let access = &entry.settings_now().access;
        let target = request.target.as_ref().map_err(Clone::clone)?;
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
        let credential = access.credential(name, &presented);
        if let Some(credential) = &credential {
            guard.try_again(client, credential)?;
        }
        let key = request.settings.share_key.as_ref();
        let verdict = access.decide(name, client.address, &presented, key, now);
        let verdict = match verdict {
            Verdict::If { password, hash, known } => {
                let address = (!client.is_proxy).then_some(client.address);
                match self.guards.checker.check(address, password, hash, clock).await {
                    Ok(true) if known => Verdict::Welcome,
                    Ok(_) => Verdict::WrongPassword,
                    Err(CheckerOverloaded) => {
                        let sentence =
                            "Too many passwords are being checked; try again in a moment.";
                        return Err(Reply::new(503, sentence).with("Retry-After", "2"));
                    }
                }
            }
            verdict => verdict,
        };
        match (&verdict, &credential) {
            (Verdict::Welcome, Some(credential)) => guard.was_right(client, credential),
            (
                Verdict::WrongPassword | Verdict::WrongToken | Verdict::BadLink(LinkError::Forged),
                _,
            ) => guard.was_wrong(client),
            _ => {}
        }
        if let Some(reply) = refusal(&verdict) {
            return Err(reply);
        }
        let link = presented.link.filter(|_| access.mode != AccessMode::Public);
        Ok(link.and_then(|link| link.end(now, Instant::now())))
    }

    /// Takes a listener's permits and registers it.
    ///
    /// # Errors
    /// The reply where the server or the mount has as many listeners as it may.
    pub(super) fn admit_listener(
        &self,
        request: &Request,
        listener: &ListenerRequest,
        entry: &Arc<MountEntry>,
        until: Option<Instant>,
        permit: Option<Permit>,
    ) -> Result<(Amount, ListenerSession), Reply> {
        let full = |what: String| Reply::new(503, what).with("Retry-After", "10");
        let limit = request.settings.limits.listeners;
        let of_server = self.listeners.take(limit);
        let of_server = of_server
            .ok_or_else(|| full(format!("This server has all of its {limit} listeners.")))?;
        let limit = entry.settings().max_listeners;
        let of_mount = entry.listeners.take(if limit == 0 { usize::MAX } else { limit });
        let of_mount = of_mount
            .ok_or_else(|| full(format!("This microphone has all of its {limit} listeners.")))?;
        let player = Player {
            fetch_dest: request.head.field("sec-fetch-dest"),
            agent: request.head.field("user-agent"),
            range: request.head.field("range").is_some(),
        };
        let burst = amount(listener.burst, entry.settings().burst, player);
        let agent = request.shown_field("user-agent").unwrap_or_default();
        let info = ListenerInfo::new(request.client.address, &agent);
        let session = ListenerSession {
            registration: entry.directory.enter(info),
            until,
            permits: [of_server, of_mount].into_iter().chain(permit).collect(),
        };
        Ok((burst, session))
    }
}

/// The reply to a client that may not listen.
fn refusal(verdict: &Verdict) -> Option<Reply> {
    let ask = |how: &str, sentence: &str| {
        let realm = format!("{how} realm=\"silvacast listener\"");
        Some(Reply::new(401, sentence).with("WWW-Authenticate", realm))
    };
    match verdict {
        Verdict::Welcome | Verdict::If { .. } => None,
        Verdict::AskPassword => ask("Basic", "This microphone needs a user and a password."),
        Verdict::WrongPassword => ask("Basic", "Wrong user or password for this microphone."),
        Verdict::LongPassword => {
            ask("Basic", &format!("A listener's password has at most {MAX_PASSWORD} bytes."))
        }
        Verdict::AskToken => ask("Bearer", "This microphone needs a token."),
        Verdict::WrongToken => ask("Bearer", "This token does not open this microphone."),
        Verdict::BadLink(error) => Some(Reply::new(403, format!("Refused: {error}."))),
        Verdict::Elsewhere => Some(Reply::new(403, "This microphone is not open to your address.")),
        Verdict::Closed => Some(Reply::new(403, "This microphone is closed to listeners.")),
    }
}
