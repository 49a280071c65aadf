//! Converts the mounts, and what holds for all of them.

use super::super::kinds::quoted;
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
            self.mount(mount);
        }
    }

    fn defaults(&mut self, root: Element<'_>, default: Option<Element<'_>>) {
        self.section(0, "[mount-defaults]");
        for element in root.child("limits").into_iter().flat_map(Element::children) {
            match element.name() {
                // The default mount overrides the limits.
                "source-timeout"
                    if default.is_some_and(|mount| mount.child("source-timeout").is_some()) => {}
                "source-timeout" => self.seconds("source_timeout", element),
                "burst-on-connect" if !element.is_on() => {
                    self.line(element.line(), "burst = \"0ms\"");
                }
                _ => {}
            }
        }
        if let Some(default) = default {
            self.mount(default);
        }
    }

    fn name(&mut self, mount: Element<'_>) {
        let Some(name) = mount.child("mount-name") else {
            let text = "<mount> requires <mount-name>, unless it has type=\"default\"";
            return self.problem(mount, text);
        };
        let text = name.text();
        // Icecast reads a pattern here. Read as a plain name, it would match no mount, and what it
        // protects would be open.
        if text.contains(['?', '[', ']']) {
            let text = format!("<mount-name>{text}</mount-name>: only * is supported in patterns");
            return self.problem(name, text);
        }
        // Icecast's * matches slashes too.
        self.line(name.line(), &format!("name = {}", quoted(&text.replace('*', "**"))));
    }

    fn mount(&mut self, mount: Element<'_>) {
        let closes = |element: &Element<'_>| match element.name() {
            "no-mount" => element.is_on(),
            // In Icecast 0 admits nobody, and -1 is no limit.
            "max-listeners" => element.text() == "0",
            _ => false,
        };
        if let Some(closing) = mount.children().find(closes) {
            self.line(closing.line(), "access = \"closed\"");
        }
        for element in mount.children() {
            match element.name() {
                "mount-name" | "no-mount" => {}
                "username" => self.text("source_user", element),
                "password" => self.text("source_password", element),
                "max-listeners" if matches!(&*element.text(), "-1" | "0") => {}
                "max-listeners" => self.number("max_listeners", element),
                "source-timeout" => self.seconds("source_timeout", element),
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
