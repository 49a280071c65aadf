//! Converts what concerns the whole server.

use super::super::kinds::quoted;
use super::super::limits::{HEAD_TIMEOUT, LISTENERS, SOURCES};
use super::Converted;
use super::xml::Element;

/// The children of `<icecast>` that are read.
const KNOWN: [&str; 19] = [
    "location",
    "admin",
    "hostname",
    "limits",
    "authentication",
    "listen-socket",
    "port",
    "bind-address",
    "mount",
    "paths",
    "security",
    "http-headers",
    "include",
    "relay",
    "master-server",
    "master-server-port",
    "master-update-interval",
    "master-username",
    "master-password",
];

impl Converted {
    /// Converts the whole file.
    pub(super) fn root(&mut self, root: Element<'_>) {
        self.listen(root);
        self.paths(root);
        for element in root.children().filter(|element| !KNOWN.contains(&element.name())) {
            self.ignore(element, "icecast");
        }
        for include in root.children().filter(|element| element.name() == "include") {
            self.problem(
                include,
                "<include> is not supported; copy the elements of the other file to this one",
            );
        }
        self.section(0, "[server]");
        for name in ["hostname", "location", "admin"] {
            if let Some(element) = root.child(name) {
                self.text(name, element);
            }
        }
        self.authentication(root);
        self.security(root);
        self.limits(root);
        self.mounts(root);
        self.relays(root);
    }

    fn listen(&mut self, root: Element<'_>) {
        let mut addresses = Vec::new();
        let mut first = None;
        let mut listen = |port: Element<'_>, address: Option<Element<'_>>| {
            let address = address.map_or_else(|| "0.0.0.0".to_owned(), Element::text);
            let host = if address.contains(':') { format!("[{address}]") } else { address };
            addresses.push(quoted(&format!("{host}:{}", port.text())));
            first.get_or_insert(port.line());
        };
        if let Some(port) = root.child("port") {
            listen(port, root.child("bind-address"));
        }
        let sockets = || root.children().filter(|element| element.name() == "listen-socket");
        for socket in sockets() {
            if let Some(port) = socket.child("port") {
                listen(port, socket.child("bind-address"));
            }
        }
        for socket in sockets() {
            if socket.child("port").is_none() {
                self.problem(socket, "<listen-socket> requires <port>");
            }
            for element in socket.children() {
                match element.name() {
                    "port" | "bind-address" => {}
                    "ssl" | "tls" if element.is_on() => self.problem(
                        element,
                        format!(
                            "<{}> is not supported: silvacast has no TLS; use a reverse proxy \
                             such as Caddy",
                            element.name()
                        ),
                    ),
                    "authentication" => self.problem(
                        element,
                        "<authentication> in a <listen-socket> is not supported; restrict the \
                         mounts, or restrict connections with <allow-ip>",
                    ),
                    _ => self.ignore(element, "listen-socket"),
                }
            }
        }
        if let Some(first) = first {
            self.line(first, &format!("listen = [{}]", addresses.join(", ")));
        }
    }

    /// Reads `allow-ip`, `deny-ip`, and the proxies that Icecast-KH trusts; an alias that puts a path
    /// in front of a mount gives the prefix.
    fn paths(&mut self, root: Element<'_>) {
        let Some(paths) = root.child("paths") else { return };
        let mut prefixes = Vec::new();
        let mut proxies: Vec<Element<'_>> = Vec::new();
        for element in paths.children() {
            match element.name() {
                "allow-ip" => self.addresses("allow", element),
                // The other two are Icecast-KH's older names.
                "deny-ip" | "ban-file" | "banfile" => self.addresses("deny", element),
                "deny-agents" => self.problem(
                    element,
                    "<deny-agents> is not supported; refuse clients by address with <deny-ip>",
                ),
                "x-forwarded-for" => proxies.push(element),
                "alias" => {
                    let from = element.attribute("source");
                    let to = element.attribute("destination").or(element.attribute("dest"));
                    match (from, to) {
                        (Some(from), Some(to))
                            if from.ends_with(to) && from.len() > to.len() && to.len() > 1 =>
                        {
                            prefixes.push((element, from[..from.len() - to.len()].to_owned()));
                        }
                        _ => self.ignore(element, "paths"),
                    }
                }
                // Icecast's own directories.
                _ => {}
            }
        }
        if let Some(first) = proxies.first() {
            let list: Vec<_> = proxies.iter().map(|element| quoted(&element.text())).collect();
            self.line(first.line(), &format!("trusted_proxies = [{}]", list.join(", ")));
        }
        let Some((element, prefix)) = prefixes.first() else { return };
        if prefixes.iter().all(|(_, other)| other == prefix) {
            self.line(element.line(), &format!("path_prefix = {}", quoted(prefix)));
        } else {
            self.problem(
                *element,
                "the aliases have different prefixes; silvacast supports one, path_prefix",
            );
        }
    }

    fn authentication(&mut self, root: Element<'_>) {
        self.section(0, "[auth]");
        let Some(authentication) = root.child("authentication") else { return };
        for element in authentication.children() {
            match element.name() {
                "source-password" => self.secret("source_password", element),
                "admin-user" => self.text("admin_user", element),
                "admin-password" => self.secret("admin_password", element),
                "relay-user" => self.text("relay_user", element),
                "relay-password" => self.secret("relay_password", element),
                "role" => self.problem(
                    element,
                    "<role> is not supported; restrict listeners with access = \"password\", \
                     \"token\" or \"closed\" in a configuration in TOML",
                ),
                _ => self.ignore(element, "authentication"),
            }
        }
    }

    fn security(&mut self, root: Element<'_>) {
        self.section(0, "[process]");
        let Some(security) = root.child("security") else { return };
        for element in security.children() {
            match element.name() {
                "chroot" if element.is_on() => self.problem(
                    element,
                    "<chroot> is not supported: the systemd unit confines silvacast \
                     (ProtectSystem=, RootDirectory=); set it to 0",
                ),
                "chroot" => {}
                "changeowner" => {
                    if let Some(user) = element.child("user") {
                        self.text("user", user);
                    }
                }
                _ => self.ignore(element, "security"),
            }
        }
    }

    fn limits(&mut self, root: Element<'_>) {
        self.section(0, "[limits]");
        for element in root.child("limits").into_iter().flat_map(Element::children) {
            match element.name() {
                "clients" => self.number(&LISTENERS, element),
                "sources" => self.number(&SOURCES, element),
                "header-timeout" => self.seconds(&HEAD_TIMEOUT, element),
                // These become defaults of the mounts.
                "source-timeout" | "burst-on-connect" => {}
                _ => self.ignore(element, "limits"),
            }
        }
    }
}
