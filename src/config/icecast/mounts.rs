//! Converts the mounts, and what holds for all of them.

use super::super::kinds::quoted;
use super::super::mounts::{MAX_LISTENERS, SOURCE_TIMEOUT};
use super::super::reader::Problem;
use super::Converted;
use super::xml::Element;

impl Converted {
    pub(super) fn mounts(&mut self, root: Element<'_>) {
        let mounts = || root.children().filter(|element| element.name() == "mount");
        let is_default = |mount: &Element<'_>| mount.attribute("type") == Some("default");
        let mut defaults = mounts().filter(is_default);
        let default = defaults.next();
        if let Some(second) = defaults.next() {
            self.problem(second, "duplicate <mount type=\"default\">");
        }
        self.defaults(root, default);
        for mount in mounts().filter(|mount| !is_default(mount)) {
            self.section(mount.line(), "[[mount]]");
            self.name(mount);
            self.headers(&[mount]);
            self.mount(mount);
        }
    }

    /// Reads `Access-Control-Allow-Origin`, of the first parent that has it. Other fields are not
    /// supported.
    fn headers(&mut self, parents: &[Element<'_>]) {
        let mut found = false;
        let all = parents.iter().flat_map(|parent| parent.children());
        for header in all.filter(|e| e.name() == "http-headers").flat_map(Element::children) {
            let name = header.attribute("name").unwrap_or_default();
            if !name.eq_ignore_ascii_case("Access-Control-Allow-Origin") {
                let text = format!("<header name=\"{name}\"> is not supported and is ignored");
                self.ignored.push(Problem { line: Some(header.line()), text });
            } else if !std::mem::replace(&mut found, true) {
                let origin = header.attribute("value").unwrap_or_default().trim();
                self.line(header.line(), &format!("allow_origin = {}", quoted(origin)));
            }
        }
    }

    fn defaults(&mut self, root: Element<'_>, default: Option<Element<'_>>) {
        self.section(0, "[mount-defaults]");
        for element in root.child("limits").into_iter().flat_map(Element::children) {
            match element.name() {
                // The default mount overrides the limits.
                "source-timeout"
                    if default.is_some_and(|mount| mount.child("source-timeout").is_some()) => {}
                "source-timeout" => self.seconds(&SOURCE_TIMEOUT, element),
                "burst-on-connect" if !element.is_on() => {
                    self.line(element.line(), "burst = \"0ms\"");
                }
                _ => {}
            }
        }
        let parents: Vec<_> = default.into_iter().chain([root]).collect();
        self.headers(&parents);
        if let Some(default) = default {
            if let Some(name) = default.child("mount-name") {
                self.problem(
                    name,
                    "<mount-name> in <mount type=\"default\"> is not supported; remove it to apply \
                     the element to all mounts, or remove type=\"default\" to apply it to these",
                );
            }
            self.mount(default);
        }
    }

    fn name(&mut self, mount: Element<'_>) {
        let Some(name) = mount.child("mount-name") else {
            let text = "<mount> requires <mount-name>, unless it has type=\"default\"";
            return self.problem(mount, text);
        };
        // In Icecast 2.4 several * are like one, which stays within a path segment as it does here.
        let mut characters: Vec<_> = name.text().chars().collect();
        characters.dedup_by(|next, before| *next == '*' && *before == '*');
        let text: String = characters.into_iter().collect();
        self.line(name.line(), &format!("name = {}", quoted(&text)));
    }

    fn mount(&mut self, mount: Element<'_>) {
        let closes = |element: &Element<'_>| match element.name() {
            "no-mount" => element.is_on(),
            // In Icecast 0 admits nobody, and -1 is no limit.
            "max-listeners" => element.text().parse() == Ok(0_i64),
            _ => false,
        };
        if let Some(closing) = mount.children().find(closes) {
            self.line(closing.line(), "access = \"closed\"");
        }
        for element in mount.children() {
            match element.name() {
                "mount-name" | "no-mount" | "http-headers" => {}
                "username" => self.text("source_user", element),
                "stream-name" => self.label("title", element),
                "stream-description" => self.label("description", element),
                "stream-url" => self.label("url", element),
                "genre" => self.label("genre", element),
                "password" => self.secret("source_password", element),
                // 0 closes the mount, and a number below is no limit.
                "max-listeners" if element.text().parse().is_ok_and(|number: i64| number <= 0) => {}
                "max-listeners" => self.number(&MAX_LISTENERS, element),
                "source-timeout" => self.seconds(&SOURCE_TIMEOUT, element),
                "hidden" => {
                    if element.is_on() {
                        self.line(element.line(), "hidden = true");
                    }
                }
                "authentication" => self.problem(
                    element,
                    "<authentication> in a <mount> is not supported; use access = \"password\" \
                     and a listeners_file of bcrypt hashes (`htpasswd -B`) in a configuration in \
                     TOML (check --print-toml converts this file once the element is removed)",
                ),
                "allow-ip" => self.addresses("allow", element),
                "deny-ip" => self.addresses("deny", element),
                _ => self.ignore(element, "mount"),
            }
        }
    }
}
