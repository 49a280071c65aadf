//! The access log: one line in the combined log format for each listener that left, for tools that
//! count visitors. The seconds connected are appended, as Icecast's `logging.c` does.

use time::OffsetDateTime;
use time::macros::format_description;

use super::journal::LISTENER_LEFT;
use super::record::Record;

/// The line for a `listener-left` event; `None` for all other events.
pub(super) fn line(record: &Record) -> Option<String> {
    let value = |name| record.value(name);
    if value("event")? != LISTENER_LEFT.name {
        return None;
    }
    let at = OffsetDateTime::from(record.at);
    let format =
        format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    // The client chose these values. A quote must not end the quoted field.
    let escape = |text: String| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (mount, agent) = (escape(value("mount")?), escape(value("agent")?));
    let agent = if agent.is_empty() { "-" } else { &agent };
    Some(format!(
        "{} - - [{}] \"GET {} HTTP/1.0\" 200 {} \"-\" \"{agent}\" {}",
        value("peer")?,
        at.format(format).ok()?,
        mount.replace(' ', "%20"),
        value("bytes")?,
        value("seconds")?,
    ))
}
