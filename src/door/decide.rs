//! What becomes of a request: from its head, the client's address and the seats that are left.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use percent_encoding::percent_decode_str;
use tokio::time::sleep;

use super::address::origin;
use super::head::Head;
use super::route::{Route, of as route_of};
use super::{Door, DoorSettings, LOOK, Limits, too_many_connections};
use crate::auth::{
    AccessMode, Link, LinkError, MAX_PASSWORD, PresentedCredentials, Verdict, admits, basic,
};
use crate::client::CheckerOverloaded;
use crate::client_addr::ClientAddr;
use crate::http::{Reply, parameter, redacted_target};
use crate::listener::{ListenerConnection, ListenerSession, Player, amount, response_head};
use crate::mount::{Description, ListenerInfo, MountEntry, Name, NoRoom, Reservation};
use crate::quota::Permit;
use crate::source::{BodyFraming, ResponseTiming, SourceConnection};
use crate::text::sanitize;
use crate::worker::Handoff;

/// How long a source waits for the place of a mount whose stream has ended.
const PLACE: Duration = Duration::from_secs(2);

/// What becomes of a request.
pub(super) enum Decision {
    /// An answer, then the next request or the end.
    Answer { bytes: Vec<u8>, keep: bool },
    /// To the data plane.
    Source(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> Handoff>),
    /// To the data plane.
    Listener(Box<dyn FnOnce(std::net::TcpStream) -> Handoff>),
    /// To the control plane.
    Control(Option<Permit>, ClientAddr),
}

impl Door {
    pub(super) async fn decide(
        &self,
        settings: &DoorSettings,
        head: &Head<'_, '_>,
        peer: SocketAddr,
        permit: &mut Option<Permit>,
    ) -> Decision {
        self.table.stats().requests.add(1);
        let origin = origin(peer.ip(), head, &settings.trusted_proxies);
        let decided = match self.let_in(settings, head, origin, permit) {
            Ok(route) => self.follow(route, settings, head, (peer, origin), permit).await,
            Err(reply) => Err(reply),
        };
        decided.unwrap_or_else(|reply| {
            let path = redacted_target(head.target, &settings.prefix);
            self.log_refusal(peer, origin.address, &path, &reply);
            answer(head, &reply)
        })
    }

    /// What holds for every request.
    fn let_in(
        &self,
        settings: &DoorSettings,
        head: &Head<'_, '_>,
        origin: ClientAddr,
        permit: &mut Option<Permit>,
    ) -> Result<Route, Reply> {
        // Whoever asks from this machine whether the server is well gets an answer.
        let own = origin.address.is_loopback() && head.target == "/healthz";
        if !own && !admits(&settings.allow, &settings.deny, origin.address) {
            return Err(Reply::new(403, "This server is not open to your address."));
        }
        self.take_client_permit(&settings.limits, origin, permit)?;
        // Whatever is asked for: two readers of this head must not disagree on where the next one begins.
        body_of(head)?;
        route_of(head, &settings.prefix)
    }

    async fn follow(
        &self,
        route: Route,
        settings: &DoorSettings,
        head: &Head<'_, '_>,
        (peer, origin): (SocketAddr, ClientAddr),
        permit: &mut Option<Permit>,
    ) -> Result<Decision, Reply> {
        match route {
            Route::Control => Ok(Decision::Control(permit.take(), origin)),
            Route::Options(all) => Ok(answer(head, &options(all))),
            Route::Source(name) => self.source(settings, head, &name, (peer, origin), permit).await,
            Route::Listener { name, burst, query, probe } => {
                let Some(entry) = self.table.find(&name) else {
                    return Ok(Decision::Control(permit.take(), origin));
                };
                let until = self.may_listen(settings, head, &entry, origin, &query).await?;
                if probe {
                    return Ok(probed(&entry));
                }
                self.listener(&settings.limits, head, entry, (burst, until), origin, permit)
            }
        }
    }

    /// A client behind a proxy is counted once its address is known.
    fn take_client_permit(
        &self,
        limits: &Limits,
        origin: ClientAddr,
        permit: &mut Option<Permit>,
    ) -> Result<(), Reply> {
        let limit = limits.connections_per_ip;
        if origin.behind_proxy {
            // Another client's request on the same connection has another client's seat.
            *permit = None;
        }
        if limit > 0 && permit.is_none() && !origin.is_proxy {
            *permit = Some(
                self.per_client
                    .take(origin.address, limit)
                    .ok_or_else(|| too_many_connections(limits))?,
            );
        }
        Ok(())
    }

    /// A mount for a source, if there is a place for one or will be in a moment.
    async fn place_for(&self, name: &Name, limit: usize) -> Result<Reservation, Reply> {
        let end = self.clock.now().checked_add(PLACE);
        loop {
            match self.table.reserve(name, limit, || self.settings.load().rules.of(name)) {
                Ok(entry) => return Ok(entry),
                Err(NoRoom::Soon) if end.is_some_and(|end| self.clock.now() < end) => {
                    sleep(LOOK).await;
                }
                Err(_) => {
                    let sentence =
                        format!("Too many sources connected: all {limit} mounts are in use.");
                    return Err(Reply::new(403, sentence));
                }
            }
        }
    }

    async fn source(
        &self,
        settings: &DoorSettings,
        head: &Head<'_, '_>,
        name: &Name,
        (peer, origin): (SocketAddr, ClientAddr),
        permit: &mut Option<Permit>,
    ) -> Result<Decision, Reply> {
        let rules = settings.rules.of(name);
        let login = rules.source.as_ref().unwrap_or(&settings.credentials.source);
        self.guards.sources.admit(&[login], head.field("authorization"), origin, "source")?;
        let body = body_of(head)?;
        let timing = if head.field("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue"))
        {
            ResponseTiming::Expects
        } else if head.method == "SOURCE" {
            ResponseTiming::AnswerFirst
        } else {
            ResponseTiming::Either
        };
        let entry = self.place_for(name, settings.limits.sources).await?;
        self.table.stats().sources.add(1);
        let description = describe(head, origin);
        let permit = permit.take();
        Ok(Decision::Source(Box::new(move |socket, read| {
            let connection =
                SourceConnection { socket, read, body, timing, description, peer, permit };
            Handoff::Source(Box::new(connection), entry)
        })))
    }

    /// Whether this client may hear this mount, and until when, if not for as long as it likes.
    async fn may_listen(
        &self,
        settings: &DoorSettings,
        head: &Head<'_, '_>,
        entry: &MountEntry,
        origin: ClientAddr,
        query: &str,
    ) -> Result<Option<Instant>, Reply> {
        let rules = entry.settings_now();
        let said = head.field("authorization");
        let in_query =
            parameter(query, "token").map(|token| percent_decode_str(token).decode_utf8_lossy());
        let bearer = said.and_then(|said| {
            let (scheme, token) = said.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let presented = PresentedCredentials {
            login: said.and_then(basic),
            token: bearer.or(in_query.as_deref()),
            link: Link::of_query(query),
        };
        let (name, key, now) =
            (entry.name.as_str(), settings.share_key.as_ref(), SystemTime::now());
        let guard = &self.guards.listeners;
        let credential = rules.access.credential(name, &presented);
        if let Some(credential) = &credential {
            guard.try_again(origin, credential)?;
        }
        let verdict = rules.access.decide(name, origin.address, &presented, key, now);
        let verdict = match verdict {
            Verdict::If { password, hash, known } => {
                let checker = &self.guards.checker;
                let client = (!origin.is_proxy).then_some(origin.address);
                match checker.check(client, password, hash, &self.clock).await {
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
            (Verdict::Welcome, Some(credential)) => guard.was_right(origin, credential),
            (
                Verdict::WrongPassword | Verdict::WrongToken | Verdict::BadLink(LinkError::Forged),
                _,
            ) => guard.was_wrong(origin),
            _ => {}
        }
        if let Some(reply) = refusal(&verdict) {
            return Err(reply);
        }
        let link = presented.link.filter(|_| rules.access.mode != AccessMode::Public);
        Ok(link.and_then(|link| link.end(now, Instant::now())))
    }

    fn listener(
        &self,
        limits: &Limits,
        head: &Head<'_, '_>,
        entry: Arc<MountEntry>,
        (burst, until): (Option<Duration>, Option<Instant>),
        origin: ClientAddr,
        permit: &mut Option<Permit>,
    ) -> Result<Decision, Reply> {
        let full = |what: String| Reply::new(503, what).with("Retry-After", "10");
        let all = limits.listeners;
        let of_server = self.listeners.take(all);
        let of_server =
            of_server.ok_or_else(|| full(format!("All {all} seats for listeners are taken.")))?;
        let most = entry.settings().max_listeners;
        let of_mount = entry.listeners.take(if most == 0 { usize::MAX } else { most });
        let of_mount = of_mount.ok_or_else(|| {
            full(format!("All {most} seats for listeners of this mount are taken."))
        })?;
        let player = Player {
            fetch_dest: head.field("sec-fetch-dest"),
            agent: head.field("user-agent"),
            range: head.field("range").is_some(),
        };
        let burst = amount(burst, entry.settings().burst, player);
        let agent = text(head, "user-agent").unwrap_or_default();
        let session = ListenerSession {
            registration: entry.directory.enter(ListenerInfo::new(origin.address, &agent)),
            until,
            permits: [of_server, of_mount].into_iter().chain(permit.take()).collect(),
        };
        let send_buffer = limits.listener_send_buffer;
        Ok(Decision::Listener(Box::new(move |socket| {
            let connection = ListenerConnection { socket, burst, send_buffer, session };
            Handoff::Listener(Box::new(connection), entry)
        })))
    }
}

/// What a listener would get, for whoever only asks.
fn probed(entry: &MountEntry) -> Decision {
    let bytes = entry.stream().map_or_else(Vec::new, |stream| response_head(&stream));
    Decision::Answer { bytes, keep: false }
}

/// What those are told who may not listen.
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

/// How the body is framed (RFC 9112, section 6.3). Some encoders send `Content-Length: 0` for a body
/// of unknown length.
fn body_of(head: &Head<'_, '_>) -> Result<BodyFraming, Reply> {
    let bad = |sentence| Err(Reply::new(400, sentence));
    let mut codings = head.values("transfer-encoding");
    let length = length_of(head)?;
    match (codings.next(), length) {
        (Some(_), Some(_)) => bad("A request has a length or chunks, not both."),
        (Some(coding), None)
            if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() =>
        {
            Ok(BodyFraming::CHUNKED)
        }
        (Some(_), None) => bad("The only transfer coding understood here is chunked."),
        (None, None | Some(0)) => Ok(BodyFraming::Raw),
        (None, Some(length)) => Ok(BodyFraming::Length(length)),
    }
}

/// The length that all `Content-Length` fields agree on.
fn length_of(head: &Head<'_, '_>) -> Result<Option<u64>, Reply> {
    let mut length = None;
    let values = head.values("content-length");
    for value in values.flat_map(|value| value.split(|&byte| byte == b',')) {
        let digits = Some(value.trim_ascii()).filter(|text| text.iter().all(u8::is_ascii_digit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let Some(said) = digits else {
            return Err(Reply::new(400, "This Content-Length is no length."));
        };
        if length.is_some_and(|length| length != said) {
            return Err(Reply::new(400, "A request has one Content-Length, not different ones."));
        }
        length = Some(said);
    }
    Ok(length)
}

fn describe(head: &Head<'_, '_>, origin: ClientAddr) -> Description {
    Description {
        name: text(head, "ice-name"),
        description: text(head, "ice-description"),
        genre: text(head, "ice-genre"),
        url: text(head, "ice-url"),
        bitrate: text(head, "ice-bitrate").and_then(|rate| rate.parse().ok()),
        public: text(head, "ice-public").is_some_and(|public| public == "1"),
        audio_info: text(head, "ice-audio-info"),
        agent: text(head, "user-agent"),
        address: Some(origin.address),
    }
}

/// A field's value, fit to stand in logs, headers and documents.
fn text(head: &Head<'_, '_>, name: &str) -> Option<String> {
    head.field(name).map(sanitize).filter(|text| !text.is_empty())
}

fn answer(head: &Head<'_, '_>, reply: &Reply) -> Decision {
    // Behind anything that may be a body, the next head cannot be told from it.
    let keep = head.keeps_connection() && body_of(head) == Ok(BodyFraming::Raw);
    Decision::Answer { bytes: reply.render(head.version, keep, head.method != "HEAD"), keep }
}

fn options(all: &str) -> Reply {
    let reply = Reply::new(204, "").with("Allow", all);
    // Only the administration takes POST, and no page of another site has anything to do there.
    if all.contains("POST") {
        return reply;
    }
    reply
        .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .with("Access-Control-Allow-Headers", "Authorization, Icy-MetaData, Last-Event-ID, Range")
        .with("Access-Control-Max-Age", "86400")
}

#[cfg(test)]
mod tests {
    use super::super::head::MAX_FIELDS;
    use super::*;

    fn framed(fields: &str) -> Result<BodyFraming, u16> {
        let text = format!("PUT /m HTTP/1.1\r\n{fields}\r\n");
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let head = Head::read(text.as_bytes(), &mut room).unwrap().unwrap();
        body_of(&head).map_err(|reply| reply.status)
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        for (fields, body) in [
            ("", Ok(BodyFraming::Raw)),
            ("Content-Length: 0\r\n", Ok(BodyFraming::Raw)),
            ("Content-Length: 5\r\n", Ok(BodyFraming::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(BodyFraming::Length(5))),
            ("Content-Length: 5, 5\r\n", Ok(BodyFraming::Length(5))),
            ("Transfer-Encoding: chunked\r\n", Ok(BodyFraming::CHUNKED)),
            ("Content-Length: 0\r\nContent-Length: 5\r\n", Err(400)),
            ("Content-Length: 5\r\nContent-Length: 0\r\n", Err(400)),
            ("Content-Length: 5, 0\r\n", Err(400)),
            ("Content-Length: \r\n", Err(400)),
            ("Content-Length: +5\r\n", Err(400)),
            ("Content-Length: 18446744073709551616\r\n", Err(400)),
            ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(400)),
        ] {
            assert_eq!(framed(fields), body, "{fields:?}");
        }
    }
}
