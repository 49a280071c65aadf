//! What becomes of a request: from its head, the client's address and the seats that are left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use percent_encoding::percent_decode_str;

use super::address::origin;
use super::head::Head;
use super::route::{Route, of as route_of};
use super::{Door, Limits, Settings, too_many_connections};
use crate::auth::{Kind, Link, Offer, Overwhelmed, Verdict, admits, basic};
use crate::http::{Origin, Reply, loggable_target, parameter};
use crate::listener::{self, Player, Visitor, amount, response_head};
use crate::mount::{Description, Guest, Name, Seat, Slot};
use crate::source::{self, Body, Manner};
use crate::text::tame;
use crate::worker::Arrival;

/// Passwords of one client that may wait to be checked.
const CHECKS_OF_ONE: usize = 2;

/// What becomes of a request.
pub(super) enum Decision {
    /// An answer, then the next request or the end.
    Answer { bytes: Vec<u8>, keep: bool },
    /// To the data plane.
    Source(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> Arrival>),
    /// To the data plane.
    Listener(Box<dyn FnOnce(std::net::TcpStream) -> Arrival>),
    /// To the control plane.
    Control(Option<Seat>, Origin),
}

impl Door {
    pub(super) async fn decide(
        &self,
        settings: &Settings,
        head: &Head<'_, '_>,
        peer: SocketAddr,
        seat: &mut Option<Seat>,
    ) -> Decision {
        self.table.totals().requests.add(1);
        let origin = origin(peer.ip(), head, &settings.trusted_proxies);
        let decided = match self.let_in(settings, head, origin, seat) {
            Ok(route) => self.follow(route, settings, head, (peer, origin), seat).await,
            Err(reply) => Err(reply),
        };
        decided.unwrap_or_else(|reply| {
            let path = loggable_target(head.target, &settings.prefix);
            self.log_refusal(peer, origin.address, &path, &reply);
            answer(head, &reply)
        })
    }

    /// What holds for every request.
    fn let_in(
        &self,
        settings: &Settings,
        head: &Head<'_, '_>,
        origin: Origin,
        seat: &mut Option<Seat>,
    ) -> Result<Route, Reply> {
        // Whoever asks from this machine whether the server is well gets an answer.
        let own = origin.address.is_loopback() && head.target == "/healthz";
        if !own && !admits(&settings.allow, &settings.deny, origin.address) {
            return Err(Reply::new(403, "This server is not open to your address."));
        }
        self.seat_client(&settings.limits, origin, seat)?;
        route_of(head, &settings.prefix)
    }

    async fn follow(
        &self,
        route: Route,
        settings: &Settings,
        head: &Head<'_, '_>,
        (peer, origin): (SocketAddr, Origin),
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Reply> {
        match route {
            Route::Control => Ok(Decision::Control(seat.take(), origin)),
            Route::Options(all) => Ok(answer(head, &options(all))),
            Route::Source(name) => self.source(settings, head, &name, (peer, origin), seat),
            Route::Listener { name, burst, query, probe } => {
                let Some(slot) = self.table.find(&name) else {
                    return Ok(Decision::Control(seat.take(), origin));
                };
                let until = self.may_listen(settings, head, &slot, origin, &query).await?;
                if probe {
                    return Ok(probed(&slot));
                }
                self.listener(&settings.limits, head, slot, (burst, until), origin, seat)
            }
        }
    }

    /// A client behind a proxy is counted once its address is known.
    fn seat_client(
        &self,
        limits: &Limits,
        origin: Origin,
        seat: &mut Option<Seat>,
    ) -> Result<(), Reply> {
        let limit = limits.connections_per_ip;
        if origin.behind_proxy {
            // Another client's request on the same connection has another client's seat.
            *seat = None;
        }
        if limit > 0 && seat.is_none() && !origin.is_proxy {
            *seat = Some(
                self.per_client
                    .take(origin.address, limit)
                    .ok_or_else(|| too_many_connections(limits))?,
            );
        }
        Ok(())
    }

    fn source(
        &self,
        settings: &Settings,
        head: &Head<'_, '_>,
        name: &Name,
        (peer, origin): (SocketAddr, Origin),
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Reply> {
        let rules = settings.rules.of(name);
        let login = rules.source.as_ref().unwrap_or(&settings.credentials.source);
        self.gates.sources.admit(&[login], head.field("authorization"), origin, "source")?;
        let body = body_of(head)?;
        let manner = if head.field("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue"))
        {
            Manner::Expects
        } else if head.method == "SOURCE" {
            Manner::AnswerFirst
        } else {
            Manner::Either
        };
        let limit = settings.limits.sources;
        let slot = self
            .table
            .reserve(name, limit, || self.settings.load().rules.of(name))
            .map_err(|_| {
                Reply::new(
                    403,
                    format!("Too many sources connected: all {limit} mounts are in use."),
                )
            })?;
        self.table.totals().sources.add(1);
        let description = describe(head, origin);
        let seat = seat.take();
        Ok(Decision::Source(Box::new(move |socket, read| {
            let arrival = source::Arrival { socket, read, body, manner, description, peer, seat };
            Arrival::Source(Box::new(arrival), slot)
        })))
    }

    /// Whether this client may hear this mount, and until when, if not for as long as it likes.
    async fn may_listen(
        &self,
        settings: &Settings,
        head: &Head<'_, '_>,
        slot: &Slot,
        origin: Origin,
        query: &str,
    ) -> Result<Option<Instant>, Reply> {
        let rules = slot.settings_now();
        let said = head.field("authorization");
        let in_query =
            parameter(query, "token").map(|token| percent_decode_str(token).decode_utf8_lossy());
        let bearer = said.and_then(|said| {
            let (scheme, token) = said.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let offer = Offer {
            login: said.and_then(basic),
            token: bearer.or(in_query.as_deref()),
            link: Link::of_query(query),
        };
        let (name, key, now) = (slot.name.as_str(), settings.share_key.as_ref(), SystemTime::now());
        let verdict = rules.access.decide(name, origin.address, &offer, key, now);
        let verdict = match verdict {
            Verdict::If { password, hash, known } => {
                self.gates.listeners.try_again(origin)?;
                let busy = || {
                    let sentence = "Too many passwords are being checked; try again in a moment.";
                    Reply::new(503, sentence).with("Retry-After", "2")
                };
                // One client cannot keep the others waiting.
                let _turn = self.checking.take(origin.address, CHECKS_OF_ONE).ok_or_else(busy)?;
                match self.gates.checker.check(password, hash).await {
                    Ok(true) if known => Verdict::Welcome,
                    Ok(_) => Verdict::WrongPassword,
                    Err(Overwhelmed) => return Err(busy()),
                }
            }
            verdict => verdict,
        };
        if matches!(verdict, Verdict::WrongPassword | Verdict::WrongToken) {
            self.gates.listeners.try_again(origin)?;
            self.gates.listeners.was_wrong(origin);
        }
        // By a clock that only goes on, from here on.
        let left = |link: &Link| link.until()?.duration_since(now).ok();
        let until =
            offer.link.as_ref().filter(|_| rules.access.kind != Kind::Public).and_then(left);
        refusal(&verdict).map_or(Ok(until.map(|left| Instant::now() + left)), Err)
    }

    fn listener(
        &self,
        limits: &Limits,
        head: &Head<'_, '_>,
        slot: Arc<Slot>,
        (burst, until): (Option<Duration>, Option<Instant>),
        origin: Origin,
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Reply> {
        let full = |what: String| Reply::new(503, what).with("Retry-After", "10");
        let all = limits.listeners;
        let of_server = self.listeners.take(all);
        let of_server =
            of_server.ok_or_else(|| full(format!("All {all} seats for listeners are taken.")))?;
        let most = slot.settings().max_listeners;
        let of_mount = slot.listeners.take(if most == 0 { usize::MAX } else { most });
        let of_mount = of_mount.ok_or_else(|| {
            full(format!("All {most} seats for listeners of this mount are taken."))
        })?;
        let player = Player {
            fetch_dest: head.field("sec-fetch-dest"),
            agent: head.field("user-agent"),
            range: head.field("range").is_some(),
        };
        let burst = amount(burst, slot.settings().burst, player);
        let agent = text(head, "user-agent").unwrap_or_default();
        let visitor = Visitor {
            entry: slot.roster.enter(Guest::new(origin.address, &agent)),
            until,
            seats: [of_server, of_mount].into_iter().chain(seat.take()).collect(),
        };
        let send_buffer = limits.listener_send_buffer;
        Ok(Decision::Listener(Box::new(move |socket| {
            let arrival = listener::Arrival { socket, burst, send_buffer, visitor };
            Arrival::Listener(Box::new(arrival), slot)
        })))
    }
}

/// What a listener would get, for whoever only asks.
fn probed(slot: &Slot) -> Decision {
    let bytes = slot.live().map_or_else(Vec::new, |live| response_head(&live));
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
        Verdict::AskToken => ask("Bearer", "This microphone needs a token."),
        Verdict::WrongToken => ask("Bearer", "This token does not open this microphone."),
        Verdict::BadLink(error) => Some(Reply::new(403, format!("Refused: {error}."))),
        Verdict::Elsewhere => Some(Reply::new(403, "This microphone is not open to your address.")),
        Verdict::Closed => Some(Reply::new(403, "This microphone is closed to listeners.")),
    }
}

/// How the body is framed. A length of 0 comes from encoders that mean none.
fn body_of(head: &Head<'_, '_>) -> Result<Body, Reply> {
    let bad = |sentence| Err(Reply::new(400, sentence));
    let mut lengths = head.values("content-length");
    let mut codings = head.values("transfer-encoding");
    match (codings.next(), lengths.next()) {
        (Some(_), Some(_)) => bad("A request has a length or chunks, not both."),
        (Some(coding), None)
            if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() =>
        {
            Ok(Body::CHUNKED)
        }
        (Some(_), None) => bad("The only transfer coding understood here is chunked."),
        (None, None | Some(b"0")) if lengths.next().is_none() => Ok(Body::Raw),
        (None, length) => {
            let digits = length.filter(|length| length.iter().all(u8::is_ascii_digit));
            let length = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            match length {
                Some(length) if lengths.next().is_none() => Ok(Body::Length(length)),
                _ => bad("This Content-Length is no length."),
            }
        }
    }
}

fn describe(head: &Head<'_, '_>, origin: Origin) -> Description {
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
    head.field(name).map(tame).filter(|text| !text.is_empty())
}

fn answer(head: &Head<'_, '_>, reply: &Reply) -> Decision {
    // Behind anything that may be a body, the next head cannot be told from it.
    let keep = head.keeps_connection() && body_of(head) == Ok(Body::Raw);
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
