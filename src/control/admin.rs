//! `/admin/…`: Icecast's administration, for whoever knows its password.
//!
//! Commands are requests that change something, by GET as Icecast has them; so they are refused
//! where a page of another site sends them from the administrator's browser.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::request::RequestContext;
use super::response::{HttpResponse, XML, pieces, xml};
use super::stats;
use super::status::Station;
use crate::http::{Reply, redacted_path};
use crate::log::journal;
use crate::mount::{MountEntry, Name, Table};
use crate::platform::Reloader;
use crate::routes::AdminCommand;
use crate::text::sanitize;
use crate::worker::{Command, Workers};
use ogg_splice::Tags;

/// How long the administrator waits for a configuration to be read again.
const RELOAD: Duration = Duration::from_secs(20);

/// What administration commands act on.
#[derive(Debug)]
pub(crate) struct Administration {
    pub(crate) table: Arc<Table>,
    pub(crate) workers: Workers,
    pub(crate) reloader: Reloader,
}

impl Administration {
    /// Executes an administration command, for a caller that has been checked.
    ///
    /// # Errors
    /// The reply to a command that is refused.
    pub(super) async fn execute(
        &self,
        command: AdminCommand,
        request: &RequestContext<'_>,
        station: &Station,
    ) -> Result<HttpResponse, Reply> {
        if changes_something(command) {
            if request.is_foreign() {
                let sentence = "Refused: a page of another site may have sent this command; send it with a tool such as curl.";
                return Err(Reply::new(403, sentence));
            }
            let command = name_of(request);
            let mount = request.target.decoded_parameter("mount").unwrap_or_default();
            let mount = sanitize(redacted_path(&mount));
            let client = request.client.address;
            journal!(info, ADMIN_COMMAND, command, mount, %client, "administration command");
        }
        match command {
            AdminCommand::Stats => {
                let mounts = self.table.streams();
                let only = request.target.decoded_parameter("mount");
                let is_missing =
                    |only: &String| !mounts.iter().any(|(entry, _)| entry.name.as_str() == only);
                if only.as_ref().is_some_and(is_missing) {
                    return Err(no_source());
                }
                Ok(xml(stats::stats(station, self.table.stats(), &mounts, only.as_deref())))
            }
            AdminCommand::ListMounts => Ok(xml(stats::mounts(&self.table.streams()))),
            AdminCommand::ListClients => Ok(pieces(XML, stats::clients(&*self.mount(request)?))),
            AdminCommand::KillClient => self.kill_client(request),
            AdminCommand::KillSource => self.kill_source(request),
            AdminCommand::Metadata => self.retitle(request),
            AdminCommand::ReloadConfig => Ok(self.reload().await),
            AdminCommand::Unsupported(name) => Err(Reply::new(
                400,
                format!(
                    "silvacast has no {name}: listeners stay with their mount, and a mount has no fallback."
                ),
            )),
            AdminCommand::Unknown => {
                Err(Reply::new(404, "There is no such administration command."))
            }
        }
    }

    fn kill_client(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let entry = self.mount(request)?;
        let id = request.target.decoded_parameter("id").and_then(|id| id.parse().ok());
        let id =
            id.ok_or_else(|| Reply::new(400, "Missing parameter: id takes a listener's number."))?;
        let here = entry.directory.has(id);
        if here {
            self.workers.command(&Command::Dismiss(entry.name.clone(), id));
        }
        let message =
            if here { format!("Client {id} removed") } else { format!("Client {id} not found") };
        Ok(xml(stats::response(&message, here)))
    }

    fn kill_source(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let entry = self.mount(request)?;
        self.workers.command(&Command::Evict(entry.name.clone()));
        Ok(xml(stats::response("Source Removed", true)))
    }

    /// `mode=updinfo` with `song`, or `artist` and `title`.
    fn retitle(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let entry = self.mount(request)?;
        if request.target.decoded_parameter("mode").as_deref() != Some("updinfo") {
            return Err(Reply::new(400, "Missing parameter: mode takes updinfo."));
        }
        if request
            .target
            .decoded_parameter("charset")
            .is_some_and(|name| !name.eq_ignore_ascii_case("utf-8"))
        {
            return Err(Reply::new(400, "The only charset understood here is UTF-8."));
        }
        let text = |name| {
            request
                .target
                .decoded_parameter(name)
                .map(|text| sanitize(&text))
                .filter(|text| !text.is_empty())
        };
        let tags = match (text("song"), text("title")) {
            (None, None) => {
                return Err(Reply::new(400, "Missing parameter: song, or title and artist."));
            }
            (Some(song), _) => Tags { title: Some(song), artist: None },
            (None, title) => Tags { title, artist: text("artist") },
        };
        self.workers.command(&Command::Retitle(entry.name.clone(), tags));
        Ok(xml(stats::response("Metadata update successful", true)))
    }

    async fn reload(&self) -> HttpResponse {
        let outcome = tokio::select! {
            outcome = self.reloader.ask() => outcome,
            () = sleep(RELOAD) => Err("its files are still being read; see the log for what comes of it".into()),
        };
        let (message, done) = match outcome {
            Ok(()) => ("Config successfully reloaded".to_owned(), true),
            Err(why) => (format!("Config not reloaded: {why}"), false),
        };
        xml(stats::response(&message, done))
    }

    /// The mount that a request names.
    fn mount(&self, request: &RequestContext<'_>) -> Result<Arc<MountEntry>, Reply> {
        let name = request.target.decoded_parameter("mount");
        let name = name.ok_or_else(|| Reply::new(400, "Missing parameter: mount."))?;
        let entry = Name::new(&name).ok().and_then(|name| self.table.find(&name));
        entry.ok_or_else(no_source)
    }
}

/// Whether a command may change something: a page of another site must not send it.
fn changes_something(command: AdminCommand) -> bool {
    matches!(
        command,
        AdminCommand::KillClient
            | AdminCommand::KillSource
            | AdminCommand::Metadata
            | AdminCommand::ReloadConfig
    )
}

/// A command's name in Icecast, from the path of its route.
fn name_of(request: &RequestContext<'_>) -> &'static str {
    request.route.map_or("", |route| route.path.trim_start_matches("/admin/"))
}

/// Icecast's own words, as programs look for them.
fn no_source() -> Reply {
    Reply::new(400, "Source does not exist")
}
