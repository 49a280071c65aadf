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
use super::{Door, LOOK, Limits, Settings, too_many_connections};
use crate::auth::{
    Kind, LONGEST_PASSWORD, Link, LinkError, Offer, Overwhelmed, Verdict, admits, basic,
};
use crate::http::{Origin, Reply, loggable_target, parameter};
use crate::listener::{self, Player, Visitor, amount, response_head};
use crate::mount::{Description, Guest, Name, NoPlace, Seat, Slot, Wanted};
use crate::source::{self, Body, Manner};
use crate::text::tame;
use crate::worker::Arrival;

/// How long a source waits for the place of a mount whose stream has ended.
const PLACE: Duration = Duration::from_secs(2);

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
        // Whatever is asked for: two readers of this head must not disagree on where the next one begins.
        body_of(head)?;
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
            Route::Source(name) => self.source(settings, head, &name, (peer, origin), seat).await,
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

    /// A mount for a source, if there is a place for one or will be in a moment.
    async fn place_for(&self, name: &Name, limit: usize) -> Result<Wanted, Reply> {
        let end = self.clock.now().checked_add(PLACE);
        loop {
            match self.table.reserve(name, limit, || self.settings.load().rules.of(name)) {
                Ok(slot) => return Ok(slot),
                Err(NoPlace::Soon) if end.is_some_and(|end| self.clock.now() < end) => {
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
        let slot = self.place_for(name, settings.limits.sources).await?;
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
        let gate = &self.gates.listeners;
        let credential = rules.access.credential(name, &offer);
        if let Some(credential) = &credential {
            gate.try_again(origin, credential)?;
        }
        let verdict = rules.access.decide(name, origin.address, &offer, key, now);
        let verdict = match verdict {
            Verdict::If { password, hash, known } => {
                let checker = &self.gates.checker;
                let client = (!origin.is_proxy).then_some(origin.address);
                match checker.check(client, password, hash, &self.clock).await {
                    Ok(true) if known => Verdict::Welcome,
                    Ok(_) => Verdict::WrongPassword,
                    Err(Overwhelmed) => {
                        let sentence =
                            "Too many passwords are being checked; try again in a moment.";
                        return Err(Reply::new(503, sentence).with("Retry-After", "2"));
                    }
                }
            }
            verdict => verdict,
        };
        match (&verdict, &credential) {
            (Verdict::Welcome, Some(credential)) => gate.was_right(origin, credential),
            (
                Verdict::WrongPassword | Verdict::WrongToken | Verdict::BadLink(LinkError::Forged),
                _,
            ) => gate.was_wrong(origin),
            _ => {}
        }
        if let Some(reply) = refusal(&verdict) {
            return Err(reply);
        }
        let link = offer.link.filter(|_| rules.access.kind != Kind::Public);
        Ok(link.and_then(|link| link.end(now, Instant::now())))
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
        Verdict::LongPassword => {
            ask("Basic", &format!("A listener's password has at most {LONGEST_PASSWORD} bytes."))
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
fn body_of(head: &Head<'_, '_>) -> Result<Body, Reply> {
    let bad = |sentence| Err(Reply::new(400, sentence));
    let mut codings = head.values("transfer-encoding");
    let length = length_of(head)?;
    match (codings.next(), length) {
        (Some(_), Some(_)) => bad("A request has a length or chunks, not both."),
        (Some(coding), None)
            if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() =>
        {
            Ok(Body::CHUNKED)
        }
        (Some(_), None) => bad("The only transfer coding understood here is chunked."),
        (None, None | Some(0)) => Ok(Body::Raw),
        (None, Some(length)) => Ok(Body::Length(length)),
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

#[cfg(test)]
mod tests {
    use super::super::head::MAX_FIELDS;
    use super::*;

    fn framed(fields: &str) -> Result<Body, u16> {
        let text = format!("PUT /m HTTP/1.1\r\n{fields}\r\n");
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let head = Head::read(text.as_bytes(), &mut room).unwrap().unwrap();
        body_of(&head).map_err(|reply| reply.status)
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        for (fields, body) in [
            ("", Ok(Body::Raw)),
            ("Content-Length: 0\r\n", Ok(Body::Raw)),
            ("Content-Length: 5\r\n", Ok(Body::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(Body::Length(5))),
            ("Content-Length: 5, 5\r\n", Ok(Body::Length(5))),
            ("Transfer-Encoding: chunked\r\n", Ok(Body::CHUNKED)),
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
