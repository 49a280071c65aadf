//! `/admin/…`: Icecast's administration commands.
//!
//! As in Icecast, commands that change state may be GET requests. They are therefore refused if a
//! page of another site may have sent them from the administrator's browser (CSRF).

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use encoding_rs::{Encoding, UTF_8};
use tokio::time::sleep;

use super::render::from_unix;
use super::request::RequestContext;
use super::response::{HttpResponse, XML, document, pieces, xml};
use super::stats;
use super::status::Station;
use crate::auth::{AccessMode, Link, basic};
use crate::client::LinkRegister;
use crate::hls::HlsListeners;
use crate::http::{Reply, redacted_path};
use crate::log::journal;
use crate::mount::{ListenerInfo, MountEntry, MountTable, Name, Operator};
use crate::platform::Reloader;
use crate::routes::{AdminCommand, Route};
use crate::text::{decode, sanitize};
use crate::units;
use crate::worker::{Command, Workers};
use ogg_splice::Tags;

/// How long a response waits for the result of a reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// For how long `killclient` may block the clients of an address.
const BLOCKS: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// Executes administration commands.
#[derive(Debug)]
pub(crate) struct Administration {
    pub(crate) table: Arc<MountTable>,
    pub(crate) workers: Workers,
    pub(crate) hls_listeners: Arc<HlsListeners>,
    pub(crate) reloader: Reloader,
    pub(crate) links: Arc<LinkRegister>,
}

impl Administration {
    /// Executes a command. The caller's login must have been checked.
    ///
    /// # Errors
    /// The reply to send if the command is refused.
    pub(super) async fn execute(
        &self,
        command: AdminCommand,
        request: &RequestContext<'_>,
        station: &Station,
    ) -> Result<HttpResponse, Reply> {
        if changes_state(command) {
            request.check_site()?;
            let command = command_name(request);
            let mount = request.target.decoded_parameter("mount").unwrap_or_default();
            let mount = sanitize(redacted_path(&mount));
            let Operator { user, address: client } = operator_of(request);
            journal!(info, ADMIN_COMMAND, command, mount, user, %client, "administration command");
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
            AdminCommand::StreamList => Ok(self.stream_list()),
            AdminCommand::ListClients => Ok(pieces(XML, stats::clients(&*self.mount(request)?))),
            AdminCommand::KillClient => self.kill_client(request),
            AdminCommand::KillSource => self.kill_source(request),
            AdminCommand::Metadata => self.set_metadata(request),
            AdminCommand::ReloadConfig => Ok(self.reload().await),
            AdminCommand::Unblock => self.unblock(request),
            AdminCommand::RevokeLink => self.revoke_link(request),
            AdminCommand::Unsupported(name) => Err(Reply::new(
                400,
                format!(
                    "silvacast does not support {name}: listeners stay on their mount, \
                     and mounts have no fallback."
                ),
            )),
            AdminCommand::Unknown => {
                Err(Reply::new(404, "There is no such administration command."))
            }
        }
    }

    /// The names of the mounts that another server may relay, a line for each.
    fn stream_list(&self) -> HttpResponse {
        let streams = self.table.streams();
        let live = streams.iter().map(|(entry, _)| (entry.name.clone(), entry.settings_arc()));
        let off = self.table.off().into_iter().filter(|mount| mount.is_idle);
        let idle = off.map(|mount| (mount.name, mount.settings));
        let open =
            live.chain(idle).filter(|(_, settings)| settings.access.mode != AccessMode::Closed);
        let names: Vec<_> = open.map(|(name, _)| name.to_string()).collect();
        document("text/plain; charset=utf-8", names.join("\r\n") + "\r\n")
    }

    fn kill_client(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let entry = self.mount(request)?;
        let id = request.target.decoded_parameter("id").and_then(|id| id.parse().ok());
        let id =
            id.ok_or_else(|| Reply::new(400, "Missing parameter: id, the number of a listener."))?;
        let Some(listener) = entry.directory.find(id) else {
            return Ok(xml(stats::response(&format!("Client {id} not found"), false)));
        };
        let block = match request.target.parameter("block").map(units::duration) {
            None => None,
            Some(Ok(time)) if BLOCKS.contains(&time) => Some(time),
            Some(_) => {
                let sentence = "The parameter block must be a duration from 1m to 24h, such as 1h.";
                return Err(Reply::new(400, sentence));
            }
        };
        // Before the listener is disconnected: many players reconnect at once.
        entry.ban(&listener);
        let is_blocked = block.is_none_or(|time| entry.block(&listener, time));
        self.disconnect(&entry, &listener, &Arc::new(operator_of(request)));
        let address = if is_blocked { "" } else { ", and not blocked: a proxy hides its address" };
        Ok(xml(stats::response(&format!("Client {id} removed{address}"), true)))
    }

    fn disconnect(&self, entry: &MountEntry, listener: &ListenerInfo, by: &Arc<Operator>) {
        listener.kill(Arc::clone(by));
        self.hls_listeners.evict(listener.id, by);
        let (name, by) = (entry.name.clone(), Arc::clone(by));
        self.workers.command(&Command::DisconnectListener(name, listener.id, by));
    }

    /// Lets the clients of an address listen to a mount again.
    fn unblock(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let name = mount_parameter(request)?;
        let address = request.target.decoded_parameter("address");
        let address: IpAddr =
            address.and_then(|address| address.parse().ok()).ok_or_else(|| {
                Reply::new(400, "Missing parameter: address, an IP address that is blocked.")
            })?;
        let is_lifted = Name::new(&name).is_ok_and(|name| self.table.lift_bans(&name, address));
        let message = if is_lifted { "may listen again" } else { "was not blocked" };
        Ok(xml(stats::response(&format!("{address} {message}"), is_lifted)))
    }

    /// Revokes a link, and disconnects those that listen by it.
    fn revoke_link(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let name = mount_parameter(request)?;
        let expires = request.target.decoded_parameter("expires");
        let expires: u64 = expires.and_then(|text| text.parse().ok()).ok_or_else(|| {
            Reply::new(400, "Missing parameter: expires, the same as in the link.")
        })?;
        let now = SystemTime::now();
        let left = from_unix(expires).duration_since(now);
        if !left.is_ok_and(|left| Link::may_last(left) || left < Duration::from_secs(1)) {
            return Err(Reply::new(400, "No link that is valid expires at this time."));
        }
        let revoked = self.links.revoke(&name, expires, now);
        revoked.map_err(|error| Reply::new(503, format!("Not revoked: {error}.")))?;
        if let Some(entry) = Name::new(&name).ok().and_then(|name| self.table.find(&name)) {
            let by = Arc::new(operator_of(request));
            for listener in Arc::clone(&entry.directory).listeners().flatten() {
                if listener.link() == Some(expires) {
                    self.disconnect(&entry, &listener, &by);
                }
            }
        }
        Ok(xml(stats::response("Link revoked until the server is started again", true)))
    }

    fn kill_source(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        let entry = self.mount(request)?;
        let by = Arc::new(operator_of(request));
        self.workers.command(&Command::Evict(entry.name.clone(), by));
        Ok(xml(stats::response("Source Removed", true)))
    }

    /// Sets the title of a stream: `mode=updinfo` with `song`, or with `title` and `artist`.
    fn set_metadata(&self, request: &RequestContext<'_>) -> Result<HttpResponse, Reply> {
        // An encoder may send its first title before its first audio.
        let entry = self.mount_named(request, MountTable::find_in_use)?;
        if request.target.decoded_parameter("mode").as_deref() != Some("updinfo") {
            return Err(Reply::new(400, "Missing parameter: mode, which must be updinfo."));
        }
        let encoding = encoding_of(request.target.decoded_parameter("charset").as_deref())?;
        let text = |name| {
            let bytes = request.target.parameter_bytes(name)?;
            let decoded = if encoding == UTF_8 {
                decode(&bytes)
            } else {
                encoding.decode_without_bom_handling(&bytes).0
            };
            Some(sanitize(decoded.trim()))
        };
        let (song, title, artist) = (text("song"), text("title"), text("artist"));
        if song.is_none() && title.is_none() && artist.is_none() {
            return Err(Reply::new(400, "Missing parameter: song, or title and artist."));
        }
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (title, artist) = (filled(title), filled(artist));
        // `song` is artist and title in one; encoders that send all three mean the same.
        let title = title.or_else(|| filled(song));
        // Encoders send a blank title between two songs. It says nothing about what is heard, and
        // an artist alone changes nothing in Icecast either.
        if title.is_some() {
            let tags = Tags { title, artist };
            self.workers.command(&Command::SetTitle(entry.name.clone(), tags));
        }
        Ok(xml(stats::response("Metadata update successful", true)))
    }

    async fn reload(&self) -> HttpResponse {
        let outcome = tokio::select! {
            outcome = self.reloader.ask() => outcome,
            () = sleep(RELOAD_TIMEOUT) => {
                Err("its files are still being read; the log will show the result".into())
            }
        };
        let (message, succeeded) = match outcome {
            Ok(()) => ("Config successfully reloaded".to_owned(), true),
            Err(reason) => (format!("Config not reloaded: {reason}"), false),
        };
        xml(stats::response(&message, succeeded))
    }

    /// The mount that the parameter `mount` names, if it has a stream.
    fn mount(&self, request: &RequestContext<'_>) -> Result<Arc<MountEntry>, Reply> {
        self.mount_named(request, MountTable::find)
    }

    fn mount_named(
        &self,
        request: &RequestContext<'_>,
        find: impl Fn(&MountTable, &Name) -> Option<Arc<MountEntry>>,
    ) -> Result<Arc<MountEntry>, Reply> {
        let name = mount_parameter(request)?;
        let entry = Name::new(&name).ok().and_then(|name| find(&self.table, &name));
        entry.ok_or_else(no_source)
    }
}

/// The name of the mount that a command is for.
fn mount_parameter(request: &RequestContext<'_>) -> Result<String, Reply> {
    let name = request.target.decoded_parameter("mount");
    name.ok_or_else(|| Reply::new(400, "Missing parameter: mount."))
}

/// The encoding of a metadata update (`charset=`), by one of its usual names (WHATWG, "Encoding
/// Standard").
fn encoding_of(charset: Option<&str>) -> Result<&'static Encoding, Reply> {
    let encoding = charset.map_or(Some(UTF_8), |name| Encoding::for_label(name.as_bytes()));
    encoding.ok_or_else(|| {
        Reply::new(400, "Unknown charset; allowed: names such as UTF-8, ISO-8859-1 or KOI8-R.")
    })
}

/// Whether a command may change the server's state, so that a page of another site must not send
/// it.
fn changes_state(command: AdminCommand) -> bool {
    matches!(
        command,
        AdminCommand::KillClient
            | AdminCommand::KillSource
            | AdminCommand::Metadata
            | AdminCommand::ReloadConfig
            | AdminCommand::Unblock
            | AdminCommand::RevokeLink
    )
}

/// Who sends the command. The login has been checked.
fn operator_of(request: &RequestContext<'_>) -> Operator {
    let login = request.authorization().and_then(basic);
    let user = login.map_or_else(String::new, |(user, _)| sanitize(&user));
    Operator { user, address: request.client.address }
}

/// The command's name, from the path of its route.
fn command_name(request: &RequestContext<'_>) -> &'static str {
    Route::of(&request.target.path).map_or("", |route| route.path.trim_start_matches("/admin/"))
}

/// Uses the text of Icecast, because client programs search for it.
fn no_source() -> Reply {
    Reply::new(400, "Source does not exist")
}
