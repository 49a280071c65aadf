//! One request as the control plane's answers need it: what the door parsed, and the URLs by which the
//! client reaches this server.

use hyper::Uri;
use hyper::header::{
    AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, USER_AGENT,
};

use super::settings::ControlSettings;
use crate::client_addr::ClientAddr;
use crate::http::{RequestHead, Target};
use crate::routes::Route;

/// A request.
pub(super) struct RequestContext<'r> {
    pub(super) head: &'r RequestHead,
    pub(super) target: &'r Target,
    /// The route of its path; `None` if the path is not the server's own.
    pub(super) route: Option<&'static Route>,
    /// The head's fields.
    pub(super) fields: HeaderMap,
    pub(super) client: ClientAddr,
}

impl<'r> RequestContext<'r> {
    /// The request that the door has parsed.
    pub(super) fn new(
        head: &'r RequestHead,
        target: &'r Target,
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

    /// Where the client reaches this server, without a slash at the end: what a trusted proxy says, else what the
    /// client itself does, else what the configuration does.
    pub(super) fn base(&self, settings: &ControlSettings, port: u16) -> String {
        let inside = self.field(HOST.as_str()).filter(|host| is_authority(host));
        let outside = self.outside(settings);
        if inside.is_some() || outside.is_some() {
            let host = inside.map_or_else(|| default_authority(settings, port), ToOwned::to_owned);
            return self.with_prefix(&outside.unwrap_or(format!("http://{host}")));
        }
        self.listen_base(settings, port)
    }

    /// The same as Icecast's status has it: the configuration's name and port, unless a trusted proxy
    /// knows better.
    pub(super) fn listen_base(&self, settings: &ControlSettings, port: u16) -> String {
        let configured = || format!("http://{}", default_authority(settings, port));
        let outside = self.outside(settings);
        self.with_prefix(&outside.unwrap_or_else(configured))
    }

    /// Scheme and host as a trusted proxy was asked for them.
    fn outside(&self, settings: &ControlSettings) -> Option<String> {
        if !self.client.behind_proxy {
            return None;
        }
        let last = |name| self.field(name).and_then(|list| list.rsplit(',').next()).map(str::trim);
        let host = last("x-forwarded-host").or_else(|| self.field(HOST.as_str()));
        let host = host.filter(|host| is_authority(host)).unwrap_or(&settings.hostname);
        let scheme = last("x-forwarded-proto").filter(|proto| *proto == "https").unwrap_or("http");
        Some(format!("{scheme}://{host}"))
    }

    fn with_prefix(&self, base: &str) -> String {
        format!("{base}{}", self.target.prefix)
    }

    /// Whether a page of another site may have sent this. Browsers say where a request comes from, but not always where
    /// the page is plain http; so one that says nothing is not believed. Other programs need not say.
    pub(super) fn is_foreign(&self) -> bool {
        if let Some(site) = self.field("sec-fetch-site") {
            return !matches!(site, "same-origin" | "none");
        }
        let outside = self.field("x-forwarded-host").filter(|_| self.client.behind_proxy);
        let host = outside.or_else(|| self.field(HOST.as_str()));
        let mut said =
            [ORIGIN, REFERER].iter().filter_map(|name| self.field(name.as_str())).peekable();
        let is_browser =
            self.field(USER_AGENT.as_str()).is_some_and(|agent| agent.starts_with("Mozilla/"));
        if said.peek().is_none() {
            return is_browser;
        }
        said.any(|said| {
            let authority = said.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
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

/// Nothing but a name or an address, and a port: it goes into URLs.
fn is_authority(host: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !host.is_empty() && host.len() <= 255 && host.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credentials, Login, Secret};

    fn settings() -> ControlSettings {
        let login = || Login { user: "u".into(), password: Secret::new("p") };
        ControlSettings {
            hostname: "station.example".into(),
            location: "Wood".into(),
            admin: "me".into(),
            request_head: 8192,
            credentials: Credentials { source: login(), admin: login() },
        }
    }

    fn request<T>(
        target: &str,
        fields: &[(&str, &str)],
        proxied: bool,
        look: impl Fn(&RequestContext<'_>) -> T,
    ) -> T {
        let mut text = format!("GET {target} HTTP/1.1\r\n");
        for (name, value) in fields {
            text.extend([name, ": ", value, "\r\n"]);
        }
        let mut text = format!("{text}\r\n").into_bytes();
        let head = RequestHead::take(&mut text).unwrap().unwrap();
        let target = Target::of(&head, "/stream").unwrap();
        let address = [192, 0, 2, 1].into();
        let client = ClientAddr { address, is_proxy: false, behind_proxy: proxied };
        look(&RequestContext::new(&head, &target, Route::of(&target.path), client))
    }

    #[test]
    fn urls_are_those_by_which_the_client_came() {
        let base = |target, fields: &[_], proxied| {
            request(target, fields, proxied, |v| v.base(&settings(), 8080))
        };
        let listen = |target, fields: &[_], proxied| {
            request(target, fields, proxied, |v| v.listen_base(&settings(), 8080))
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
            "anybody can say that"
        );
        assert_eq!(listen("/m", &[("host", "pi.local")], false), "http://station.example:8080");
        assert_eq!(listen("/stream/m", &forwarded, true), "https://birds.example/stream");
    }

    #[test]
    fn a_page_of_another_site_is_found_out() {
        #[allow(
            clippy::redundant_closure_for_method_calls,
            reason = "the method alone has too narrow a lifetime"
        )]
        let foreign = |fields: &[_]| request("/admin/x", fields, false, |v| v.is_foreign());
        let host = ("host", "pi.local:8080");
        assert!(!foreign(&[host, ("user-agent", "curl/8.5.0")]));
        assert!(!foreign(&[host]));
        let firefox = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0");
        assert!(foreign(&[host, firefox]), "an image on another site, over plain http");
        assert!(!foreign(&[host, firefox, ("referer", "http://pi.local:8080/")]));
        assert!(!foreign(&[host, ("origin", "http://pi.local:8080")]));
        assert!(!foreign(&[host, ("referer", "http://pi.local:8080/admin/")]));
        assert!(!foreign(&[host, ("sec-fetch-site", "none")]), "typed into the address bar");
        assert!(foreign(&[host, ("origin", "http://evil.example")]));
        assert!(foreign(&[host, ("origin", "null")]));
        assert!(foreign(&[host, ("referer", "http://pi.local:8080.evil.example/")]));
        assert!(foreign(&[
            host,
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://pi.local:8080")
        ]));
        assert!(foreign(&[host, ("sec-fetch-site", "same-site")]));
    }
}
