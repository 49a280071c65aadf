//! What becomes of a request: from its head, the client's address and the seats that are left.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::address::{Origin, origin};
use super::credentials::Credentials;
use super::head::Head;
use super::route::{ALLOW, Route, of as route_of};
use super::{Door, Limits, Settings, too_many_connections};
use crate::events::journal;
use crate::http::Reply;
use crate::listener::{self, Player, Visitor, amount, response_head};
use crate::mount::{Description, Name, Seat};
use crate::source::{self, Body, Manner};
use crate::text::tame;
use crate::worker::Arrival;

/// What becomes of a request.
pub(super) enum Decision {
    /// An answer, then the next request or the end.
    Answer { bytes: Vec<u8>, keep: bool },
    /// To the data plane.
    Source(Box<dyn FnOnce(std::net::TcpStream, Vec<u8>) -> Arrival>),
    /// To the data plane.
    Listener(Box<dyn FnOnce(std::net::TcpStream) -> Arrival>),
    /// To the control plane.
    Control(Option<Seat>),
}

impl Door {
    pub(super) fn decide(
        &self,
        settings: &Settings,
        head: &Head<'_, '_>,
        peer: SocketAddr,
        seat: &mut Option<Seat>,
    ) -> Decision {
        let origin = origin(peer.ip(), head, &settings.trusted_proxies);
        let decided =
            self.seat_client(&settings.limits, origin, seat).and_then(|()| {
                match route_of(head, &settings.prefix)? {
                    Route::Control => Ok(Decision::Control(seat.take())),
                    Route::Options => Ok(answer(head, &options())),
                    Route::Source(name) => {
                        self.authenticate(&settings.credentials, head, origin)?;
                        self.source(settings, head, &name, (peer, origin), seat)
                    }
                    Route::Listener { name, probe: true, .. } => Ok(self.probe(&name, seat)),
                    Route::Listener { name, burst, probe: false } => {
                        self.listener(&settings.limits, head, &name, burst, origin, seat)
                    }
                }
            });
        decided.unwrap_or_else(|reply| {
            self.log_refusal(peer, origin.address, head.target, &reply);
            answer(head, &reply)
        })
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
        let slot = self.table.reserve(name, limit, || settings.rules.of(name)).map_err(|_| {
            Reply::new(403, format!("Too many sources connected: all {limit} mounts are in use."))
        })?;
        let description = describe(head, origin);
        let seat = seat.take();
        Ok(Decision::Source(Box::new(move |socket, read| {
            let arrival = source::Arrival { socket, read, body, manner, description, peer, seat };
            Arrival::Source(Box::new(arrival), slot)
        })))
    }

    fn authenticate(
        &self,
        credentials: &Credentials,
        head: &Head<'_, '_>,
        origin: Origin,
    ) -> Result<(), Reply> {
        let now = Instant::now();
        let mut lockout = self.lockout.borrow_mut();
        if !origin.is_proxy
            && let Some(wait) = lockout.wait(origin.address, now)
        {
            let sentence = "Too many wrong passwords from this address; try again in a minute.";
            return Err(
                Reply::new(429, sentence).with("Retry-After", (wait.as_secs() + 1).to_string())
            );
        }
        let unauthorised = |sentence| {
            Reply::new(401, sentence).with("WWW-Authenticate", "Basic realm=\"silvacast source\"")
        };
        match head.field("authorization") {
            None => Err(unauthorised("You need to authenticate as user 'source'.")),
            Some(said) if credentials.is_source(said) => Ok(()),
            Some(_) => {
                if !origin.is_proxy && lockout.note(origin.address, now) {
                    journal!(warn, LOCKOUT, peer = %origin.address, "five wrong passwords in a minute: locked out for a minute");
                }
                Err(unauthorised("Wrong user or password; the user is 'source'."))
            }
        }
    }

    /// What a listener would get, without taking a seat.
    fn probe(&self, name: &Name, seat: &mut Option<Seat>) -> Decision {
        match self.table.find(name).and_then(|slot| slot.live()) {
            Some(live) => Decision::Answer { bytes: response_head(&live), keep: false },
            None => Decision::Control(seat.take()),
        }
    }

    fn listener(
        &self,
        limits: &Limits,
        head: &Head<'_, '_>,
        name: &Name,
        burst: Option<Duration>,
        origin: Origin,
        seat: &mut Option<Seat>,
    ) -> Result<Decision, Reply> {
        let Some(slot) = self.table.find(name) else { return Ok(Decision::Control(seat.take())) };
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
        let visitor = Visitor {
            address: origin.address,
            agent: text(head, "user-agent").unwrap_or_default().into(),
            since: Instant::now(),
            seats: [of_server, of_mount].into_iter().chain(seat.take()).collect(),
        };
        let send_buffer = limits.listener_send_buffer;
        Ok(Decision::Listener(Box::new(move |socket| {
            let arrival = listener::Arrival { socket, burst, send_buffer, visitor };
            Arrival::Listener(Box::new(arrival), slot)
        })))
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

fn options() -> Reply {
    Reply::new(204, "")
        .with("Allow", ALLOW)
        .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .with("Access-Control-Allow-Headers", "Authorization, Icy-MetaData, Range")
        .with("Access-Control-Max-Age", "86400")
}
