//! Playlists such as `/mic-x.opus.m3u`: extended M3U files that contain the URL of a stream.

use std::sync::Arc;

use super::render::url_path;
use super::response::{HttpResponse, document};
use crate::mount::{MountEntry, MountTable, Name, StreamInfo};

/// Finds the mount whose playlist has this path.
pub(super) fn mount(path: &str, table: &MountTable) -> Option<(Arc<MountEntry>, Arc<StreamInfo>)> {
    let name = Name::new(path.strip_suffix(".m3u")?).ok()?;
    let entry = table.find(&name)?;
    Some((Arc::clone(&entry), entry.stream()?))
}

/// Renders the playlist of a mount. Names and titles were sanitized and contain no line breaks, so
/// they cannot add lines to it.
pub(super) fn render(base_url: &str, entry: &MountEntry, stream: &StreamInfo) -> HttpResponse {
    let name = entry.name.as_str();
    let description = entry.description(stream);
    let title = description.name.as_deref().or(stream.tags.title.as_deref()).unwrap_or(name);
    let text = format!("#EXTM3U\r\n#EXTINF:-1,{title}\r\n{base_url}{}\r\n", url_path(name));
    document("audio/x-mpegurl; charset=utf-8", text)
}
