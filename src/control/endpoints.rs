//! Answers requests: one arm for each endpoint of the table of routes.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http_body_util::Either;

use super::admin::Administration;
use super::api::{MountList, MountStatus, OPENAPI, listeners};
use super::metrics::Metrics;
use super::request::RequestContext;
use super::response::{HttpResponse, JSON, document, json, pieces, plain};
use super::settings::ControlSettings;
use super::status::Station;
use super::{page, playlist, status};
use crate::client::LoginGuard;
use crate::http::Reply;
use crate::mount::{Name, Table};
use crate::routes::{Caller, Endpoint, Methods};

/// The type that Prometheus asks for.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the control plane's answers are made from.
#[derive(Debug)]
pub(crate) struct Control {
    /// The configuration in force.
    pub settings: Arc<ArcSwap<ControlSettings>>,
    /// The port on which clients reach the server.
    pub port: u16,
    /// When the server started.
    pub since: SystemTime,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// The mounts.
    pub table: Arc<Table>,
    /// Executes administration commands.
    pub(crate) administration: Administration,
    /// Guards the administrator's login.
    pub guard: LoginGuard,
}

/// What a request gets.
pub(super) enum Answer {
    /// A response that is complete, or complete once its pieces have been made.
    Document(HttpResponse),
    /// Server-sent events.
    Events,
}

impl Control {
    /// Answers a request.
    ///
    /// # Errors
    /// The reply to a request that is refused.
    pub(super) async fn answer(&self, request: &RequestContext<'_>) -> Result<Answer, Reply> {
        let methods = request.route.map_or(Methods::Read, |route| route.methods);
        if !methods.include(request.head.method()) {
            let sentence = "Only GET and HEAD are allowed here.";
            return Err(Reply::new(405, sentence).with("Allow", methods.allow()));
        }
        let Some(route) = request.route else {
            return self.playlist(request).map(Answer::Document);
        };
        self.check_caller(route.caller, request)?;
        let document = match route.endpoint {
            Endpoint::Events => return Ok(Answer::Events),
            Endpoint::ListeningPage | Endpoint::EmbeddedPlayer | Endpoint::PageFile => {
                self.page(request)
            }
            Endpoint::StatusPage => {
                let there = Reply::new(302, "The page for people is here.").with("Location", "./");
                Ok(plain(&there))
            }
            Endpoint::StatusJson => {
                let status = status::render(&self.station(request), &self.table.public_streams());
                Ok(document("application/json; charset=UTF-8", status))
            }
            Endpoint::Health => Ok(document("text/plain; charset=utf-8", "ok\n")),
            Endpoint::Metrics => self
                .metrics
                .render()
                .map(|text| document(METRICS, text))
                .map_err(|error| Reply::new(500, error.to_string())),
            Endpoint::OpenApi => Ok(document("application/json", OPENAPI)),
            Endpoint::Mounts => Ok(json(&MountList::of(&self.table))),
            Endpoint::Mount => self.mount_status(request),
            Endpoint::Listeners => Ok(pieces(JSON, listeners(&self.table))),
            Endpoint::UnknownApi => Err(Reply::new(
                404,
                "There is no such resource; /api/v1/openapi.json lists those that exist.",
            )),
            Endpoint::Admin(command) => {
                self.administration.execute(command, request, &self.station(request)).await
            }
        };
        document.map(Answer::Document)
    }

    /// Checks the login of a caller.
    ///
    /// # Errors
    /// The reply to a wrong login, or to none where one is needed.
    fn check_caller(&self, caller: Caller, request: &RequestContext<'_>) -> Result<(), Reply> {
        let credentials = &self.settings.load().credentials;
        let own;
        let logins = match caller {
            Caller::Anyone => return Ok(()),
            Caller::Administrator => &[&credentials.admin][..],
            Caller::AdministratorOrSource => {
                let name = request.target.decoded_parameter("mount");
                let name = name.and_then(|name| Name::new(&name).ok());
                own = name
                    .and_then(|name| self.table.find(&name))
                    .and_then(|entry| entry.settings().source.clone());
                &[&credentials.admin, own.as_ref().unwrap_or(&credentials.source)]
            }
        };
        self.guard.admit(logins, request.authorization(), request.client, "admin")
    }

    /// The page on which people listen, and its files.
    fn page(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let (path, raw_path) = (&*request.target.path, request.target.raw_path());
        if path == "/" && !raw_path.ends_with('/') {
            // The page's links are relative, so its own path has to end with a slash.
            return Ok(with_slash(raw_path, request.target.query()));
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
                let title = stream.source.description.name.as_deref().unwrap_or(mount);
                page::Microphone { mount, title }
            })
            .collect();
        let answer = page::asset(path, &request.fields, &microphones).ok_or_else(no_page)?;
        Ok(answer.map(Either::Left))
    }

    /// The mount that the path names.
    fn mount_status(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let path = &request.target.path;
        let name = path.strip_prefix("/api/v1/mounts/").unwrap_or_default();
        let name = Name::new(&format!("/{}", name.trim_start_matches('/')));
        // A hidden mount is not listed, but whoever knows its name may ask for it.
        let entry = name.ok().and_then(|name| self.table.find(&name));
        let found = entry.and_then(|entry| Some((entry.stream()?, entry)));
        let (stream, entry) = found
            .ok_or_else(|| Reply::new(404, "No source is sending to a mount of this name."))?;
        Ok(json(&MountStatus::of(&entry, &stream)))
    }

    /// A mount's playlist, for a path that is not the server's own.
    fn playlist(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let (entry, stream) =
            playlist::mount(&request.target.path, &self.table).ok_or_else(no_page)?;
        let base = request.base(&self.settings.load(), self.port);
        Ok(playlist::render(&base, &entry, &stream))
    }

    fn station(&self, request: &RequestContext<'_>) -> Station {
        let about = self.settings.load_full();
        let base = request.listen_base(&about, self.port);
        Station { about, base, since: self.since }
    }
}

fn no_page() -> Reply {
    Reply::new(404, "There is no such page, and no source is sending to a mount of this name.")
}

/// A redirect to the same path with a slash at its end.
fn with_slash(path: &str, query: &str) -> HttpResponse {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    plain(&Reply::new(308, "This page is a folder.").with("Location", format!("{path}/{query}")))
}
