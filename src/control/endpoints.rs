//! Generates responses: one match arm for each endpoint of the route table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::admin::Administration;
use super::api::{
    DemandStatus, MountClockStatus, MountList, MountStatus, OPENAPI, PeerList, listeners,
};
use super::detections::{Detections, MAX_BODY, Submission};
use super::metrics::Metrics;
use super::render::rfc3339;
use super::render::url_query;
use super::request::RequestContext;
use super::resources::Resources;
use super::response::{HttpResponse, JSON, document, json, pieces, plain};
use super::segment::MISSING;
use super::settings::{ControlSettings, ShownConfig};
use super::status::Station;
use super::waiter::Waiter;
use super::whep::{PendingOffer, Whep};
use super::{blocks, configuration, journal_lines, link, page, playlist, status};
use crate::auth::{Credentials, Login};
use crate::client::{LinkRegister, LoginAttempt, LoginGuard};
use crate::clock::{Clock, Timestamp};
use crate::hls::HlsPath;
use crate::http::Reply;
use crate::mount::{MountEntry, MountTable, Name, OffMount};
use crate::peers::PeerDirectory;
use crate::routes::{Caller, Endpoint, Methods, OPERATOR_PAGE, Route};
use crate::units;
use crate::webrtc::MAX_OFFER;

/// Content type of `OpenMetrics` text, which Prometheus accepts.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a request may wait for a change of the demand.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Crawlers may request the listening page (RFC 9309). A stream has no end, and each crawler that
/// requests one is a listener.
const ROBOTS: &str = "User-agent: *\nAllow: /$\nAllow: /web/\nDisallow: /\n";

/// Generates the control plane's responses.
#[derive(Debug)]
pub(crate) struct Control {
    /// The settings in force.
    pub settings: Arc<ArcSwap<ControlSettings>>,
    /// The configuration in force, as the administrator may see it.
    pub configuration: Arc<ArcSwap<ShownConfig>>,
    /// The port in URLs of this server.
    pub port: u16,
    /// When the server started.
    pub since: Timestamp,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/api/v1/server` shows.
    pub(crate) resources: Resources,
    /// How it goes with other servers.
    pub peers: PeerDirectory,
    /// All mounts, and the server's statistics.
    pub table: Arc<MountTable>,
    /// Executes administration commands.
    pub(crate) administration: Administration,
    /// Takes and lists detections.
    pub(crate) detections: Detections,
    /// Takes offers of WebRTC.
    pub(crate) whep: Whep,
    /// Guards the administrator's login.
    pub guard: LoginGuard,
    /// Guards the logins of detectors.
    pub(crate) detector_guard: LoginGuard,
    /// All login guards, which know who is locked out.
    pub(crate) guards: Vec<LoginGuard>,
    /// The links that are known.
    pub(crate) links: Arc<LinkRegister>,
}

/// A request whose body is to be read.
#[derive(Debug)]
pub(super) enum AwaitedBody {
    /// Detections.
    Detections(Submission),
    /// An offer of WebRTC.
    Offer(Box<PendingOffer>),
}

/// The result of a request that is not refused.
pub(super) enum EndpointResult {
    /// A response with a body of finite length.
    Document(HttpResponse),
    /// The client subscribes to server-sent events.
    Events,
    /// The response depends on the body of the request.
    Submission(Submission),
}

impl AwaitedBody {
    /// The longest body that it may have.
    pub(super) fn max_body(&self) -> usize {
        match self {
            Self::Detections(_) => MAX_BODY,
            Self::Offer(_) => MAX_OFFER,
        }
    }
}

impl Control {
    /// Generates the response to a request.
    ///
    /// # Errors
    /// The reply to send if the request is refused.
    pub(super) async fn respond(
        &self,
        request: &RequestContext<'_>,
        route: Option<&'static Route>,
        waiter: &mut Waiter<'_>,
    ) -> Result<EndpointResult, Reply> {
        let methods = route.map_or(Methods::Read, |route| route.methods);
        if !methods.include(request.head.method()) {
            let sentence = "This method is not allowed here; use GET or HEAD.";
            return Err(Reply::new(405, sentence).with("Allow", methods.allow()));
        }
        let Some(route) = route else {
            return self.playlist(request).map(EndpointResult::Document);
        };
        if route.path == OPERATOR_PAGE && request.is_navigation() {
            return self.operator_page(request).map(EndpointResult::Document);
        }
        self.check_caller(route.caller, request)?;
        let document = match route.endpoint {
            Endpoint::Events => return Ok(EndpointResult::Events),
            Endpoint::ListeningPage | Endpoint::EmbeddedPlayer | Endpoint::PageFile => {
                self.page(request)
            }
            Endpoint::Robots => Ok(document("text/plain; charset=utf-8", ROBOTS)),
            Endpoint::StatusPage => {
                let sentence = "See the listening page.";
                Ok(plain(&Reply::new(302, sentence).with("Location", "./")))
            }
            Endpoint::StatusJson => {
                let status = status::render(&self.station(request), &self.table.public_streams());
                Ok(document("application/json; charset=UTF-8", status))
            }
            Endpoint::Health => Ok(self.health(request.target.parameter("strict").is_some())),
            Endpoint::Metrics => self
                .metrics
                .render()
                .map(|text| document(OPENMETRICS, text))
                .map_err(|error| Reply::new(500, error.to_string())),
            Endpoint::OpenApi => Ok(document("application/json", OPENAPI)),
            Endpoint::Server => Ok(json(&self.resources.status(&self.settings.load(), self.since))),
            Endpoint::Mounts => {
                let has_hidden = self.with_hidden(request)?;
                let settings = self.settings.load();
                Ok(json(&MountList::of(settings.name.as_deref(), &self.table, has_hidden)))
            }
            Endpoint::Demand => self.demand(request, waiter).await,
            Endpoint::Clock => {
                let entry = self.live(request, "/clock")?;
                let clock = MountClockStatus::of(&entry).ok_or_else(no_stream)?;
                Ok(json(&clock))
            }
            Endpoint::Link => {
                let (settings, target) = (self.settings.load(), request.target);
                let base = request.base_url(&settings, self.port);
                let name = mount_in(&target.path, "/link")?;
                link::sign(&self.links, &settings, &base, &name, target.parameter("for"))
            }
            Endpoint::Links => Ok(link::list(&self.links, &self.table)),
            Endpoint::Blocks => Ok(blocks::respond(&self.guards, &self.table)),
            Endpoint::Journal => Ok(journal_lines::respond()),
            Endpoint::Configuration => {
                let shown = self.configuration.load_full();
                configuration::respond(&shown, &self.administration.reloader).await
            }
            Endpoint::Detections => {
                let name = mount_in(&request.target.path, "/detections")?;
                if request.head.method() == "POST" {
                    return self.submission(request, name).map(EndpointResult::Submission);
                }
                self.detections.list(&name)
            }
            Endpoint::Mount => self.mount_status(request),
            Endpoint::Listeners => Ok(pieces(JSON, listeners(&self.table))),
            Endpoint::Peers => Ok(json(&PeerList::of(&self.peers))),
            Endpoint::UnknownApi => Err(Reply::new(
                404,
                "There is no such resource; see /api/v1/openapi.json for those that exist.",
            )),
            Endpoint::Admin(command) => {
                self.administration.execute(command, request, &self.station(request)).await
            }
        };
        document.map(EndpointResult::Document)
    }

    /// Whether the server is well. With `strict`, every mount that is expected must have a stream.
    fn health(&self, strict: bool) -> HttpResponse {
        let expected = |mount: &OffMount| strict && mount.settings.expected && !mount.is_idle;
        let missing: Vec<_> = self.table.off().into_iter().filter(expected).collect();
        if missing.is_empty() {
            return document("text/plain; charset=utf-8", "ok\n");
        }
        let names = missing.iter().map(|mount| {
            let name = if mount.settings.hidden { "a hidden mount" } else { mount.name.as_str() };
            format!("{name} (since {})", rfc3339(mount.since.wall))
        });
        let names = names.collect::<Vec<_>>().join(", ");
        plain(&Reply::new(503, format!("No source is sending to {names}.")))
    }

    /// Checks the login that a route requires.
    ///
    /// # Errors
    /// The reply to send if the login is missing or wrong, or if the client is locked out.
    fn check_caller(&self, caller: Caller, request: &RequestContext<'_>) -> Result<(), Reply> {
        let settings = self.settings.load();
        let (Credentials { source: shared, admin, relay, .. }, rules) =
            (&settings.credentials, &settings.rules);
        let name = match caller {
            Caller::Anyone => return Ok(()),
            Caller::Administrator | Caller::AdministratorOrRelay => None,
            Caller::AdministratorOrSource => request.target.decoded_parameter("mount"),
        };
        let mount = name.as_ref().and_then(|name| Name::new(name).ok());
        let of_mount = mount.and_then(|name| rules.of(&name).source.clone());
        let source = of_mount.as_ref().unwrap_or(shared);
        // Without the parameter, a command is for the whole server.
        let relay = relay.as_ref().filter(|_| caller == Caller::AdministratorOrRelay);
        let source = name.as_ref().map(|_| source);
        let logins: Vec<_> = std::iter::once(admin).chain(source).chain(relay).collect();
        let others = rules.logins(&settings.credentials);
        let attempt = LoginAttempt {
            client: request.client,
            mount: name.as_deref().unwrap_or_default(),
            authorization: request.authorization(),
        };
        self.guard.admit(&logins, &others, attempt)
    }

    /// Whether hidden mounts are to be listed, which only the administrator may see.
    ///
    /// # Errors
    /// The reply to send if the login is missing or wrong, or if the parameter is.
    fn with_hidden(&self, request: &RequestContext<'_>) -> Result<bool, Reply> {
        match request.target.parameter("hidden") {
            None | Some("false") => Ok(false),
            Some("true") => self.check_caller(Caller::Administrator, request).map(|()| true),
            Some(_) => Err(Reply::new(400, "The parameter hidden must be true or false.")),
        }
    }

    /// Admits detections of a mount, if the login is that of a detector, of the mount's source or of
    /// the administrator.
    fn submission(&self, request: &RequestContext<'_>, name: Name) -> Result<Submission, Reply> {
        request.check_site()?;
        let settings = self.settings.load();
        let detector = settings.credentials.detector.as_ref();
        self.check_login_for(&name, request, &self.detector_guard, detector)?;
        self.detections.admit(request, name)
    }

    /// Takes the body of a request that was admitted.
    ///
    /// # Errors
    /// The reply to send if anything is wrong with it.
    pub(super) async fn take(
        &self,
        awaited: AwaitedBody,
        body: &[u8],
        clock: &Clock,
    ) -> Result<HttpResponse, Reply> {
        match awaited {
            AwaitedBody::Detections(submission) => {
                let most_mounts = self.settings.load().limits.sources;
                self.detections.take(&submission, body, most_mounts)
            }
            AwaitedBody::Offer(offer) => self.whep.take(*offer, body, clock).await,
        }
    }

    /// Checks that the login is that of the mount's source, of the administrator, or this one.
    ///
    /// # Errors
    /// The reply to send if the login is wrong, or if the client is locked out.
    fn check_login_for(
        &self,
        name: &Name,
        request: &RequestContext<'_>,
        guard: &LoginGuard,
        also: Option<&Login>,
    ) -> Result<(), Reply> {
        let settings = self.settings.load();
        let (rules, credentials) = (&settings.rules, &settings.credentials);
        let of_mount = rules.of(name).source.clone();
        let source = of_mount.as_ref().unwrap_or(&credentials.source);
        let logins: Vec<_> = also.into_iter().chain([source, &credentials.admin]).collect();
        let attempt = LoginAttempt {
            client: request.client,
            mount: name.as_str(),
            authorization: request.authorization(),
        };
        guard.admit(&logins, &rules.logins(credentials), attempt)
    }

    /// The listening page, the embedded player, or a file of these pages.
    fn page(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let path = &*request.target.path;
        if path == "/" && !request.target.raw_path().ends_with('/') {
            // The links of the page are relative, so its path must end with a slash.
            return Ok(redirect_to_slash(request));
        }
        let mut streams =
            if page::is_document(path) { self.table.public_streams() } else { Vec::new() };
        if let Some(wanted) = request.target.decoded_parameter("mount") {
            streams.retain(|(entry, _)| entry.name.as_str() == wanted);
        }
        let microphones: Vec<_> = streams
            .iter()
            .map(|(entry, stream)| {
                let mount = entry.name.as_str();
                let title = entry.description(stream).name;
                page::Microphone { mount, title: title.unwrap_or_else(|| mount.to_owned()) }
            })
            .collect();
        let settings = self.settings.load();
        let shown = page::Shown { station: settings.name.as_deref(), microphones: &microphones };
        page::asset(path, &request.fields, shown).ok_or_else(not_found)
    }

    /// The operator's page, which a browser gets in place of `stats`. It has no secrets, and asks for the
    /// login itself.
    fn operator_page(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        if !request.target.raw_path().ends_with('/') {
            return Ok(redirect_to_slash(request));
        }
        let settings = self.settings.load();
        let shown = page::Shown { station: settings.name.as_deref(), microphones: &[] };
        page::asset("/admin/", &request.fields, shown).ok_or_else(not_found)
    }

    /// The status of the mount that the path names.
    fn mount_status(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let entry = self.live(request, "")?;
        let stream = entry.stream().ok_or_else(no_stream)?;
        Ok(json(&MountStatus::of(&entry, &stream)))
    }

    /// The mount with a stream that the path names before this suffix. Hidden mounts are not listed,
    /// but found by name.
    fn live(&self, request: &RequestContext<'_>, suffix: &str) -> Result<Arc<MountEntry>, Reply> {
        let entry = self.table.find(&mount_in(&request.target.path, suffix)?);
        entry.filter(|entry| entry.stream().is_some()).ok_or_else(no_stream)
    }

    /// Whether a mount is wanted. With `wait`, the response comes when that differs from the parameter
    /// `wanted`, or when the time is over.
    async fn demand(
        &self,
        request: &RequestContext<'_>,
        waiter: &mut Waiter<'_>,
    ) -> Result<HttpResponse, Reply> {
        let name = mount_in(&request.target.path, "/demand")?;
        let known = match request.target.parameter("wanted") {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Reply::new(400, "The parameter wanted must be true or false.")),
        };
        let wait = match request.target.parameter("wait").map(units::duration) {
            None => Duration::ZERO,
            Some(Ok(wait)) if wait <= LONGEST_WAIT => wait,
            Some(_) => {
                let sentence = "The parameter wait must be a duration up to 60s, such as 30s.";
                return Err(Reply::new(400, sentence));
            }
        };
        if request.authorization().is_some() {
            self.check_login_for(&name, request, &self.guard, None)?;
            self.table.announce(&name, &self.settings.load().rules);
        }
        let (began, mut changes) = (Instant::now(), self.table.changes());
        loop {
            changes.mark_unchanged();
            let linger = self.settings.load().rules.of(&name).linger;
            let demand = self.table.demand(&name, linger);
            let left = wait.saturating_sub(began.elapsed());
            if known != Some(demand.is_wanted()) || left.is_zero() {
                return Ok(json(&DemandStatus::of(&name, demand)));
            }
            // Without listeners, the demand ends by itself.
            let ends = Some(demand.lingers).filter(|time| demand.listeners == 0 && !time.is_zero());
            waiter.wait(ends.map_or(left, |time| time.min(left)), changes.changed()).await?;
        }
    }

    /// The playlist of a mount, for a path that is not in the route table.
    fn playlist(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let path = &request.target.path;
        let (format, mount) = playlist::mount(path, &self.table).ok_or_else(|| {
            // Otherwise each client of a cache would ask again.
            let cache = HlsPath::parse(path).map(|_| MISSING);
            cache.map_or_else(not_found, |cache| not_found().with("Cache-Control", cache))
        })?;
        let base_url = request.base_url(&self.settings.load(), self.port);
        Ok(playlist::render(format, &base_url, request.target.query(), &mount))
    }

    fn station(&self, request: &RequestContext<'_>) -> Station {
        let settings = self.settings.load_full();
        let base_url = request.listen_base_url(&settings, self.port);
        Station { settings, base_url, since: self.since.wall }
    }
}

fn not_found() -> Reply {
    Reply::new(404, "There is no such page, and no source is sending to a mount with this name.")
}

fn no_stream() -> Reply {
    Reply::new(404, "No source is sending to a mount with this name.")
}

/// The mount that a path of the API names before this suffix.
///
/// # Errors
/// The reply to send, with status 404, if no mount can have this name.
fn mount_in(path: &str, suffix: &str) -> Result<Name, Reply> {
    let path = path.strip_prefix("/api/v1/mounts/").unwrap_or_default();
    let name = path.strip_suffix(suffix).unwrap_or_default();
    Name::new(&format!("/{}", name.trim_start_matches('/')))
        .map_err(|error| Reply::new(404, format!("There is no such mount: {error}.")))
}

/// Redirects to the same path with a slash at its end.
fn redirect_to_slash(request: &RequestContext<'_>) -> HttpResponse {
    let (prefix, target) = (request.outer_prefix(), request.target);
    let query = url_query(target.query());
    let location = format!("{prefix}{}/{query}", target.raw_path());
    plain(&Reply::new(308, "The path of this page ends with a slash.").with("Location", location))
}
