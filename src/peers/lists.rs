//! What other servers list: the stream list and the status of Icecast, and the events of silvacast. Pure: from text to
//! names.
//!
//! A list comes from another server, so it may be anything. What is not a valid name is left out.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::limits::MAX_LISTED;
use crate::mount::Name;

/// A change of what another server lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedMounts {
    /// These are all.
    All(Vec<Name>),
    /// This one is there.
    There(Name),
    /// This one is not.
    Gone(Name),
}

/// The mounts of a `streamlist.txt`: a name on each line.
pub fn stream_list(text: &str) -> Vec<Name> {
    text.lines().filter_map(|line| Name::new(line.trim()).ok()).take(MAX_LISTED).collect()
}

/// The mounts of a `status-json.xsl`: the paths of its listen URLs. `prefix` is what the server has in
/// front of every path. `None` if the text is not such a document.
pub fn status_mounts(text: &str, prefix: &str) -> Option<Vec<Name>> {
    #[derive(Deserialize)]
    struct StatusDocument {
        icestats: StatusSources,
    }
    #[derive(Deserialize)]
    struct StatusSources {
        // As in Icecast, a single source is an object.
        #[serde(default)]
        source: Elements<StatusSource>,
    }
    #[derive(Deserialize)]
    struct StatusSource {
        listenurl: Option<String>,
    }
    let document: StatusDocument = serde_json::from_str(text).ok()?;
    let name = |source: &StatusSource| {
        let url = source.listenurl.as_ref()?;
        let (_, rest) = url.split_once("://")?;
        let path = &rest[rest.find('/')?..];
        let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        Name::new(path.strip_prefix(prefix).unwrap_or(&path)).ok()
    };
    Some(document.icestats.source.0.iter().filter_map(name).collect())
}

/// What an event of silvacast says about the mounts that it lists. `None` if it says nothing about
/// that.
pub fn event_lines(event: &str, data: &str) -> Option<ListedMounts> {
    #[derive(Deserialize)]
    struct EventMount {
        name: String,
        state: Option<String>,
        access: Option<String>,
    }
    #[derive(Deserialize)]
    struct AllMounts {
        mounts: Elements<EventMount>,
        #[serde(default)]
        off: Elements<EventMount>,
    }
    // Nobody can hear it there.
    let is_open = |mount: &EventMount| mount.access.as_deref() != Some("closed");
    let is_idle = |mount: &EventMount| mount.state.as_deref() == Some("idle");
    match event {
        "mounts" => {
            let all: AllMounts = serde_json::from_str(data).ok()?;
            let open = all.mounts.0.into_iter().filter(is_open);
            let there = open.chain(all.off.0.into_iter().filter(is_idle));
            Some(ListedMounts::All(there.filter_map(|mount| Name::new(&mount.name).ok()).collect()))
        }
        "up" | "down" | "gone" => {
            let mount: EventMount = serde_json::from_str(data).ok()?;
            let name = Name::new(&mount.name).ok()?;
            let is_there = event == "up" && is_open(&mount) || event == "down" && is_idle(&mount);
            Some(if is_there { ListedMounts::There(name) } else { ListedMounts::Gone(name) })
        }
        _ => None,
    }
}

/// The first [`MAX_LISTED`] elements of an array; or what stands alone in place of an array.
struct Elements<T>(Vec<T>);

impl<T> Default for Elements<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Elements<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementsVisitor(PhantomData))
    }
}

struct ElementsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ElementsVisitor<T> {
    type Value = Elements<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, or an array of them")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Elements::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(Elements(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < MAX_LISTED {
            let Some(element) = array.next_element()? else { return Ok(Elements(elements)) };
            elements.push(element);
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Elements(elements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[Name]) -> Vec<&str> {
        names.iter().map(Name::as_str).collect()
    }

    #[test]
    fn names_of_all_kinds_of_lists_are_read() {
        let list = stream_list("/a.opus\r\n/b/c.opus\n\n/../etc\n<html>\n/admin/x\n");
        assert_eq!(names(&list), ["/a.opus", "/b/c.opus"]);
        let one =
            r#"{"icestats":{"source":{"listenurl":"http://h:8000/a%20b.opus"},"dummy":null}}"#;
        assert_eq!(names(&status_mounts(one, "").unwrap()), ["/a b.opus"]);
        let two =
            r#"{"icestats":{"source":[{"listenurl":"http://h/s/a"},{"x":1},{"listenurl":"h"}]}}"#;
        assert_eq!(names(&status_mounts(two, "/s").unwrap()), ["/a"]);
        for none in [r#"{"icestats":{}}"#, r#"{"icestats":{"source":null}}"#] {
            assert_eq!(status_mounts(none, ""), Some(Vec::new()), "{none}");
        }
        let many = r#"{"listenurl":"http://h/a"},"#.repeat(2000);
        let many = format!(r#"{{"icestats":{{"source":[{many}{{}}]}}}}"#);
        assert_eq!(status_mounts(&many, "").unwrap().len(), MAX_LISTED);
        for other in ["", "<html>", "[]", r#"{"icestats":1}"#] {
            assert_eq!(status_mounts(other, ""), None, "{other}");
        }
    }

    #[test]
    fn events_tell_which_mounts_are_there() {
        let all = r#"{"mounts":[{"name":"/a","state":"gap"}],"off":[{"name":"/b","state":"off"},{"name":"/c","state":"idle"}]}"#;
        let Some(ListedMounts::All(all)) = event_lines("mounts", all) else { panic!() };
        assert_eq!(names(&all), ["/a", "/c"]);
        let a = || Name::new("/a").unwrap();
        for (event, data, expected) in [
            ("up", r#"{"name":"/a","state":"live"}"#, Some(ListedMounts::There(a()))),
            ("up", r#"{"name":"/a","access":"closed"}"#, Some(ListedMounts::Gone(a()))),
            ("down", r#"{"name":"/a","state":"off"}"#, Some(ListedMounts::Gone(a()))),
            ("down", r#"{"name":"/a","state":"idle"}"#, Some(ListedMounts::There(a()))),
            ("gone", r#"{"name":"/a"}"#, Some(ListedMounts::Gone(a()))),
            ("up", r#"{"name":"../a"}"#, None),
            ("up", "{", None),
            ("title", r#"{"name":"/a"}"#, None),
        ] {
            assert_eq!(event_lines(event, data), expected, "{event} {data}");
        }
    }
}
