//! The resources of the server itself: one table of paths, methods, who may ask, and what answers.
//!
//! The door replies to `OPTIONS` and refuses methods by it, the control plane dispatches by it, and a
//! test compares it with the description of the API in `openapi.json`. Every path that is not listed
//! is the name of a mount or belongs to nothing.

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The page on which people listen.
    ListeningPage,
    /// The player for other sites' frames.
    EmbeddedPlayer,
    /// A file of these pages.
    PageFile,
    /// Icecast's status page for people: a redirect to the listening page.
    StatusPage,
    /// Icecast's status for programs.
    StatusJson,
    /// Whether the server runs.
    Health,
    /// Metrics for Prometheus.
    Metrics,
    /// The description of the API.
    OpenApi,
    /// All mounts.
    Mounts,
    /// One mount; its name follows.
    Mount,
    /// All listeners.
    Listeners,
    /// Server-sent events.
    Events,
    /// Something below `/api/` that does not exist.
    UnknownApi,
    /// One of Icecast's administration commands.
    Admin(AdminCommand),
}

/// Icecast's administration commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminCommand {
    /// `stats`, also without a name.
    Stats,
    /// `listmounts`.
    ListMounts,
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
    /// A command of Icecast's that has no meaning here.
    Unsupported(&'static str),
    /// Not a command of Icecast's.
    Unknown,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Anybody.
    Anyone,
    /// The administrator.
    Administrator,
    /// The administrator, or the source of the mount that the request names.
    AdministratorOrSource,
}

/// The methods of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Methods {
    /// `GET` and `HEAD`.
    Read,
    /// `POST` as well: a command that changes something, or may.
    Command,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The path without the prefix. One that ends in `*` stands for all that begin with the rest.
    pub(crate) path: &'static str,
    /// The methods it answers, beside `OPTIONS`.
    pub(crate) methods: Methods,
    /// Who may ask.
    pub(crate) caller: Caller,
    /// What answers.
    pub(crate) endpoint: Endpoint,
}

/// All resources. The first row that matches a path counts.
pub(crate) const ROUTES: [Route; 26] = [
    read("/", Endpoint::ListeningPage),
    read("/embed", Endpoint::EmbeddedPlayer),
    read("/web/*", Endpoint::PageFile),
    read("/status.xsl", Endpoint::StatusPage),
    read("/status-json.xsl", Endpoint::StatusJson),
    read("/healthz", Endpoint::Health),
    read("/metrics", Endpoint::Metrics),
    read("/api/v1/openapi.json", Endpoint::OpenApi),
    read("/api/v1/mounts", Endpoint::Mounts),
    read("/api/v1/mounts/*", Endpoint::Mount),
    administrator("/api/v1/listeners", Methods::Read, Endpoint::Listeners),
    read("/api/v1/events", Endpoint::Events),
    read("/api/*", Endpoint::UnknownApi),
    admin("/admin", AdminCommand::Stats),
    admin("/admin/stats", AdminCommand::Stats),
    admin("/admin/listmounts", AdminCommand::ListMounts),
    admin("/admin/listclients", AdminCommand::ListClients),
    admin("/admin/killclient", AdminCommand::KillClient),
    admin("/admin/killsource", AdminCommand::KillSource),
    Route {
        path: "/admin/metadata",
        methods: Methods::Command,
        caller: Caller::AdministratorOrSource,
        endpoint: Endpoint::Admin(AdminCommand::Metadata),
    },
    admin("/admin/reloadconfig", AdminCommand::ReloadConfig),
    admin("/admin/moveclients", AdminCommand::Unsupported("moveclients")),
    admin("/admin/fallbacks", AdminCommand::Unsupported("fallbacks")),
    admin("/admin/updatemetadata", AdminCommand::Unsupported("updatemetadata")),
    admin("/admin/manageauth", AdminCommand::Unsupported("manageauth")),
    admin("/admin/*", AdminCommand::Unknown),
];

/// The methods of a mount, for `Allow` (RFC 9110, section 10.2.1).
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

impl Route {
    /// The route of a decoded path without the prefix; `None` if the path is not the server's own.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        // Icecast's pages are `.xsl`, and some programs ask for `.xml`.
        let path = match path.strip_prefix("/admin/").map(|rest| rest.trim_matches('/')) {
            Some("") => "/admin".to_owned(),
            Some(rest) => {
                let command = rest.strip_suffix(".xsl").or(rest.strip_suffix(".xml"));
                format!("/admin/{}", command.unwrap_or(rest))
            }
            None => path.to_owned(),
        };
        ROUTES.iter().find(|route| route.matches(&path))
    }

    fn matches(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == self.path,
        }
    }
}

impl Methods {
    /// Whether a method is one of them.
    pub(crate) fn include(self, method: &str) -> bool {
        matches!(method, "GET" | "HEAD") || method == "POST" && self == Self::Command
    }

    /// All methods, for `Allow` (RFC 9110, section 10.2.1).
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD, OPTIONS",
            Self::Command => "GET, HEAD, OPTIONS, POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_rows() {
        for (path, row) in [
            ("/", Some("/")),
            ("/web/00000000/page.js", Some("/web/*")),
            ("/api/v1/mounts", Some("/api/v1/mounts")),
            ("/api/v1/mounts/a/b.opus", Some("/api/v1/mounts/*")),
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
    fn no_row_is_hidden_by_one_before_it() {
        for route in &ROUTES {
            let path = route.path.replace('*', "x");
            assert_eq!(ROUTES.iter().find(|row| row.matches(&path)), Some(route));
        }
    }
}
