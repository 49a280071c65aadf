//! The blocks of `docs/scale.md`: `scale.rs` runs those about HLS, `scale_relays.rs` those about
//! relays.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::client::{Server, get};
use crate::daemon::{ADMIN_PASSWORD, Daemon, PASSWORD};
use crate::documents::{Block, Document};
use crate::proxies::Proxy;

/// The password with which a relay logs in.
pub(crate) const RELAY_PASSWORD: &str = "test-relay-secret";
/// The password with which a station pushes to a mirror.
pub(crate) const MIRROR_PASSWORD: &str = "test-mirror-secret";
/// A token that opens the mounts of a station.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The blocks of the page.
pub(crate) struct Guide {
    pub nginx: Block,
    pub look: Block,
    pub caddy_of_cache: Block,
    pub caddy_of_station: Block,
    pub pull: Block,
    pub station: Block,
    pub mirror: Block,
    pub peers: Block,
    pub pushing_station: Block,
    pub waiting_mirror: Block,
    pub middle: Block,
    pub icecast_relay: Block,
    pub icecast_slave: Block,
    pub from_icecast: Block,
    pub caddy_of_mirror: Block,
    pub encrypted_mirror: Block,
}

impl Guide {
    pub(crate) fn open() -> Self {
        let mut document = Document::open("docs/scale.md");
        Self {
            nginx: document.take("nginx", "proxy_cache_path"),
            look: document.take("sh", "x-cache"),
            caddy_of_cache: document.take("caddyfile", "hls.example.org"),
            caddy_of_station: document.take("caddyfile", "station.example.org"),
            pull: document.take("sh", "-c copy"),
            station: document.take("toml", "on the station"),
            mirror: document.take("toml", "on the mirror"),
            peers: document.take("sh", "/api/v1/peers"),
            pushing_station: document.take("toml", "[[forward]]"),
            waiting_mirror: document.take("toml", "[mount-defaults]"),
            middle: document.take("toml", "in the middle"),
            icecast_relay: document.take("xml", "<relay>"),
            icecast_slave: document.take("xml", "<master-server>"),
            from_icecast: document.take("toml", "ICECAST"),
            caddy_of_mirror: document.take("caddyfile", "upstream_hostport"),
            encrypted_mirror: document.take("toml", "127.0.0.1:8090"),
        }
    }
}

/// Caddy with the directives of a site of the page.
pub(crate) fn caddy(server: &impl Server, site: &Block, upstream: &str) -> Proxy {
    Proxy::caddy(server, &directives(&site.with(&[(upstream, "UPSTREAM")])))
}

/// What is between the braces of a site of a Caddyfile.
pub(crate) fn directives(site: &str) -> String {
    let inner = site.split_once("{\n").unwrap().1.trim_end();
    inner.strip_suffix('}').unwrap().to_owned()
}

/// How many requests a server has received, this one included.
pub(crate) fn requests(server: &Daemon) -> usize {
    let text = get(server, "/metrics").text();
    let count = text.lines().find_map(|line| line.strip_prefix("silvacast_requests_total "));
    count.expect("a count of requests").parse().unwrap()
}

/// The files in `/etc/silvacast`.
pub(crate) struct Secrets(TempDir);

impl Secrets {
    pub(crate) fn create() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server reads them as another user when it reloads.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        for (name, text) in [
            ("source-password", PASSWORD),
            ("admin-password", ADMIN_PASSWORD),
            ("relay-password", RELAY_PASSWORD),
            ("station-password", RELAY_PASSWORD),
            ("icecast-password", RELAY_PASSWORD),
            ("mirror-password", MIRROR_PASSWORD),
            ("tokens", &format!("listener:{TOKEN}\n")),
        ] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    /// A server with a configuration of the page, on a port of its own.
    pub(crate) fn server(&self, block: &Block, words: &[(&str, &str)]) -> Daemon {
        self.server_with(block, words, "")
    }

    /// The same, whose mounts are heard with a token: without a login, a relay is refused.
    pub(crate) fn private_server(&self, block: &Block, words: &[(&str, &str)]) -> Daemon {
        let rule = "\n[[mount]]\nname = \"/**\"\naccess = \"token\"\n\
                    tokens_file = \"/etc/silvacast/tokens\"\n";
        self.server_with(block, words, rule)
    }

    fn server_with(&self, block: &Block, words: &[(&str, &str)], more: &str) -> Daemon {
        let place = format!("{}/", self.0.path().display());
        let text = block.with(words) + more;
        Daemon::of_text(text.replace("/etc/silvacast/", &place))
    }
}
