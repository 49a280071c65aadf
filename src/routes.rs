//! The route table: path, methods, required login and endpoint of each resource that is not a
//! mount.
//!
//! The door uses the table to reply to `OPTIONS` and to refuse methods, the control plane to
//! dispatch requests. A unit test compares it with `openapi.json`. A path that is not listed may
//! name a mount.

/// The handler of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The listening page.
    ListeningPage,
    /// The player for an `<iframe>` in another site.
    EmbeddedPlayer,
    /// A script, style sheet or image of these two pages.
    PageFile,
    /// What crawlers may request.
    Robots,
    /// The path of Icecast's HTML status page. Redirects to the listening page.
    StatusPage,
    /// Status in the format of Icecast's `status-json.xsl`.
    StatusJson,
    /// Liveness check.
    Health,
    /// Metrics in the `OpenMetrics` text format.
    Metrics,
    /// The `OpenAPI` document.
    OpenApi,
    /// The server itself, as JSON.
    Server,
    /// All mounts, as JSON.
    Mounts,
    /// Whether a mount is wanted, as JSON.
    Demand,
    /// How the granule positions of a mount relate to UTC, as JSON.
    Clock,
    /// A link that opens a mount for a limited time, as JSON.
    Link,
    /// The links that are known, as JSON.
    Links,
    /// Who is kept away for a while, as JSON.
    Blocks,
    /// The newest lines of the log, as JSON.
    Journal,
    /// The configuration in force, and the state of its file, as JSON.
    Configuration,
    /// The detections of a mount, as JSON, and new ones.
    Detections,
    /// One mount, as JSON. The mount's name follows in the path.
    Mount,
    /// All listeners, as JSON.
    Listeners,
    /// The other servers, as JSON.
    Peers,
    /// Server-sent events.
    Events,
    /// Any other path below `/api/`.
    UnknownApi,
    /// An Icecast administration command.
    Admin(AdminCommand),
}

/// Administration commands of Icecast 2.4 (`admin.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminCommand {
    /// `stats`, which is also the default without a command name.
    Stats,
    /// `listmounts`.
    ListMounts,
    /// `streamlist`: the names of all mounts, for servers that relay them.
    StreamList,
    /// `listclients`.
    ListClients,
    /// `killclient`.
    KillClient,
    /// `killsource`.
    KillSource,
    /// `metadata`.
    Metadata,
    /// `reloadconfig`.
    ReloadConfig,
    /// `unblock`, which Icecast does not have: lets a client listen again.
    Unblock,
    /// `revokelink`, which Icecast does not have: a link opens its mount no more.
    RevokeLink,
    /// A command that Icecast has and silvacast does not support.
    Unsupported(&'static str),
    /// A command that Icecast does not have.
    Unknown,
}

/// The login that a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// No login.
    Anyone,
    /// The administrator's login.
    Administrator,
    /// The administrator's login, or the source login of the mount that the request names.
    AdministratorOrSource,
    /// The administrator's login, or that of servers that relay mounts.
    AdministratorOrRelay,
}

/// The methods that a route accepts, in addition to `OPTIONS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Methods {
    /// `GET` and `HEAD`.
    Read,
    /// `GET`, `HEAD` and `POST`, for routes that may change state.
    Command,
    /// The same, but `POST` has a body, and requires a login that the endpoint checks.
    Submit,
}

/// One row of the route table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The path without the prefix. A `*` matches any text.
    pub(crate) path: &'static str,
    /// The accepted methods.
    pub(crate) methods: Methods,
    /// The required login.
    pub(crate) caller: Caller,
    /// The handler.
    pub(crate) endpoint: Endpoint,
}

/// All routes. The first row that matches a path applies.
pub(crate) const ROUTES: [Route; 42] = [
    read("/", Endpoint::ListeningPage),
    read("/embed", Endpoint::EmbeddedPlayer),
    read("/web/*", Endpoint::PageFile),
    // Browsers request this for documents that do not name an icon, such as a stream.
    read("/favicon.ico", Endpoint::PageFile),
    // It may only serve what is below its own path.
    read("/service-worker.js", Endpoint::PageFile),
    read("/robots.txt", Endpoint::Robots),
    read("/status.xsl", Endpoint::StatusPage),
    read("/status-json.xsl", Endpoint::StatusJson),
    read("/healthz", Endpoint::Health),
    read("/metrics", Endpoint::Metrics),
    read("/api/v1/openapi.json", Endpoint::OpenApi),
    administrator("/api/v1/server", Methods::Read, Endpoint::Server),
    read("/api/v1/mounts", Endpoint::Mounts),
    read("/api/v1/mounts/*/demand", Endpoint::Demand),
    read("/api/v1/mounts/*/clock", Endpoint::Clock),
    administrator("/api/v1/mounts/*/link", Methods::Read, Endpoint::Link),
    Route { methods: Methods::Submit, ..read("/api/v1/mounts/*/detections", Endpoint::Detections) },
    read("/api/v1/mounts/*", Endpoint::Mount),
    administrator("/api/v1/listeners", Methods::Read, Endpoint::Listeners),
    administrator("/api/v1/peers", Methods::Read, Endpoint::Peers),
    administrator("/api/v1/links", Methods::Read, Endpoint::Links),
    administrator("/api/v1/blocks", Methods::Read, Endpoint::Blocks),
    administrator("/api/v1/journal", Methods::Read, Endpoint::Journal),
    administrator("/api/v1/configuration", Methods::Read, Endpoint::Configuration),
    read("/api/v1/events", Endpoint::Events),
    read("/api/*", Endpoint::UnknownApi),
    admin(OPERATOR_PAGE, AdminCommand::Stats),
    admin("/admin/stats", AdminCommand::Stats),
    admin("/admin/listmounts", AdminCommand::ListMounts),
    Route {
        caller: Caller::AdministratorOrRelay,
        ..admin("/admin/streamlist", AdminCommand::StreamList)
    },
    of_mount("/admin/listclients", AdminCommand::ListClients),
    of_mount("/admin/killclient", AdminCommand::KillClient),
    of_mount("/admin/killsource", AdminCommand::KillSource),
    of_mount("/admin/metadata", AdminCommand::Metadata),
    admin("/admin/reloadconfig", AdminCommand::ReloadConfig),
    admin("/admin/unblock", AdminCommand::Unblock),
    admin("/admin/revokelink", AdminCommand::RevokeLink),
    admin("/admin/moveclients", AdminCommand::Unsupported("moveclients")),
    admin("/admin/fallbacks", AdminCommand::Unsupported("fallbacks")),
    admin("/admin/updatemetadata", AdminCommand::Unsupported("updatemetadata")),
    admin("/admin/manageauth", AdminCommand::Unsupported("manageauth")),
    admin("/admin/*", AdminCommand::Unknown),
];

/// The path at which a browser gets the operator's page, and a program `stats`.
pub(crate) const OPERATOR_PAGE: &str = "/admin";

/// Value of `Allow` for mounts (RFC 9110, section 10.2.1).
pub(crate) const MOUNT_METHODS: &str = "GET, HEAD, OPTIONS, PUT, SOURCE";

const fn read(path: &'static str, endpoint: Endpoint) -> Route {
    Route { path, methods: Methods::Read, caller: Caller::Anyone, endpoint }
}

const fn administrator(path: &'static str, methods: Methods, endpoint: Endpoint) -> Route {
    Route { path, methods, caller: Caller::Administrator, endpoint }
}

const fn admin(path: &'static str, command: AdminCommand) -> Route {
    administrator(path, Methods::Command, Endpoint::Admin(command))
}

/// A command for one mount. As in Icecast, the mount's source may give it as well.
const fn of_mount(path: &'static str, command: AdminCommand) -> Route {
    Route { caller: Caller::AdministratorOrSource, ..admin(path, command) }
}

impl Route {
    /// Finds the route of a decoded path without the prefix. `None` if the path is not in the
    /// table.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        // Icecast serves these with the suffix `.xsl`, and the list of streams with `.txt`; some
        // programs request `.xml`.
        let path = match path.strip_prefix("/admin/").map(|rest| rest.trim_matches('/')) {
            Some("") => "/admin".to_owned(),
            Some(rest) => {
                let suffixes = [".xsl", ".xml", ".txt"];
                let command = suffixes.iter().find_map(|suffix| rest.strip_suffix(suffix));
                format!("/admin/{}", command.unwrap_or(rest))
            }
            None => path.to_owned(),
        };
        ROUTES.iter().find(|route| route.matches(&path))
    }

    fn matches(&self, path: &str) -> bool {
        match self.path.split_once('*') {
            Some((before, after)) => {
                let rest = path.strip_prefix(before);
                rest.is_some_and(|rest| {
                    after.is_empty() || rest.len() > after.len() && rest.ends_with(after)
                })
            }
            None => path == self.path,
        }
    }
}

impl Methods {
    /// Whether `method` is accepted. `OPTIONS`, which the door answers, is not.
    pub(crate) fn include(self, method: &str) -> bool {
        matches!(method, "GET" | "HEAD") || method == "POST" && self != Self::Read
    }

    /// Value of the `Allow` header field (RFC 9110, section 10.2.1).
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD, OPTIONS",
            Self::Command | Self::Submit => "GET, HEAD, OPTIONS, POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_the_expected_rows() {
        for (path, row) in [
            ("/", Some("/")),
            ("/web/00000000/page.js", Some("/web/*")),
            ("/api/v1/mounts", Some("/api/v1/mounts")),
            ("/api/v1/mounts/a/b.opus", Some("/api/v1/mounts/*")),
            ("/api/v1/mounts/a/b.opus/demand", Some("/api/v1/mounts/*/demand")),
            ("/api/v1/mounts/demand", Some("/api/v1/mounts/*")),
            ("/admin/streamlist.txt", Some("/admin/streamlist")),
            ("/api/v2/mounts", Some("/api/*")),
            ("/admin", Some("/admin")),
            ("/admin/", Some("/admin")),
            ("/admin/stats.xsl", Some("/admin/stats")),
            ("/admin/stats.xml", Some("/admin/stats")),
            ("/admin/stats/", Some("/admin/stats")),
            ("/admin/x", Some("/admin/*")),
            ("/administrator", None),
            ("/mic.opus", None),
            ("/embed/", None),
        ] {
            assert_eq!(Route::of(path).map(|route| route.path), row, "{path}");
        }
    }

    #[test]
    fn every_row_is_reachable() {
        for route in &ROUTES {
            let path = route.path.replace('*', "x");
            assert_eq!(ROUTES.iter().find(|row| row.matches(&path)), Some(route));
        }
    }
}
