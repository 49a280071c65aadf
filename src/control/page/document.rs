//! The two documents of the page as they are sent: with the current version of the files, and with players for
//! browsers without scripts.

use super::assets::Assets;
use crate::control::url_path;
use crate::control::xml::escape;

/// Where the documents want the microphones for browsers without scripts.
pub(super) const MICROPHONES: &str = "<!-- microphones -->";

/// A microphone that a browser without scripts can play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Microphone<'a> {
    /// Its mount, with the leading slash.
    pub mount: &'a str,
    /// What people call it.
    pub title: &'a str,
}

/// The document in the file `name`, or `None` if there is no such file.
pub(super) fn render(name: &str, microphones: &[Microphone<'_>]) -> Option<String> {
    let assets = Assets::get();
    let text = std::str::from_utf8(&assets.find(name)?.plain).ok()?;
    let players: String = microphones.iter().map(player).collect();
    let versioned = format!("\"web/{}/", assets.version);
    Some(text.replace("\"web/", &versioned).replace(MICROPHONES, &players))
}

fn player(microphone: &Microphone<'_>) -> String {
    let path = url_path(microphone.mount.trim_start_matches('/'));
    let title = escape(microphone.title);
    format!(
        "<p><a href=\"{path}\">{title}</a><audio controls preload=none src=\"{path}\"></audio></p>"
    )
}
