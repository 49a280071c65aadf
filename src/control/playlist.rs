//! `/mic-x.opus.m3u`: a file that players open and that has the stream's URL in it.

use std::sync::Arc;

use super::render::url_path;
use super::response::{HttpResponse, document};
use crate::mount::{MountEntry, Name, StreamInfo, Table};

/// The mount whose playlist this path is.
pub(super) fn mount(path: &str, table: &Table) -> Option<(Arc<MountEntry>, Arc<StreamInfo>)> {
    let name = Name::new(path.strip_suffix(".m3u")?).ok()?;
    let entry = table.find(&name)?;
    Some((Arc::clone(&entry), entry.stream()?))
}

/// The playlist; a title is whatever its line says, so it has no line break in it.
pub(super) fn render(base: &str, entry: &MountEntry, stream: &StreamInfo) -> HttpResponse {
    let name = entry.name.as_str();
    let title =
        stream.source.description.name.as_deref().or(stream.tags.title.as_deref()).unwrap_or(name);
    let text = format!("#EXTM3U\r\n#EXTINF:-1,{title}\r\n{base}{}\r\n", url_path(name));
    document("audio/x-mpegurl; charset=utf-8", text)
}
