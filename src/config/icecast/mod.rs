//! Icecast's own `icecast.xml`, turned into a configuration of ours.
//!
//! It becomes a document in TOML, line by line, so that there is one way to read a configuration and one way to
//! say what is wrong with it; each line remembers where it came from. What has no meaning here is listed.
//! What would leave a door open if it were passed over is honoured, or an error.

mod element;

use std::path::Path;

use element::{Element, parse};

use super::files::read_file;
use super::kinds::quoted;
use super::reader::Problem;
use crate::text::entries;

/// Whether a text is such a file.
pub(super) fn is_xml(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('<')
}

/// What is read once in each element: of two, one would be passed over.
const ONCE: [&str; 27] = [
    "admin",
    "admin-password",
    "admin-user",
    "allow-ip",
    "authentication",
    "bind-address",
    "burst-on-connect",
    "changeowner",
    "chroot",
    "clients",
    "deny-ip",
    "header-timeout",
    "hidden",
    "hostname",
    "limits",
    "location",
    "max-listeners",
    "mount-name",
    "no-mount",
    "password",
    "paths",
    "port",
    "security",
    "source-password",
    "source-timeout",
    "sources",
    "username",
];

/// The same configuration in TOML.
pub(super) struct Converted {
    /// The document.
    pub toml: String,
    /// For each of its lines, the line that it comes from.
    lines: Vec<usize>,
    /// What has no meaning here.
    pub ignored: Vec<Problem>,
    problems: Vec<Problem>,
}

/// Converts a file.
///
/// # Errors
/// Everything that cannot be honoured, and what is no XML.
pub(super) fn convert(text: &str) -> Result<Converted, Vec<Problem>> {
    let root = parse(text).map_err(|problem| vec![problem])?;
    let mut converted = Converted {
        toml: String::new(),
        lines: Vec::new(),
        ignored: Vec::new(),
        problems: Vec::new(),
    };
    if root.name != "icecast" {
        converted.problem(
            root.line,
            format!("<{}> is no Icecast configuration; it begins with <icecast>", root.name),
        );
    }
    converted.once(&root);
    converted.server(&root);
    converted.ignored.sort_by_key(|ignored| ignored.line);
    if converted.problems.is_empty() { Ok(converted) } else { Err(converted.problems) }
}

impl Converted {
    /// Problems of the document in terms of the file that it comes from.
    pub(super) fn relocate(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let line = |toml: usize| self.lines.get(toml - 1).copied().filter(|&line| line > 0);
        problems
            .into_iter()
            .map(|problem| Problem { line: problem.line.and_then(line), ..problem })
            .collect()
    }

    fn problem(&mut self, line: usize, text: String) {
        self.problems.push(Problem { line: Some(line), text });
    }

    fn once(&mut self, element: &Element) {
        for (number, child) in element.children.iter().enumerate() {
            let before = &element.children[..number];
            if ONCE.contains(&child.name.as_str()) && before.iter().any(|b| b.name == child.name) {
                self.problem(child.line, format!("<{}> is there twice", child.name));
            }
            self.once(child);
        }
    }

    fn ignore(&mut self, element: &Element, within: &str) {
        let text = format!("<{}> in <{within}> has no meaning here", element.name);
        self.ignored.push(Problem { line: Some(element.line), text });
    }

    /// A line of the document; 0 for one that comes from nowhere.
    fn line(&mut self, from: usize, text: &str) {
        self.toml.push_str(text);
        self.toml.push('\n');
        self.lines.push(from);
    }

    fn section(&mut self, from: usize, head: &str) {
        self.line(0, "");
        self.line(from, head);
    }

    fn text(&mut self, key: &str, element: &Element) {
        self.line(element.line, &format!("{key} = {}", quoted(element.text.trim())));
    }

    /// A number as it is, so that what is none is complained of by whoever knows what is allowed.
    fn number(&mut self, key: &str, element: &Element) {
        let text = element.text.trim();
        let value = if text.parse::<i64>().is_ok() { text.to_owned() } else { quoted(text) };
        self.line(element.line, &format!("{key} = {value}"));
    }

    fn seconds(&mut self, key: &str, element: &Element) {
        let text = element.text.trim();
        let value = if text.parse::<u64>().is_ok() { format!("{text}s") } else { text.to_owned() };
        self.line(element.line, &format!("{key} = {}", quoted(&value)));
    }

    fn server(&mut self, root: &Element) {
        self.listen(root);
        self.paths(root);
        let known = [
            "location",
            "admin",
            "hostname",
            "limits",
            "authentication",
            "listen-socket",
            "port",
            "bind-address",
            "mount",
            "paths",
            "security",
        ];
        for element in
            root.children.iter().filter(|element| !known.contains(&element.name.as_str()))
        {
            self.ignore(element, "icecast");
        }
        self.section(0, "[server]");
        for name in ["hostname", "location", "admin"] {
            if let Some(element) = root.child(name) {
                self.text(name, element);
            }
        }
        self.authentication(root);
        self.security(root);
        let limits = root.child("limits");
        self.limits(limits);
        let mounts = || root.children.iter().filter(|element| element.name == "mount");
        let mut defaults = mounts().filter(|mount| mount.attribute("type") == Some("default"));
        let default = defaults.next();
        if let Some(second) = defaults.next() {
            self.problem(second.line, "a second <mount type=\"default\"> is one too many".into());
        }
        self.section(0, "[mount-defaults]");
        for element in limits.iter().flat_map(|limits| &limits.children) {
            match element.name.as_str() {
                // What a mount says of itself goes before what the server says.
                "source-timeout"
                    if default.is_some_and(|d| d.child("source-timeout").is_some()) => {}
                "source-timeout" => self.seconds("source_timeout", element),
                "burst-on-connect" if !element.is_on() => {
                    self.line(element.line, "burst = \"0ms\"");
                }
                _ => {}
            }
        }
        if let Some(default) = default {
            self.mount(default);
        }
        for mount in mounts().filter(|mount| mount.attribute("type") != Some("default")) {
            self.section(mount.line, "[[mount]]");
            match mount.child("mount-name") {
                // What Icecast takes for a pattern must not become a name that nobody has.
                Some(name) if name.text.contains(['?', '[', ']']) => self.problem(
                    name.line,
                    format!(
                        "<mount-name>{}</mount-name>: of patterns only * is understood here",
                        name.text.trim()
                    ),
                ),
                // Icecast's star goes over slashes.
                Some(name) => {
                    let pattern = quoted(&name.text.trim().replace('*', "**"));
                    self.line(name.line, &format!("name = {pattern}"));
                }
                None => self.problem(
                    mount.line,
                    "a <mount> needs a <mount-name>, unless its type is default".into(),
                ),
            }
            self.mount(mount);
        }
    }

    fn listen(&mut self, root: &Element) {
        let mut addresses = Vec::new();
        let mut first = 0;
        let mut listen = |port: &Element, address: Option<&Element>| {
            let address = address.map_or("0.0.0.0", |address| address.text.trim());
            let host =
                if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            addresses.push(quoted(&format!("{host}:{}", port.text.trim())));
            first = if first == 0 { port.line } else { first };
        };
        if let Some(port) = root.child("port") {
            listen(port, root.child("bind-address"));
        }
        let sockets: Vec<_> =
            root.children.iter().filter(|element| element.name == "listen-socket").collect();
        for socket in &sockets {
            if let Some(port) = socket.child("port") {
                listen(port, socket.child("bind-address"));
            }
        }
        for socket in sockets {
            if socket.child("port").is_none() {
                self.problem(socket.line, "a <listen-socket> needs a <port>".into());
            }
            for element in &socket.children {
                match element.name.as_str() {
                    "port" | "bind-address" => {}
                    "ssl" | "tls" if element.is_on() => self.problem(
                        element.line,
                        format!("<{}> cannot be honoured: silvacast speaks no TLS; put a proxy such as Caddy in front", element.name),
                    ),
                    "authentication" => self.problem(
                        element.line,
                        "<authentication> on a <listen-socket> cannot be honoured; say who may listen with the mounts, or who may connect with <allow-ip>".into(),
                    ),
                    _ => self.ignore(element, "listen-socket"),
                }
            }
        }
        if !addresses.is_empty() {
            self.line(first, &format!("listen = [{}]", addresses.join(", ")));
        }
    }

    /// `allow-ip` and `deny-ip` are honoured; an alias of everything below one path is a prefix.
    fn paths(&mut self, root: &Element) {
        let Some(paths) = root.child("paths") else { return };
        let mut prefixes = Vec::new();
        for element in &paths.children {
            match element.name.as_str() {
                "allow-ip" => self.addresses("allow", element),
                "deny-ip" => self.addresses("deny", element),
                "alias" => {
                    let (from, to) = (
                        element.attribute("source"),
                        element.attribute("destination").or(element.attribute("dest")),
                    );
                    match (from, to) {
                        (Some(from), Some(to))
                            if from.ends_with(to) && from.len() > to.len() && to.len() > 1 =>
                        {
                            prefixes.push((element.line, from[..from.len() - to.len()].to_owned()));
                        }
                        _ => self.ignore(element, "paths"),
                    }
                }
                // Where Icecast's own files are.
                _ => {}
            }
        }
        let Some((line, prefix)) = prefixes.first().cloned() else { return };
        if prefixes.iter().all(|(_, other)| *other == prefix) {
            self.line(line, &format!("path_prefix = {}", quoted(&prefix)));
        } else {
            self.problem(
                line,
                "the aliases have different prefixes; silvacast has one, path_prefix".into(),
            );
        }
    }

    fn addresses(&mut self, key: &str, element: &Element) {
        let path = element.text.trim();
        match read_file(Path::new(path)) {
            Ok(text) => {
                let list: Vec<_> = entries(&text).map(|(_, line)| quoted(line)).collect();
                self.line(element.line, &format!("{key} = [{}]", list.join(", ")));
                if key == "allow" && list.is_empty() {
                    self.problem(
                        element.line,
                        format!("<allow-ip>{path}</allow-ip> allows nobody"),
                    );
                }
            }
            Err(error) => self.problem(
                element.line,
                format!("<{}>{path}</{0}> cannot be read: {error}", element.name),
            ),
        }
    }

    fn authentication(&mut self, root: &Element) {
        self.section(0, "[auth]");
        let Some(authentication) = root.child("authentication") else { return };
        for element in &authentication.children {
            match element.name.as_str() {
                "source-password" => self.text("source_password", element),
                "admin-user" => self.text("admin_user", element),
                "admin-password" => self.text("admin_password", element),
                // For servers that fetch streams from each other.
                "relay-user" | "relay-password" => {}
                "role" => self.problem(
                    element.line,
                    "<role> cannot be honoured; say who may listen with access = \"password\", \"token\" or \"closed\" in a configuration of silvacast's own".into(),
                ),
                _ => self.ignore(element, "authentication"),
            }
        }
    }

    fn security(&mut self, root: &Element) {
        self.section(0, "[process]");
        let Some(security) = root.child("security") else { return };
        for element in &security.children {
            match element.name.as_str() {
                "chroot" if element.is_on() => self.problem(
                    element.line,
                    "<chroot> cannot be honoured: the unit shuts silvacast in (ProtectSystem=, RootDirectory=); set it to 0".into(),
                ),
                "chroot" => {}
                "changeowner" => {
                    if let Some(user) = element.child("user") {
                        self.text("user", user);
                    }
                }
                _ => self.ignore(element, "security"),
            }
        }
    }

    fn limits(&mut self, limits: Option<&Element>) {
        self.section(0, "[limits]");
        for element in limits.iter().flat_map(|limits| &limits.children) {
            match element.name.as_str() {
                "clients" => self.number("listeners", element),
                "sources" => self.number("sources", element),
                "header-timeout" => self.seconds("head_timeout", element),
                // Said with the mounts' defaults.
                "source-timeout" | "burst-on-connect" => {}
                _ => self.ignore(element, "limits"),
            }
        }
    }

    fn mount(&mut self, mount: &Element) {
        let closes = |element: &&Element| match element.name.as_str() {
            "no-mount" => element.is_on(),
            // Icecast's 0 is nobody, and its -1 no limit.
            "max-listeners" => element.text.trim() == "0",
            _ => false,
        };
        if let Some(closing) = mount.children.iter().find(closes) {
            self.line(closing.line, "access = \"closed\"");
        }
        for element in &mount.children {
            match element.name.as_str() {
                "mount-name" | "no-mount" => {}
                "username" => self.text("source_user", element),
                "password" => self.text("source_password", element),
                "max-listeners" if matches!(element.text.trim(), "-1" | "0") => {}
                "max-listeners" => self.number("max_listeners", element),
                "source-timeout" => self.seconds("source_timeout", element),
                "hidden" => {
                    if element.is_on() {
                        self.line(element.line, "hidden = true");
                    }
                }
                "authentication" => self.problem(
                    element.line,
                    "<authentication> on a mount cannot be honoured as it is: say access = \"password\" with a listeners_file of bcrypt hashes (htpasswd -B) in a configuration of silvacast's own (check --print-toml makes one of this file without it)".into(),
                ),
                "allow-ip" => self.addresses("allow", element),
                "deny-ip" => self.addresses("deny", element),
                _ => self.ignore(element, "mount"),
            }
        }
    }
}
