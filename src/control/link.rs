//! `/api/v1/mounts/NAME/link`: for the administrator, a link that opens a mount for a limited time.
//!
//! The same as `silvacast share` prints. Nothing is stored: a link is valid because of its signature.

use std::time::SystemTime;

use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;

use super::render::rfc3339;
use super::response::{HttpResponse, json};
use super::settings::ControlSettings;
use crate::auth::{Link, LinkUrls};
use crate::http::Reply;
use crate::mount::Name;
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

/// A link to a mount of the server with this URL, which is valid for as long as the parameter `for` says.
///
/// # Errors
/// The reply to send: with status 400 if the time is not allowed, and 409 if the server has no key.
pub(super) fn respond(
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
    let until = SystemTime::now() + time;
    let LinkUrls { page, stream, playlist } =
        Link::sign(mount.as_str(), until, key).urls(base, mount.as_str());
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
