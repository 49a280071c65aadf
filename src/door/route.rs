//! What a request is for, from its first line alone.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::Duration;

use super::head::Head;
use crate::http::{Reply, allowed, parameter, path_and_query};
use crate::mount::{Name, NameError};
use crate::units;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// An encoder wants to send.
    Source(Name),
    /// Somebody wants to hear, or to know whether there is anything.
    Listener {
        /// The mount asked for.
        name: Name,
        /// `?burst=`, if given.
        burst: Option<Duration>,
        /// All that stands after the question mark.
        query: String,
        /// `HEAD`: the answer's head is enough.
        probe: bool,
    },
    /// `OPTIONS`: the methods that there are here.
    Options(&'static str),
    /// Everything else.
    Control,
}

/// Decides where a request goes.
///
/// # Errors
/// The reply to give where it can go nowhere.
pub fn of(head: &Head<'_, '_>, prefix: &str) -> Result<Route, Reply> {
    if head.method == "OPTIONS" {
        let path = path_and_query(head.target, prefix).map(|(path, _)| path).unwrap_or_default();
        let own = Name::new(&path) == Err(NameError::Reserved);
        return Ok(Route::Options(if own { allowed(&path) } else { ALLOW }));
    }
    let (path, query) = path_and_query(head.target, prefix)?;
    let name = match (Name::new(&path), head.method) {
        (Ok(name), _) => name,
        // No encoder gets here, and whoever reads the interface's description expects this.
        (Err(NameError::Reserved), method @ ("PUT" | "SOURCE")) if path.starts_with("/api/") => {
            let sentence = format!("{method} is not understood here.");
            return Err(Reply::new(405, sentence).with("Allow", allowed(&path)));
        }
        (Err(error @ NameError::Reserved), "PUT" | "SOURCE") => {
            return Err(Reply::new(403, sentence(error)));
        }
        (Err(NameError::Reserved), _) => return Ok(Route::Control),
        (Err(error), _) => return Err(Reply::new(400, sentence(error))),
    };
    match head.method {
        "PUT" | "SOURCE" => Ok(Route::Source(name)),
        "GET" | "HEAD" => {
            let (burst, query) = (burst(query)?, query.to_owned());
            Ok(Route::Listener { name, burst, query, probe: head.method == "HEAD" })
        }
        "POST" => Ok(Route::Control),
        _ => {
            let sentence = "This method is not for mounts; use GET, HEAD, PUT or SOURCE.";
            Err(Reply::new(405, sentence).with("Allow", ALLOW))
        }
    }
}

/// What may be asked of a mount.
const ALLOW: &str = "GET, HEAD, OPTIONS, PUT, SOURCE";

fn burst(query: &str) -> Result<Option<Duration>, Reply> {
    let Some(value) = parameter(query, "burst") else {
        return Ok(None);
    };
    let time = units::duration(value);
    time.map(Some).ok_or_else(|| Reply::new(400, "burst takes a duration such as 200ms or 2s."))
}

fn sentence(error: NameError) -> String {
    format!("Refused: {error}.")
}

#[cfg(test)]
mod tests {
    use super::super::head::MAX_FIELDS;
    use super::*;

    fn route(line: &str) -> Result<Route, u16> {
        let text = format!("{line} HTTP/1.1\r\n\r\n");
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let head = Head::read(text.as_bytes(), &mut fields).unwrap().unwrap();
        of(&head, "/stream").map_err(|reply| reply.status)
    }

    fn name(path: &str) -> Name {
        Name::new(path).unwrap()
    }

    #[test]
    fn requests_find_their_way_with_the_prefix_and_without() {
        let asked = |path, burst, query: &str| {
            Ok(Route::Listener { name: name(path), burst, query: query.into(), probe: false })
        };
        let heard = |path, burst| asked(path, burst, "");
        assert_eq!(route("PUT /mic.opus"), Ok(Route::Source(name("/mic.opus"))));
        assert_eq!(route("SOURCE /stream/mic.opus"), Ok(Route::Source(name("/mic.opus"))));
        assert_eq!(route("GET /stream/a%20b"), heard("/a b", None));
        assert_eq!(route("GET http://x:1/stream/m"), heard("/m", None));
        assert_eq!(route("GET /streams"), heard("/streams", None));
        let time = Some(Duration::from_millis(200));
        assert_eq!(route("GET /m?x=1&burst=200ms"), asked("/m", time, "x=1&burst=200ms"));
        assert_eq!(route("OPTIONS *"), Ok(Route::Options(ALLOW)));
        assert_eq!(route("OPTIONS /stream/m"), Ok(Route::Options(ALLOW)));
        let own = [route("OPTIONS /stream/api/v1/mounts"), route("OPTIONS /admin/stats")];
        assert_eq!(
            own,
            ["GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS, POST"].map(|all| Ok(Route::Options(all)))
        );
        assert_eq!(route("GET /m?u=http://h/x"), asked("/m", None, "u=http://h/x"));
        for control in ["GET /", "GET /stream", "GET /stream/status-json.xsl", "POST /admin/x"] {
            assert_eq!(route(control), Ok(Route::Control), "{control}");
        }
    }

    #[test]
    fn what_climbs_doubles_up_or_belongs_to_the_server_is_refused() {
        for (line, status) in [
            ("PUT /admin/x", 403),
            ("PUT /status.xsl", 403),
            ("PUT /stream/admin/x", 403),
            ("GET /a/%2e%2e/b", 400),
            ("GET /a%2f..%2fb", 400),
            ("GET //a", 400),
            ("GET /a%00b", 400),
            ("PUT /a%0d%0ab", 400),
            ("GET /%ff", 400),
            ("GET /a?burst=soon", 400),
            ("DELETE /a", 405),
            ("PUT /api/v1/mounts", 405),
        ] {
            assert_eq!(route(line), Err(status), "{line}");
        }
        let query = String::new();
        let once = Route::Listener { name: name("/%2e%2e"), burst: None, query, probe: false };
        assert_eq!(route("GET /%252e%252e"), Ok(once), "decoded once, not twice");
    }
}
