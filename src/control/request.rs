//! The request as endpoints see it: what the door parsed, and the URL by which the client reaches
//! this server.

use hyper::Uri;
use hyper::header::{
    ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, USER_AGENT,
};
use hyper::http::uri::Authority;

use super::settings::{ControlSettings, DEFAULT_HOSTNAME};
use crate::client_addr::ClientAddr;
use crate::http::{Reply, RequestHead, RequestTarget, elements, forwarded_parameter};

/// The fields on which URLs of this server depend.
pub(super) const URL_FIELDS: &str =
    "Host, Forwarded, X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Prefix";

/// A request to the control plane.
pub(super) struct RequestContext<'r> {
    pub(super) head: &'r RequestHead,
    pub(super) target: &'r RequestTarget,
    /// The header fields, in hyper's type.
    pub(super) fields: HeaderMap,
    pub(super) client: ClientAddr,
}

impl<'r> RequestContext<'r> {
    /// Makes a request of what the door has parsed.
    pub(super) fn new(
        head: &'r RequestHead,
        target: &'r RequestTarget,
        client: ClientAddr,
    ) -> Self {
        let field = |(name, value): (&[u8], &[u8])| {
            Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
        };
        let mut fields = HeaderMap::new();
        for (name, value) in head.fields().filter_map(field) {
            fields.append(name, value);
        }
        Self { head, target, fields, client }
    }

    /// The `Authorization` field.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.field(AUTHORIZATION.as_str())
    }

    /// The URL by which the client reaches this server, without a trailing slash. Its host comes
    /// from the fields of a trusted proxy, else from `Host`, else from the configuration.
    pub(super) fn base_url(&self, settings: &ControlSettings, port: u16) -> String {
        self.url(settings, port, self.field(HOST.as_str()))
    }

    /// The base of `listenurl` in Icecast's documents, without a trailing slash. As in Icecast, a
    /// configured `hostname` takes precedence over `Host`.
    pub(super) fn listen_base_url(&self, settings: &ControlSettings, port: u16) -> String {
        let is_configured = settings.hostname != DEFAULT_HOSTNAME;
        self.url(settings, port, self.field(HOST.as_str()).filter(|_| !is_configured))
    }

    /// The URL of this server with this host, unless a trusted proxy names another one.
    fn url(&self, settings: &ControlSettings, port: u16, host: Option<&str>) -> String {
        let host = self.forwarded("x-forwarded-host", "host").into_iter().chain(host);
        let host = host.filter(|host| is_authority(host)).map(ToOwned::to_owned).next();
        let host = host.unwrap_or_else(|| match port {
            80 => settings.hostname.clone(),
            // The proxy has another port, which is unknown.
            _ if self.client.behind_proxy() => settings.hostname.clone(),
            _ => format!("{}:{port}", settings.hostname),
        });
        let proto = self.forwarded("x-forwarded-proto", "proto").unwrap_or_default();
        let scheme = if proto.eq_ignore_ascii_case("https") { "https" } else { "http" };
        format!("{scheme}://{host}{}{}", self.outer_prefix(), self.target.prefix)
    }

    /// The prefix that a trusted proxy has removed from the path. Empty if it removed none.
    pub(super) fn outer_prefix(&self) -> &str {
        let prefix =
            self.of_client_hop("x-forwarded-prefix").map(|text| text.trim_end_matches('/'));
        let prefix = prefix.filter(|prefix| is_prefix(prefix)).unwrap_or_default();
        prefix.strip_suffix(&*self.target.prefix).unwrap_or(prefix)
    }

    /// The value of the field `name`, else of this parameter of `Forwarded`, from the trusted proxy
    /// that the client connected to. `None` without a trusted proxy.
    fn forwarded(&self, name: &str, parameter: &str) -> Option<&'r str> {
        let element = || self.of_client_hop("forwarded");
        self.of_client_hop(name).or_else(|| forwarded_parameter(element()?, parameter))
    }

    /// The element of the field `name` from the trusted proxy that the client connected to. Many
    /// proxies replace the field instead of appending to it; then its only element counts.
    fn of_client_hop(&self, name: &str) -> Option<&'r str> {
        let element = elements(self.head, name).take(self.client.proxies).last();
        element.filter(|element| !element.is_empty())
    }

    /// Whether it is from a browser that shows the response as a page.
    pub(super) fn is_navigation(&self) -> bool {
        let types = elements(self.head, ACCEPT.as_str());
        self.head.method() != "POST" && types.into_iter().any(|it| it.starts_with("text/html"))
    }

    /// Whether a page of another site may have sent this request (CSRF).
    ///
    /// Browsers do not send `Sec-Fetch-Site` over plain http, and may omit `Origin` and `Referer`.
    /// A request from a browser without any of these fields counts as cross-site; a request from
    /// another program does not.
    fn is_cross_site(&self) -> bool {
        if let Some(site) = self.field("sec-fetch-site") {
            return !matches!(site, "same-origin" | "none");
        }
        let forwarded = self.forwarded("x-forwarded-host", "host");
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

    /// Checks that no page of another site may have sent this request (CSRF).
    ///
    /// # Errors
    /// The reply to send, with status 403.
    pub(super) fn check_site(&self) -> Result<(), Reply> {
        if self.is_cross_site() {
            let sentence = "Refused: a page of another site may have sent this command; \
                            send it with a tool such as curl.";
            return Err(Reply::new(403, sentence));
        }
        Ok(())
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Whether `host` is a host name or an address, with or without a port, that is safe to put into a
/// URL.
fn is_authority(host: &str) -> bool {
    let is_allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let is_complete = |authority: &Authority| {
        let has_port = authority.as_str().len() > authority.host().len();
        !authority.host().is_empty() && (!has_port || authority.port_u16().is_some())
    };
    host.len() <= 255
        && host.chars().all(is_allowed)
        && host.parse().is_ok_and(|authority| is_complete(&authority))
}

/// Whether `prefix` is a path, without a slash at its end, that is safe to put into a URL.
fn is_prefix(prefix: &str) -> bool {
    let is_allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '%');
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(is_allowed);
    let segments = prefix.strip_prefix('/').filter(|rest| rest.len() < 255);
    segments.is_some_and(|rest| rest.split('/').all(is_segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn settings() -> ControlSettings {
        let text = "[server]\nhostname = \"station.example\"\n\
                    [auth]\nsource_password = \"p\"\nadmin_password = \"p\"";
        Config::parse(text, &Environment::default()).unwrap().control
    }

    /// Calls `inspect` with a request for `target` that has these header fields, and came through
    /// this many trusted proxies.
    fn request<T>(
        target: &str,
        fields: &[(&str, &str)],
        proxies: usize,
        inspect: impl Fn(&RequestContext<'_>) -> T,
    ) -> T {
        let mut text = format!("GET {target} HTTP/1.1\r\n");
        for (name, value) in fields {
            text.extend([name, ": ", value, "\r\n"]);
        }
        let mut text = format!("{text}\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        let target = RequestTarget::of(&head, "/stream");
        let address = [192, 0, 2, 1].into();
        let client = ClientAddr { address, is_proxy: false, proxies };
        inspect(&RequestContext::new(&head, &target, client))
    }

    #[test]
    fn base_urls_are_those_that_the_client_uses() {
        let base = |target, fields: &[_], proxies| {
            request(target, fields, proxies, |request| request.base_url(&settings(), 8080))
        };
        let listen = |target, fields: &[_], proxies| {
            request(target, fields, proxies, |request| request.listen_base_url(&settings(), 8080))
        };
        let forwarded = [
            ("host", "icecast:8080"),
            ("x-forwarded-host", "birds.example"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(base("/m.m3u", &[("host", "pi.local:8080")], 0), "http://pi.local:8080");
        assert_eq!(base("/m.m3u", &[], 0), "http://station.example:8080");
        for invalid in ["x\"><script>", "", ":80", "a:b", "a:70000", "a b", "[::1", "u@h", "a/b"] {
            let url = base("/m.m3u", &[("host", invalid)], 0);
            assert_eq!(url, "http://station.example:8080", "{invalid}");
        }
        assert_eq!(base("/m.m3u", &[("host", "[::1]:8080")], 0), "http://[::1]:8080");
        assert_eq!(base("/stream/m.m3u", &forwarded, 1), "https://birds.example/stream");
        assert_eq!(
            base("/m.m3u", &forwarded, 0),
            "http://icecast:8080",
            "forwarding fields of an untrusted client"
        );
        assert_eq!(listen("/m", &[("host", "pi.local")], 0), "http://station.example:8080");
        assert_eq!(listen("/stream/m", &forwarded, 1), "https://birds.example/stream");
        let host_only = [("host", "127.0.0.1:8080"), ("x-forwarded-proto", "HTTPS")];
        assert_eq!(listen("/m", &host_only, 1), "https://station.example");
    }

    #[test]
    fn the_default_hostname_gives_way_to_the_host_of_the_request() {
        let settings = ControlSettings { hostname: DEFAULT_HOSTNAME.into(), ..settings() };
        let listen = |fields: &[_], proxies| {
            request("/m", fields, proxies, |request| request.listen_base_url(&settings, 8080))
        };
        assert_eq!(listen(&[("host", "pi.local")], 0), "http://pi.local");
        assert_eq!(listen(&[("host", "birds.example:81")], 1), "http://birds.example:81");
        assert_eq!(listen(&[], 0), "http://localhost:8080");
        assert_eq!(listen(&[], 1), "http://localhost");
    }

    #[test]
    fn forwarding_fields_count_from_the_proxy_that_the_client_connected_to() {
        let url = |fields: &[_], proxies| {
            request("/stream/m", fields, proxies, |request| request.base_url(&settings(), 8080))
        };
        let forwarded =
            "for=6.6.6.6;host=evil.example, for=a;host=\"a.example:1\";proto=https, for=b;host=b";
        let x_forwarded =
            [("x-forwarded-host", "evil.example, a, b"), ("x-forwarded-proto", "http")];
        for (proxies, fields, expected) in [
            (1, &[("forwarded", forwarded)][..], "http://b/stream"),
            (2, &[("forwarded", forwarded)], "https://a.example:1/stream"),
            (1, &x_forwarded, "http://b/stream"),
            (2, &x_forwarded, "http://a/stream"),
            (
                2,
                &[("x-forwarded-host", "a"), ("forwarded", "host=b;proto=https")],
                "https://a/stream",
            ),
        ] {
            assert_eq!(url(fields, proxies), expected, "{proxies} {fields:?}");
        }
    }

    #[test]
    fn a_prefix_that_the_proxy_removed_is_put_back() {
        let url = |target, prefix, proxies| {
            let fields = [("host", "h"), ("x-forwarded-prefix", prefix)];
            request(target, &fields, proxies, |request| request.base_url(&settings(), 8080))
        };
        for (target, prefix, expected) in [
            ("/m", "/stream", "http://h/stream"),
            ("/m", "/a/b%20c/", "http://h/a/b%20c"),
            ("/stream/m", "/stream", "http://h/stream"),
            ("/stream/m", "/a", "http://h/a/stream"),
            ("/stream/m", "/a/stream", "http://h/a/stream"),
            ("/m", "/", "http://h"),
            ("/m", "a", "http://h"),
            ("/m", "//evil.example", "http://h"),
            ("/m", "/a/../b", "http://h"),
            ("/m", "/<script>", "http://h"),
        ] {
            assert_eq!(url(target, prefix, 1), expected, "{target} {prefix}");
        }
        assert_eq!(url("/m", "/evil", 0), "http://h", "of an untrusted client");
    }

    #[test]
    fn cross_site_requests_are_detected() {
        #[allow(
            clippy::redundant_closure_for_method_calls,
            reason = "the method alone has too narrow a lifetime"
        )]
        let is_cross_site =
            |fields: &[_]| request("/admin/x", fields, 0, |request| request.is_cross_site());
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
