//! Debian's Icecast beside silvacast under the same load: a client that can read one can read the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Listener, Server, admin, connect, get, get_with, login, read_head};
use crate::daemon::{Daemon, PASSWORD};
use crate::icecast_server::Icecast;
use crate::players::finish;
use crate::process::Running;
use crate::wait::{PATIENCE, until};

const MOUNTS: [&str; 2] = ["/a.opus", "/b.opus"];

/// Permitted differences: the page, the name of the value, the kind of difference, and the reason.
const ACCEPTED: &[(&str, &str, How, &str)] = {
    use How::{Added, Value};
    &[
        ("*", "server_id", Value, "each says its own name"),
        ("*", "server_start", Value, "they did not start in the same second"),
        ("*", "server_start_iso8601", Value, "they did not start in the same second"),
        ("*", "stream_start", Value, "their encoders did not connect in the same second"),
        ("*", "stream_start_iso8601", Value, "their encoders did not connect in the same second"),
        (
            "*",
            "bitrate",
            Added,
            "measured, as some readers take it for granted; Icecast has it only from Ice-Bitrate",
        ),
        ("*", "channels", Added, "read from the stream; Icecast does not look into Opus"),
        ("*", "title", Added, "read from the stream; Icecast does not look into Opus"),
        (
            "status-json.xsl",
            "dummy",
            Added,
            "there whether or not there is a source; Icecast has it only where there is none",
        ),
        ("status-json.xsl", "state", Added, "whether its source is heard"),
        ("status-json.xsl", "state_since_iso8601", Added, "since when"),
        ("status-json.xsl", "silence_inserted_seconds", Added, "what stood in for its source"),
        ("status-json.xsl", "late_dropped_seconds", Added, "what came too late after that"),
        ("stats", "client_connections", Value, "Icecast leaves out some requests that it refused"),
        (
            "stats",
            "clients",
            Value,
            "Icecast counts every client; silvacast counts sources and listeners",
        ),
        ("stats", "connections", Value, "Icecast is asked more often, until it is up"),
        ("stats", "total_bytes_read", Value, "Icecast brings it up to date every few seconds"),
        ("stats", "total_bytes_sent", Value, "Icecast brings it up to date every few seconds"),
        ("listmounts", "Connected", Value, "their encoders did not connect in the same second"),
        ("listclients", "Connected", Value, "their listeners did not connect in the same second"),
        ("listclients", "ID", Value, "each counts for itself"),
        ("listclients", "listeners", Added, "some readers want it in small letters"),
        ("listclients", "@id", Added, "Icecast 2.5 has it there as well"),
    ]
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// Only silvacast has the value.
    Added,
    /// Both have a value of the same kind, but not the same value.
    Value,
}

/// A request that is refused, the status from Icecast, the status from silvacast, and why they differ.
const REFUSALS: &[(&str, u16, u16, &str)] = &[
    ("listclients?mount=/nothing.opus", 400, 400, ""),
    ("listclients", 400, 400, ""),
    ("stats?mount=/nothing.opus", 400, 400, ""),
    ("killclient?mount=/nothing.opus&id=1", 400, 400, ""),
    ("killclient?mount=/a.opus", 400, 400, ""),
    ("killclient?id=1", 400, 400, ""),
    ("killsource?mount=/nothing.opus", 400, 400, ""),
    ("killsource", 400, 400, ""),
    ("metadata?mount=/a.opus", 400, 400, ""),
    ("metadata?mode=updinfo&song=x", 400, 400, ""),
    ("nonsense", 400, 404, "there is no such page"),
];

/// Both servers and their load.
struct Pair {
    icecast: Icecast,
    silvacast: Daemon,
    audio: TempDir,
    encoders: Vec<Running>,
    listeners: Vec<Listener>,
}

impl Pair {
    fn start() -> Self {
        let audio = tempfile::tempdir().unwrap();
        let mut make = Command::new("ffmpeg");
        make.args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "sine=997:r=48000"]);
        make.args(["-t", "5", "-c:a", "libopus", "-metadata", "title=Dusk", "-f", "ogg"]);
        finish(make.arg(audio.path().join("a")));
        // Icecast has no silence that replaces a source.
        let silvacast = Daemon::with(
            "",
            "[server]\nhostname = \"station.example\"\nlocation = \"Wood\"\nadmin = \"me@station.example\"\n\
             [mount-defaults]\ngap = \"end\"",
        );
        let icecast = Icecast::start();
        Self { icecast, silvacast, audio, encoders: Vec::new(), listeners: Vec::new() }
    }

    /// Sends the same audio with the same headers to both; then a listener joins each.
    fn push(&mut self, mount: &str) {
        for port in [self.icecast.port(), self.silvacast.port()] {
            let mut encoder = Command::new("ffmpeg");
            encoder.args(["-nostdin", "-re", "-stream_loop", "-1", "-i"]);
            encoder.arg(self.audio.path().join("a")).args([
                "-c",
                "copy",
                "-page_duration",
                "20000",
            ]);
            for (option, value) in [
                ("content_type", "audio/ogg"),
                ("ice_name", "The pond & co"),
                ("ice_description", "By the reeds"),
                ("ice_genre", "Nature"),
                ("ice_url", "http://pond.example/"),
                ("ice_public", "1"),
                ("user_agent", "Recorder/1"),
            ] {
                encoder.arg(format!("-{option}")).arg(value);
            }
            let url = format!("icecast://source:{PASSWORD}@127.0.0.1:{port}{mount}");
            self.encoders.push(Running::start_quietly(encoder.args(["-f", "ogg", &url])));
        }
        for port in [self.icecast.port(), self.silvacast.port()] {
            until(&format!("a source at {mount}"), PATIENCE, || {
                let said = get(&port, "/status-json.xsl").text();
                if said.contains(mount) { Ok(()) } else { Err(said) }
            });
            self.listeners.push(Listener::join_with(&port, mount, "User-Agent: Ear/1\r\n"));
        }
    }

    /// Reads a page of both until only permitted differences are left; adds the lines of the table that these need.
    fn agree(&self, page: &str, used: &mut BTreeSet<usize>) {
        until(&format!("{page} to agree"), PATIENCE, || {
            let [theirs, ours] = [self.icecast.port(), self.silvacast.port()].map(|port| {
                let answer = get_with(&port, &target(page), &admin());
                let kind = answer.field("content-type").map(ToOwned::to_owned);
                read(&answer, port).map(|document| (kind, document))
            });
            let (theirs, ours) = (theirs?, ours?);
            if theirs.0 != ours.0 {
                return Err(format!("it is {:?}, not {:?}", ours.0, theirs.0));
            }
            let (mut wrong, mut needed) = (String::new(), BTreeSet::new());
            let (theirs, ours) = (theirs.1, ours.1);
            for path in theirs.keys().chain(ours.keys()) {
                let how = match (theirs.get(path), ours.get(path)) {
                    (theirs, ours) if theirs == ours => continue,
                    (None, Some(_)) => How::Added,
                    (Some(theirs), Some(ours)) if theirs.kind() == ours.kind() => How::Value,
                    (theirs, ours) => {
                        let _ = writeln!(wrong, "{path} is {ours:?}, not {theirs:?}");
                        continue;
                    }
                };
                let name = path.rsplit('/').next().unwrap();
                let line = ACCEPTED.iter().position(|&(on, what, h, _)| {
                    (on == "*" || page.starts_with(on)) && what == name && h == how
                });
                if let Some(line) = line {
                    needed.insert(line);
                } else {
                    let (ours, theirs) = (ours.get(path), theirs.get(path));
                    let _ = writeln!(wrong, "{path} is {ours:?}, not {theirs:?}");
                }
            }
            used.extend(needed);
            if wrong.is_empty() { Ok(()) } else { Err(wrong) }
        });
    }
}

fn target(page: &str) -> String {
    if page.starts_with("status") { format!("/{page}") } else { format!("/admin/{page}") }
}

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Null,
    Number(String),
    Text(String),
    /// It contains other values.
    Object,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Null,
    Number,
    Text,
    Object,
    /// `Wed, 25 Nov 2026 19:29:46 +0000`
    Date,
    /// `2026-11-25T19:29:46+0000`
    Iso,
}

impl Said {
    fn kind(&self) -> Kind {
        let shaped = |text: &str, shape: &str| {
            text.len() == shape.len()
                && text.chars().zip(shape.chars()).all(|(c, s)| match s {
                    '0' => c.is_ascii_digit(),
                    'a' => c.is_ascii_alphabetic(),
                    other => c == other,
                })
        };
        match self {
            Self::Null => Kind::Null,
            Self::Number(_) => Kind::Number,
            Self::Object => Kind::Object,
            Self::Text(text) if shaped(text, "aaa, 00 aaa 0000 00:00:00 +0000") => Kind::Date,
            Self::Text(text) if shaped(text, "0000-00-00T00:00:00+0000") => Kind::Iso,
            Self::Text(_) => Kind::Text,
        }
    }

    /// A text of an XML document, which does not mark numbers.
    fn of(text: &str, port: u16) -> Self {
        if text.parse::<f64>().is_ok() {
            Self::Number(text.to_owned())
        } else {
            Self::Text(text.replace(&format!(":{port}/"), ":PORT/"))
        }
    }
}

/// All values of a document by their paths; `PORT` replaces the server's port.
///
/// # Errors
/// The text that came instead of a document.
fn read(answer: &Answer, port: u16) -> Result<BTreeMap<String, Said>, String> {
    let mut all = BTreeMap::new();
    if answer.status != 200 {
        return Err(answer.text());
    }
    if answer.field("content-type").unwrap().starts_with("application/json") {
        let document: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("{error}: {}", answer.text()))?;
        of_json(&document, "", port, &mut all);
    } else {
        of_xml(&answer.text(), port, &mut all);
    }
    Ok(all)
}

fn of_json(value: &Value, path: &str, port: u16, all: &mut BTreeMap<String, Said>) {
    let said = match value {
        Value::Null => Said::Null,
        Value::Number(number) => Said::Number(number.to_string()),
        Value::String(text) => Said::Text(text.replace(&format!(":{port}/"), ":PORT/")),
        Value::Object(object) => {
            for (name, value) in object {
                of_json(value, &format!("{path}/{name}"), port, all);
            }
            Said::Object
        }
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                of_json(value, &format!("{path}[{number}]"), port, all);
            }
            return;
        }
        Value::Bool(_) => panic!("Icecast says nothing of the kind"),
    };
    all.insert(path.to_owned(), said);
}

fn of_xml(text: &str, port: u16, all: &mut BTreeMap<String, Said>) {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut path, mut inside) = (String::new(), String::new());
    let mut parents = false;
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                let mut name = start.name().as_ref().to_owned();
                let mut own = Vec::new();
                for attribute in start.attributes().map(Result::unwrap) {
                    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
                    let value = value.unwrap().into_owned();
                    // The mount identifies a source.
                    if attribute.key.as_ref() == "mount" {
                        name = format!("{name}({})", value.replace('/', ""));
                    } else {
                        own.push((attribute.key.as_ref().to_owned(), value));
                    }
                }
                path = format!("{path}/{name}");
                for (name, value) in own {
                    all.insert(format!("{path}/@{name}"), Said::of(&value, port));
                }
                (inside, parents) = (String::new(), false);
            }
            Event::Text(text) => inside.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) => {
                inside.push_str(quick_xml::escape::resolve_predefined_entity(&entity).unwrap());
            }
            Event::End(_) => {
                let said = if parents { Said::Object } else { Said::of(&inside, port) };
                all.insert(path.clone(), said);
                path.truncate(path.rfind('/').unwrap());
                parents = true;
            }
            Event::Eof => break,
            _ => {}
        }
    }
}

#[test]
fn every_page_of_icecast_has_the_same_values_here() {
    let mut used = BTreeSet::new();
    let mut pair = Pair::start();
    pair.agree("status-json.xsl", &mut used);
    pair.agree("listmounts", &mut used);
    for mount in MOUNTS {
        pair.push(mount);
        pair.agree("status-json.xsl", &mut used);
        for page in ["stats", "stats.xml", "listmounts"] {
            pair.agree(page, &mut used);
        }
        pair.agree(&format!("stats?mount={mount}"), &mut used);
        pair.agree(&format!("listclients?mount={mount}"), &mut used);
    }
    for (line, (page, name, how, _)) in ACCEPTED.iter().enumerate() {
        // Two values may be equal by chance.
        assert!(used.contains(&line) || *how == How::Value, "{name} is nowhere in {page}");
    }
}

#[test]
fn what_icecast_refuses_is_refused_here() {
    let mut pair = Pair::start();
    pair.push(MOUNTS[0]);
    for &(what, theirs, ours, why) in REFUSALS {
        let target = format!("/admin/{what}");
        assert_eq!(get_with(&pair.icecast, &target, &admin()).status, theirs, "Icecast, {what}");
        assert!(ours == theirs || !why.is_empty(), "{what}");
        let answer = get_with(&pair.silvacast, &target, &admin());
        assert_eq!(answer.status, ours, "{what}: {}", answer.text());
        // The sentence that clients look for.
        if get_with(&pair.icecast, &target, &admin()).text().contains("Source does not exist") {
            assert!(answer.text().contains("Source does not exist"), "{what}: {}", answer.text());
        }
    }
    for page in ["stats", "listmounts", "listclients?mount=/a.opus", "killsource?mount=/a.opus"] {
        for port in [pair.icecast.port(), pair.silvacast.port()] {
            let answer = get(&port, &target(page));
            assert_eq!(answer.status, 401, "{page}");
            assert!(answer.field("www-authenticate").unwrap().starts_with("Basic realm=\""));
        }
    }
}

#[test]
fn killing_a_listener_and_a_source_gives_the_same_answers() {
    let mut pair = Pair::start();
    pair.push(MOUNTS[0]);
    let ports = [pair.icecast.port(), pair.silvacast.port()];
    let ask =
        |port: u16, what: &str| read(&get_with(&port, &target(what), &admin()), port).unwrap();
    let same = |what: &str| {
        let [theirs, ours] = ports.map(|port| ask(port, what));
        assert_eq!(theirs, ours, "{what}");
        theirs
    };
    same("killclient?mount=/a.opus&id=4711");
    let [theirs, ours] = [0, 1].map(|which| {
        let port = ports[which];
        let clients = ask(port, "listclients?mount=/a.opus");
        let (_, id) = clients.iter().find(|(path, _)| path.ends_with("/ID")).unwrap();
        let Said::Number(id) = id else { panic!("{id:?} is no number") };
        let killed = ask(port, &format!("killclient?mount=/a.opus&id={id}"));
        pair.listeners[which].last_page();
        let message = killed["/iceresponse/message"].clone();
        let Said::Text(message) = message else { panic!("{message:?}") };
        // Icecast lets it come back at once; silvacast keeps it away for a while.
        let again = format!("GET {} HTTP/1.1\r\nHost: x\r\nUser-Agent: Ear/1\r\n\r\n", MOUNTS[0]);
        let mut socket = connect(&port);
        socket.write_all(again.as_bytes()).unwrap();
        assert_eq!(read_head(&mut socket).status, [200, 403][which]);
        (message.replace(id, "ID"), killed["/iceresponse/return"].clone())
    });
    assert_eq!(theirs, ours);
    assert_eq!(ours, ("Client ID removed".into(), Said::Number("1".into())));
    let killed = same("killsource?mount=/a.opus");
    assert_eq!(killed["/iceresponse/message"], Said::Text("Source Removed".into()));
    until("the end of the source", PATIENCE, || {
        let [theirs, ours] = ports.map(|port| get(&port, "/status-json.xsl").text());
        if [&theirs, &ours].iter().any(|text| text.contains("/a.opus")) {
            return Err(format!("{theirs}\n{ours}"));
        }
        Ok(())
    });
    // A source may come back at once, in both.
    for port in ports {
        let mut socket = connect(&port);
        let fields = format!("{}Content-Type: audio/ogg\r\n", login(PASSWORD));
        write!(socket, "SOURCE /a.opus HTTP/1.0\r\n{fields}\r\n").unwrap();
        assert_eq!(read_head(&mut socket).status, 200);
    }
}
