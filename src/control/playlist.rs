//! Playlists that contain the URL of a stream: extended M3U, such as `/mic-x.opus.m3u`, and XSPF.

use std::sync::Arc;

use super::render::url_query;
use super::response::{HttpResponse, document};
use super::xml::Xml;
use crate::http::encoded_path;
use crate::mount::{MountEntry, MountTable, Name, StreamInfo};

/// The formats of playlists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    /// Extended M3U.
    M3u,
    /// XML Shareable Playlist Format, version 1.
    Xspf,
}

/// A mount and its stream.
type MountAndStream = (Arc<MountEntry>, Arc<StreamInfo>);

/// Finds the mount whose playlist has this path.
pub(super) fn mount(path: &str, table: &MountTable) -> Option<(Format, MountAndStream)> {
    let m3u = path.strip_suffix(".m3u").map(|name| (Format::M3u, name));
    let xspf = || path.strip_suffix(".xspf").map(|name| (Format::Xspf, name));
    let (format, name) = m3u.or_else(xspf)?;
    let entry = table.find(&Name::new(name).ok()?)?;
    let stream = entry.stream()?;
    Some((format, (entry, stream)))
}

/// Renders the playlist of a mount. Names and titles were sanitized and contain no line breaks, so
/// they cannot add lines to it. The URL has the playlist's `query`, so that a token or a signed
/// link for the playlist opens the stream too.
pub(super) fn render(
    format: Format,
    base_url: &str,
    query: &str,
    (entry, stream): &MountAndStream,
) -> HttpResponse {
    let name = entry.name.as_str();
    let description = entry.description(stream);
    let title = description.name.as_deref().or(stream.tags.title.as_deref()).unwrap_or(name);
    let url = format!("{base_url}{}{}", encoded_path(name), url_query(query));
    match format {
        Format::M3u => {
            let text = format!("#EXTM3U\r\n#EXTINF:-1,{title}\r\n{url}\r\n");
            document("audio/x-mpegurl; charset=utf-8", text)
        }
        Format::Xspf => {
            let attributes = [("version", "1"), ("xmlns", "http://xspf.org/ns/0/")];
            let text = Xml::document("playlist", &attributes, |xml| {
                xml.element("trackList", &[], |xml| {
                    xml.element("track", &[], |xml| {
                        xml.value("location", url);
                        xml.value("title", title);
                    });
                });
            });
            document("application/xspf+xml; charset=utf-8", text)
        }
    }
}
