//! The combined log format, with the seconds connected at its end as Icecast writes it (`logging.c`), for tools
//! that count visitors.

use time::OffsetDateTime;
use time::macros::format_description;

use super::journal::LISTENER_LEFT;
use super::record::Record;

/// The line of a listener that has left; `None` for all other events.
pub(super) fn line(record: &Record) -> Option<String> {
    let value = |name| record.value(name);
    if value("event")? != LISTENER_LEFT.name {
        return None;
    }
    let at = OffsetDateTime::from(record.at);
    let format =
        format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    // What a client chose stands in quotes, and in a field of its own, whatever it is.
    let clean = |text: String| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (mount, agent) = (clean(value("mount")?), clean(value("agent")?));
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
