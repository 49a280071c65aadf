//! `/mic-x.opus.m3u`: a file that players open and that has the stream's URL in it.

use std::sync::Arc;

use super::answer::{Answer, document};
use super::status::path;
use crate::mount::{Live, Name, Slot, Table};

/// The mount whose playlist this path is.
pub(super) fn mount(path: &str, table: &Table) -> Option<(Arc<Slot>, Arc<Live>)> {
    let name = Name::new(path.strip_suffix(".m3u")?).ok()?;
    let slot = table.find(&name)?;
    Some((Arc::clone(&slot), slot.live()?))
}

/// The playlist; a title is whatever its line says, so it has no line break in it.
pub(super) fn render(base: &str, slot: &Slot, live: &Live) -> Answer {
    let name = slot.name.as_str();
    let title = live.description.name.as_deref().or(live.tags.title.as_deref()).unwrap_or(name);
    let text = format!("#EXTM3U\r\n#EXTINF:-1,{title}\r\n{base}{}\r\n", path(name));
    document("audio/x-mpegurl; charset=utf-8", text)
}
