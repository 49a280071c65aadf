//! Links that open a mount for a limited time, for the administrator: `/api/v1/mounts/NAME/link` signs one,
//! as `silvacast share` does, and `/api/v1/links` lists those that were signed or used.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;

use super::render::{from_unix, rfc3339};
use super::response::{HttpResponse, json};
use super::settings::ControlSettings;
use crate::auth::{Link, LinkUrls};
use crate::client::{KnownLink, LinkRegister};
use crate::http::Reply;
use crate::mount::{MountTable, Name};
use crate::units;

/// The response; the schema `Link`.
#[derive(Debug, Serialize)]
struct SignedLink<'a> {
    mount: &'a str,
    expires: String,
    page: String,
    stream: String,
    playlist: String,
    /// What is probably not meant.
    doubt: Option<String>,
}

/// The response of `/api/v1/links`; the schema `Links`.
#[derive(Debug, Serialize)]
struct LinkList {
    /// Those that expire last first.
    links: Vec<LinkStatus>,
}

/// A link; the schema `KnownLink`.
#[derive(Debug, Serialize)]
struct LinkStatus {
    mount: String,
    expires: String,
    last_used: Option<String>,
    listeners: usize,
    revoked: bool,
}

/// The links that have not expired.
pub(super) fn list(register: &LinkRegister, table: &MountTable) -> HttpResponse {
    let links = register.links(SystemTime::now()).into_iter();
    let links = links.map(|KnownLink { mount, expires, used, is_revoked }| {
        let entry = Name::new(&mount).ok().and_then(|name| table.find(&name));
        let listeners = entry.map_or(0, |entry| {
            let all = Arc::clone(&entry.directory).listeners().flatten();
            all.filter(|listener| listener.link() == Some(expires)).count()
        });
        LinkStatus {
            mount,
            expires: rfc3339(from_unix(expires)),
            last_used: used.map(rfc3339),
            listeners,
            revoked: is_revoked,
        }
    });
    json(&LinkList { links: links.collect() })
}

/// A link to a mount of the server with this URL, which is valid for as long as the parameter `for` says.
///
/// # Errors
/// The reply to send: with status 400 if the time is not allowed, and 409 if the server has no key.
pub(super) fn sign(
    register: &LinkRegister,
    settings: &ControlSettings,
    base: &str,
    mount: &Name,
    time: Option<&str>,
) -> Result<HttpResponse, Reply> {
    let time =
        time.and_then(|text| units::duration(text).ok()).filter(|time| Link::may_last(*time));
    let time = time.ok_or_else(|| {
        Reply::new(400, "The parameter for must be a duration from 1s to 8784h, such as 2h.")
    })?;
    let key = settings.share_key.as_ref().ok_or_else(|| {
        Reply::new(
            409,
            "The server has no key to sign with: its configuration needs share_key_file.",
        )
    })?;
    let now = SystemTime::now();
    let until = now + time;
    let link = Link::sign(mount.as_str(), until, key);
    register.note_signed(mount.as_str(), link.expires, now);
    let LinkUrls { page, stream, playlist } = link.urls(base, mount.as_str());
    let doubt = settings.rules.doubt_about_link(mount);
    let mut response = json(&SignedLink {
        mount: mount.as_str(),
        expires: rfc3339(until),
        page,
        stream,
        playlist,
        doubt: doubt.map(|doubt| format!("{} {doubt}", mount.as_str())),
    });
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
