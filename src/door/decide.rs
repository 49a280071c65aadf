//! Classifies a request: a pure function from the request to plain data.
//!
//! Access rules and limits are checked afterwards, in `admit`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::Duration;

use super::request::Request;
use crate::clip::{ClipSpan, time_of};
use crate::http::{Reply, RequestTarget};
use crate::mount::{Description, Name, NameError};
use crate::routes::{MOUNT_METHODS, Methods, Route};
use crate::source::{BodyFraming, ResponseTiming};
use crate::units;
use crate::utc::Utc;
use crate::webrtc::{MAX_OFFER, SessionId, WhepPath, WhepResource};

/// Request fields that pages of other origins may send. Players and libraries add several of them
/// although they have no effect here; a browser refuses the whole request if one is not listed.
const CORS_FIELDS: &str = "Authorization, Cache-Control, Content-Type, Icy-MetaData, If-Match, \
                           Last-Event-ID, Pragma, Range, X-Requested-With";

/// Content type of an offer.
const SDP: &str = "application/sdp";

/// Which part of the server handles a request.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// The door sends this reply.
    Reply(Reply),
    /// The client is a source and wants to send to a mount.
    Source(Box<SourceRequest>),
    /// The client is a listener and requests a mount's stream.
    Listener(ListenerRequest),
    /// The client ends its session of WebRTC.
    EndSession(SessionId),
    /// The control plane handles the request by this route. `None`: the path is not in the table.
    Control(Option<&'static Route>),
}

/// The request of a source.
#[derive(Debug, PartialEq)]
pub(super) struct SourceRequest {
    pub(super) name: Name,
    pub(super) framing: BodyFraming,
    pub(super) timing: ResponseTiming,
    pub(super) description: Description,
}

/// The request of a listener.
#[derive(Debug, PartialEq)]
pub(super) struct ListenerRequest {
    pub(super) name: Name,
    /// The value of `?burst=`, if present.
    pub(super) burst: Option<Duration>,
    /// The value of `?at=`, if present: where in the past the listener joins.
    pub(super) at: Option<Utc>,
    /// The part of the audio that is wanted as a file.
    pub(super) clip: Option<ClipSpan>,
    /// How the stream is wanted.
    pub(super) delivery: WantedDelivery,
    /// Whether another server asks, which names itself in `Via`.
    pub(super) is_relay: bool,
}

/// How a listener wants a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WantedDelivery {
    /// As the body of the response.
    Body,
    /// Only the head of the response: the method is `HEAD`.
    HeadOnly,
    /// By WebRTC: the body of the request is an offer.
    WebRtc,
}

/// Decides which part of the server handles a request.
pub(super) fn decide(request: &Request) -> Decision {
    classify(request).unwrap_or_else(Decision::Reply)
}

fn classify(request: &Request) -> Result<Decision, Reply> {
    // Checked for every request to prevent request smuggling: a proxy and this server must agree on
    // where the next request begins.
    let framing = request.framing.clone()?;
    let method = request.head.method();
    if method == "OPTIONS" {
        return Ok(Decision::Reply(options(&request.target)));
    }
    let target = &request.target;
    let name = match (Name::new(&target.path), method) {
        (Ok(name), _) => name,
        (Err(NameError::Reserved), "PUT" | "SOURCE") if target.path.starts_with("/api/") => {
            // Clients of the API expect 405 with `Allow`. Encoders do not use these paths.
            let methods = Route::of(&target.path).map_or(Methods::Read, |route| route.methods);
            let reply = Reply::new(405, format!("{method} is not allowed here."));
            return Err(reply.with("Allow", methods.allow()));
        }
        (Err(NameError::Reserved), method) if !matches!(method, "PUT" | "SOURCE") => {
            return Ok(Decision::Control(Route::of(&target.path)));
        }
        (Err(error @ NameError::Reserved), _) => return Err(refused(403, error)),
        (Err(error), _) => return Err(refused(400, error)),
    };
    if let Some(path) = WhepPath::parse(name.as_str()) {
        return whep(request, path);
    }
    match method {
        "PUT" | "SOURCE" => Ok(Decision::Source(Box::new(SourceRequest {
            name,
            framing,
            timing: timing_of(request),
            description: description_of(request),
        }))),
        "GET" | "HEAD" => Ok(Decision::Listener(ListenerRequest {
            name,
            burst: burst_of(target)?,
            at: time_of(target, "at")?,
            clip: ClipSpan::of(target)?,
            delivery: match method {
                "HEAD" => WantedDelivery::HeadOnly,
                _ => WantedDelivery::Body,
            },
            is_relay: request.head.field("via").is_some(),
        })),
        "POST" => {
            let sentence = "A stream is sent with PUT, not POST; FFmpeg does that with \
                            -method PUT, or with an icecast:// address.";
            Err(Reply::new(405, sentence).with("Allow", MOUNT_METHODS))
        }
        _ => {
            let sentence = "This method is not allowed for mounts; use GET, HEAD, PUT or SOURCE.";
            Err(Reply::new(405, sentence).with("Allow", MOUNT_METHODS))
        }
    }
}

/// Classifies a request for a path of WHEP.
fn whep(request: &Request, path: WhepPath) -> Result<Decision, Reply> {
    let allow = path.resource.methods();
    match (path.resource, request.head.method()) {
        (WhepResource::Endpoint, "POST") => {
            let content_type = request.sanitized_field("content-type").unwrap_or_default();
            let content_type = content_type.split(';').next().unwrap_or_default().trim();
            if !content_type.eq_ignore_ascii_case(SDP) {
                let sentence = "An offer is needed, with Content-Type: application/sdp.";
                return Err(Reply::new(415, sentence).with("Accept-Post", SDP));
            }
            if matches!(request.framing, Ok(BodyFraming::Length(length)) if length > MAX_OFFER as u64)
            {
                return Err(offer_too_long());
            }
            Ok(Decision::Listener(ListenerRequest {
                name: path.mount,
                burst: None,
                at: None,
                clip: None,
                delivery: WantedDelivery::WebRtc,
                is_relay: false,
            }))
        }
        (WhepResource::Session(id), "DELETE") => Ok(Decision::EndSession(id)),
        (_, "PUT" | "SOURCE") => {
            let sentence = "Listeners of WebRTC begin here; a source needs a name without /whep.";
            Err(Reply::new(405, sentence).with("Allow", allow))
        }
        (WhepResource::Session(_), "PATCH") => {
            let sentence = "A session cannot be changed: this server needs no candidates from the \
                            client. To restart ICE, DELETE the session and POST a new offer.";
            Err(Reply::new(405, sentence).with("Allow", allow))
        }
        (WhepResource::Session(_), _) => {
            let sentence = "A session of WebRTC can only be ended, with DELETE.";
            Err(Reply::new(405, sentence).with("Allow", allow))
        }
        (WhepResource::Endpoint, _) => {
            let sentence = "This is where WebRTC (WHEP) begins: POST an offer in SDP.";
            Err(Reply::new(405, sentence).with("Allow", allow))
        }
    }
}

fn offer_too_long() -> Reply {
    Reply::new(413, format!("An offer may have {} KiB.", MAX_OFFER / 1024))
}

fn refused(status: u16, error: NameError) -> Reply {
    Reply::new(status, format!("Refused: {error}."))
}

/// The reply to `OPTIONS`. Browsers send it as the CORS preflight request.
fn options(target: &RequestTarget) -> Reply {
    let path = &*target.path;
    if let Some(path) = WhepPath::parse(path) {
        let methods = path.resource.methods();
        return Reply::new(204, "")
            .with("Allow", methods)
            .with("Accept-Post", SDP)
            .with("Access-Control-Allow-Methods", methods)
            .with("Access-Control-Allow-Headers", CORS_FIELDS)
            .with("Access-Control-Max-Age", "86400");
    }
    let methods = (Name::new(path) == Err(NameError::Reserved))
        .then(|| Route::of(path).map_or(Methods::Read, |route| route.methods));
    let allow = methods.map_or(MOUNT_METHODS, Methods::allow);
    let reply = Reply::new(204, "").with("Allow", allow);
    // Pages of other origins must not send commands, so CORS is not granted.
    if methods == Some(Methods::Command) {
        return reply;
    }
    reply
        .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .with("Access-Control-Allow-Headers", CORS_FIELDS)
        .with("Access-Control-Max-Age", "86400")
}

fn burst_of(target: &RequestTarget) -> Result<Option<Duration>, Reply> {
    let Some(value) = target.parameter("burst") else { return Ok(None) };
    let time = units::duration(value);
    let sentence = "The parameter burst must be a duration such as 200ms or 2s.";
    time.map(Some).map_err(|_| Reply::new(400, sentence))
}

fn timing_of(request: &Request) -> ResponseTiming {
    let head = &request.head;
    if head.field("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        ResponseTiming::Expects
    } else if head.method() == "SOURCE" {
        ResponseTiming::AnswerFirst
    } else {
        ResponseTiming::Either
    }
}

fn description_of(request: &Request) -> Description {
    // The names of Icecast, of SHOUTcast and of its predecessor, as in Icecast's `source.c`.
    let field = |names: &[&str]| names.iter().find_map(|name| request.sanitized_field(name));
    let bitrate = field(&["ice-bitrate", "icy-br", "x-audiocast-bitrate"]);
    let public = field(&["ice-public", "icy-pub", "x-audiocast-public", "icy-public"]);
    Description {
        name: field(&["ice-name", "icy-name", "x-audiocast-name"]),
        description: field(&["ice-description", "icy-description", "x-audiocast-description"]),
        genre: field(&["ice-genre", "icy-genre", "x-audiocast-genre"]),
        url: field(&["ice-url", "icy-url", "x-audiocast-url"]),
        bitrate: bitrate.and_then(|rate| rate.parse().ok()),
        public: public.is_some_and(|public| public == "1"),
        audio_info: request.sanitized_field("ice-audio-info"),
        agent: request.sanitized_field("user-agent"),
        address: Some(request.client.address),
        relayed_from: None,
        via: request.via(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::request;
    use super::*;

    fn decided(line: &str) -> Decision {
        decide(&request(&format!("{line} HTTP/1.1\r\n\r\n")))
    }

    fn name(path: &str) -> Name {
        Name::new(path).unwrap()
    }

    fn listener(path: &str, burst: Option<Duration>) -> Decision {
        Decision::Listener(ListenerRequest {
            name: name(path),
            burst,
            at: None,
            clip: None,
            delivery: WantedDelivery::Body,
            is_relay: false,
        })
    }

    fn status(decision: &Decision) -> Option<u16> {
        if let Decision::Reply(reply) = decision { Some(reply.status) } else { None }
    }

    #[test]
    fn put_and_source_requests_are_sources() {
        for line in ["PUT /mic.opus", "SOURCE /stream/mic.opus"] {
            let Decision::Source(source) = decided(line) else { panic!("{line}") };
            assert_eq!(source.name, name("/mic.opus"));
            assert_eq!(source.framing, BodyFraming::Raw);
        }
        let text = "PUT /m HTTP/1.1\r\nExpect: 100-Continue\r\nIce-Name: A\r\nIce-Bitrate: 64\r\n\
                    Ice-Public: 1\r\nTransfer-Encoding: chunked\r\nUser-Agent: \r\n\r\n";
        let source = SourceRequest {
            name: name("/m"),
            framing: BodyFraming::CHUNKED,
            timing: ResponseTiming::Expects,
            description: Description {
                name: Some("A".into()),
                bitrate: Some(64),
                public: true,
                address: Some([192, 0, 2, 1].into()),
                ..Description::default()
            },
        };
        assert_eq!(decide(&request(text)), Decision::Source(Box::new(source)));
    }

    #[test]
    fn get_and_head_requests_for_mounts_are_listeners() {
        assert_eq!(decided("GET /stream/a%20b"), listener("/a b", None));
        assert_eq!(decided("GET http://x:1/stream/m"), listener("/m", None));
        assert_eq!(decided("GET /streams"), listener("/streams", None));
        for path in ["/caf%E9", "/caf%C3%A9"] {
            assert_eq!(decided(&format!("GET {path}")), listener("/café", None), "{path}");
        }
        let time = Some(Duration::from_millis(200));
        assert_eq!(decided("GET /m?x=1&burst=200ms"), listener("/m", time));
        assert_eq!(decided("GET /m?u=http://h/x"), listener("/m", None));
        assert_eq!(
            decided("GET /%252e%252e"),
            listener("/%2e%2e", None),
            "percent-decoded once, not twice"
        );
        let Decision::Listener(head) = decided("HEAD /m") else { panic!() };
        assert!(head.delivery == WantedDelivery::HeadOnly && !head.is_relay);
        let Decision::Listener(clip) = decided("GET /m?clip=30s&at=2026-05-01T04:12:30Z") else {
            panic!()
        };
        assert_eq!(clip.clip, Some(ClipSpan::Last(Duration::from_secs(30))));
        assert!(clip.at.is_some());
    }

    #[test]
    fn routed_paths_go_to_the_control_plane() {
        for (line, row) in [
            ("GET /", Some("/")),
            ("GET /stream", Some("/")),
            ("GET /stream/status-json.xsl", Some("/status-json.xsl")),
            ("POST /admin/x", Some("/admin/*")),
            ("DELETE /api/v1/mounts", Some("/api/v1/mounts")),
            ("GET /static/x", None),
        ] {
            let Decision::Control(route) = decided(line) else { panic!("{line}") };
            assert_eq!(route.map(|route| route.path), row, "{line}");
        }
    }

    #[test]
    fn options_lists_the_methods_of_the_path() {
        for (line, methods) in [
            ("OPTIONS *", MOUNT_METHODS),
            ("OPTIONS /stream/m", MOUNT_METHODS),
            ("OPTIONS /stream/api/v1/mounts", "GET, HEAD, OPTIONS"),
            ("OPTIONS /static/x", "GET, HEAD, OPTIONS"),
            ("OPTIONS /admin/stats", "GET, HEAD, OPTIONS, POST"),
        ] {
            let Decision::Reply(reply) = decided(line) else { panic!("{line}") };
            assert_eq!(
                (reply.status, &reply.fields[0]),
                (204, &("Allow", methods.into())),
                "{line}"
            );
        }
    }

    #[test]
    fn a_preflight_allows_the_fields_that_players_add() {
        let Decision::Reply(reply) = decided("OPTIONS /m") else { panic!() };
        let allowed = reply.fields.iter().find(|(name, _)| *name == "Access-Control-Allow-Headers");
        let allowed: Vec<_> = allowed.unwrap().1.split(", ").collect();
        for field in [
            "Authorization",
            "Cache-Control",
            "Content-Type",
            "Icy-MetaData",
            "If-Match",
            "Last-Event-ID",
            "Pragma",
            "Range",
            "X-Requested-With",
        ] {
            assert!(allowed.contains(&field), "{field}: {allowed:?}");
        }
        let Decision::Reply(reply) = decided("OPTIONS /admin/stats") else { panic!() };
        assert!(reply.fields.iter().all(|(name, _)| !name.starts_with("Access-Control")));
    }

    #[test]
    fn invalid_paths_and_methods_are_refused() {
        for (line, expected) in [
            ("PUT /admin/x", 403),
            ("PUT /status.xsl", 403),
            ("PUT /stream/admin/x", 403),
            ("GET /a/%2e%2e/b", 400),
            ("GET /a%2f..%2fb", 400),
            ("GET //a", 400),
            ("GET /a%00b", 400),
            ("PUT /a%0d%0ab", 400),
            ("GET /a?burst=soon", 400),
            ("GET /a?at=soon", 400),
            ("GET /a?clip=soon", 400),
            ("DELETE /a", 405),
            ("POST /a", 405),
            ("PUT /api/v1/mounts", 405),
        ] {
            assert_eq!(status(&decided(line)), Some(expected), "{line}");
        }
    }
}
