//! The documents as they are sent: with the current version of the files, and with players for
//! browsers without scripts.

use super::assets::ASSETS;
use crate::control::xml::escape;
use crate::http::encoded_path;

/// Where the documents want the microphones for browsers without scripts.
pub(super) const MICROPHONES: &str = "<!-- microphones -->";

/// What the documents call the station, before the end of an element, if it has no name.
const STATION: &str = "silvacast";

/// What a document shows of the station.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    /// What the station is called.
    pub station: Option<&'a str>,
    /// What a browser without scripts can play.
    pub microphones: &'a [Microphone<'a>],
}

/// A microphone that a browser without scripts can play.
#[derive(Clone, Debug)]
pub(crate) struct Microphone<'a> {
    /// Its mount, with the leading slash.
    pub mount: &'a str,
    /// What people call it.
    pub title: String,
}

/// The document in the file `name`, or `None` if there is no such file.
pub(super) fn render(name: &str, shown: Shown<'_>) -> Option<String> {
    let text = String::from_utf8(ASSETS.find(name)?.plain()).ok()?;
    let players: String = shown.microphones.iter().map(player).collect();
    let mut text = text;
    for folder in ["\"web/", "\"../web/"] {
        text = text.replace(folder, &format!("{folder}{}/", ASSETS.version));
    }
    if let Some(station) = shown.station {
        let station = escape(station);
        for end in ["</title>", "</p>"] {
            text = text.replace(&format!("{STATION}{end}"), &format!("{station}{end}"));
        }
    }
    // Last, because the names of microphones are not part of the document.
    Some(text.replace(MICROPHONES, &players))
}

fn player(microphone: &Microphone<'_>) -> String {
    let path = encoded_path(microphone.mount.trim_start_matches('/'));
    let title = escape(&microphone.title);
    format!(
        "<p><a href=\"{path}\">{title}</a><audio controls preload=none src=\"{path}\"></audio></p>"
    )
}
