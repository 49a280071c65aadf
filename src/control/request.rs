//! The request as endpoints see it: what the door parsed, and the URL by which the client reaches
//! this server.

use hyper::Uri;
use hyper::header::{
    AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, USER_AGENT,
};

use super::settings::ControlSettings;
use crate::client_addr::ClientAddr;
use crate::http::{RequestHead, RequestTarget};
use crate::routes::Route;

/// A request to the control plane.
pub(super) struct RequestContext<'r> {
    pub(super) head: &'r RequestHead,
    pub(super) target: &'r RequestTarget,
    /// The route of the path; `None` if the path is not in the route table.
    pub(super) route: Option<&'static Route>,
    /// The header fields, in hyper's type.
    pub(super) fields: HeaderMap,
    pub(super) client: ClientAddr,
}

impl<'r> RequestContext<'r> {
    /// Makes a request of what the door has parsed.
    pub(super) fn new(
        head: &'r RequestHead,
        target: &'r RequestTarget,
        route: Option<&'static Route>,
        client: ClientAddr,
    ) -> Self {
        let field = |(name, value): (&[u8], &[u8])| {
            Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
        };
        let mut fields = HeaderMap::new();
        for (name, value) in head.fields().filter_map(field) {
            fields.append(name, value);
        }
        Self { head, target, route, fields, client }
    }

    /// The `Authorization` field.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.field(AUTHORIZATION.as_str())
    }

    /// The URL by which the client reaches this server, without a trailing slash. Taken from the
    /// fields of a trusted proxy, else from `Host`, else from the configuration.
    pub(super) fn base_url(&self, settings: &ControlSettings, port: u16) -> String {
        let host = self.field(HOST.as_str()).filter(|host| is_authority(host));
        let forwarded = self.forwarded_origin(settings);
        if host.is_some() || forwarded.is_some() {
            let host = host.map_or_else(|| default_authority(settings, port), ToOwned::to_owned);
            return self.with_prefix(&forwarded.unwrap_or(format!("http://{host}")));
        }
        self.listen_base_url(settings, port)
    }

    /// The base of `listenurl` in Icecast's documents, without a trailing slash: taken from the
    /// fields of a trusted proxy, else from the configuration. As in Icecast, `Host` is not used.
    pub(super) fn listen_base_url(&self, settings: &ControlSettings, port: u16) -> String {
        let configured = || format!("http://{}", default_authority(settings, port));
        let forwarded = self.forwarded_origin(settings);
        self.with_prefix(&forwarded.unwrap_or_else(configured))
    }

    /// Scheme and host that the client sent to a trusted proxy; `None` without a trusted proxy.
    fn forwarded_origin(&self, settings: &ControlSettings) -> Option<String> {
        if !self.client.behind_proxy {
            return None;
        }
        let last = |name| self.field(name).and_then(|list| list.rsplit(',').next()).map(str::trim);
        let host = last("x-forwarded-host").or_else(|| self.field(HOST.as_str()));
        let host = host.filter(|host| is_authority(host)).unwrap_or(&settings.hostname);
        let scheme = last("x-forwarded-proto").filter(|proto| *proto == "https").unwrap_or("http");
        Some(format!("{scheme}://{host}"))
    }

    fn with_prefix(&self, origin: &str) -> String {
        format!("{origin}{}", self.target.prefix)
    }

    /// Whether a page of another site may have sent this request (CSRF).
    ///
    /// Browsers do not send `Sec-Fetch-Site` over plain http, and may omit `Origin` and `Referer`.
    /// A request from a browser without any of these fields counts as cross-site; a request from
    /// another program does not.
    pub(super) fn is_cross_site(&self) -> bool {
        if let Some(site) = self.field("sec-fetch-site") {
            return !matches!(site, "same-origin" | "none");
        }
        let forwarded = self.field("x-forwarded-host").filter(|_| self.client.behind_proxy);
        let host = forwarded.or_else(|| self.field(HOST.as_str()));
        let mut origins =
            [ORIGIN, REFERER].iter().filter_map(|name| self.field(name.as_str())).peekable();
        let is_browser =
            self.field(USER_AGENT.as_str()).is_some_and(|agent| agent.starts_with("Mozilla/"));
        if origins.peek().is_none() {
            return is_browser;
        }
        origins.any(|origin| {
            let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
            authority.is_none_or(|authority| Some(authority.as_str()) != host)
        })
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }
}

fn default_authority(settings: &ControlSettings, port: u16) -> String {
    if port == 80 { settings.hostname.clone() } else { format!("{}:{port}", settings.hostname) }
}

/// Whether `host` is a host name or an address, with or without a port, that is safe to put into a
/// URL.
fn is_authority(host: &str) -> bool {
    let is_allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !host.is_empty() && host.len() <= 255 && host.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credentials, Login, Secret};

    fn settings() -> ControlSettings {
        let login = || Login { user: "u".into(), password: Secret::new("p") };
        ControlSettings {
            name: None,
            allow_origin: "*".into(),
            hostname: "station.example".into(),
            location: "Wood".into(),
            admin: "me".into(),
            request_head: 8192,
            credentials: Credentials { source: login(), admin: login() },
        }
    }

    /// Calls `inspect` with a request for `target` that has these header fields.
    fn request<T>(
        target: &str,
        fields: &[(&str, &str)],
        proxied: bool,
        inspect: impl Fn(&RequestContext<'_>) -> T,
    ) -> T {
        let mut text = format!("GET {target} HTTP/1.1\r\n");
        for (name, value) in fields {
            text.extend([name, ": ", value, "\r\n"]);
        }
        let mut text = format!("{text}\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        let target = RequestTarget::of(&head, "/stream").unwrap();
        let address = [192, 0, 2, 1].into();
        let client = ClientAddr { address, is_proxy: false, behind_proxy: proxied };
        inspect(&RequestContext::new(&head, &target, Route::of(&target.path), client))
    }

    #[test]
    fn base_urls_are_those_that_the_client_uses() {
        let base = |target, fields: &[_], proxied| {
            request(target, fields, proxied, |request| request.base_url(&settings(), 8080))
        };
        let listen = |target, fields: &[_], proxied| {
            request(target, fields, proxied, |request| request.listen_base_url(&settings(), 8080))
        };
        let forwarded = [
            ("host", "icecast:8080"),
            ("x-forwarded-host", "birds.example"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(base("/m.m3u", &[("host", "pi.local:8080")], false), "http://pi.local:8080");
        assert_eq!(base("/m.m3u", &[], false), "http://station.example:8080");
        assert_eq!(
            base("/m.m3u", &[("host", "x\"><script>")], false),
            "http://station.example:8080"
        );
        assert_eq!(base("/stream/m.m3u", &forwarded, true), "https://birds.example/stream");
        assert_eq!(
            base("/m.m3u", &forwarded, false),
            "http://icecast:8080",
            "forwarding fields of an untrusted client"
        );
        assert_eq!(listen("/m", &[("host", "pi.local")], false), "http://station.example:8080");
        assert_eq!(listen("/stream/m", &forwarded, true), "https://birds.example/stream");
    }

    #[test]
    fn cross_site_requests_are_detected() {
        #[allow(
            clippy::redundant_closure_for_method_calls,
            reason = "the method alone has too narrow a lifetime"
        )]
        let is_cross_site =
            |fields: &[_]| request("/admin/x", fields, false, |request| request.is_cross_site());
        let host = ("host", "pi.local:8080");
        assert!(!is_cross_site(&[host, ("user-agent", "curl/8.5.0")]));
        assert!(!is_cross_site(&[host]));
        let firefox = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0");
        assert!(is_cross_site(&[host, firefox]), "an image on another site, over plain http");
        assert!(!is_cross_site(&[host, firefox, ("referer", "http://pi.local:8080/")]));
        assert!(!is_cross_site(&[host, ("origin", "http://pi.local:8080")]));
        assert!(!is_cross_site(&[host, ("referer", "http://pi.local:8080/admin/")]));
        assert!(!is_cross_site(&[host, ("sec-fetch-site", "none")]), "typed into the address bar");
        assert!(is_cross_site(&[host, ("origin", "http://evil.example")]));
        assert!(is_cross_site(&[host, ("origin", "null")]));
        assert!(is_cross_site(&[host, ("referer", "http://pi.local:8080.evil.example/")]));
        assert!(is_cross_site(&[
            host,
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://pi.local:8080")
        ]));
        assert!(is_cross_site(&[host, ("sec-fetch-site", "same-site")]));
    }
}
