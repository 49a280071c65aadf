//! Converts the servers from which mounts are pulled: `<relay>`, one mount each, and `<master-server>`,
//! from which all are.

use super::super::kinds::quoted;
use super::Converted;
use super::xml::Element;

/// The port of a server that is not given one, as in Icecast.
const DEFAULT_PORT: &str = "8000";

impl Converted {
    pub(super) fn relays(&mut self, root: Element<'_>) {
        for relay in root.children().filter(|element| element.name() == "relay") {
            self.relay(relay);
        }
        let Some(server) = root.child("master-server") else { return };
        self.section(server.line(), "[[relay]]");
        self.server(server, root.child("master-server-port"));
        let (user, password) = if let Some(password) = root.child("master-password") {
            (root.child("master-username"), Some(password))
        } else {
            // As in Icecast, the login of those who relay from here.
            let own = |name| root.child("authentication").and_then(|it| it.child(name));
            (own("relay-user"), own("relay-password"))
        };
        self.login(user, password);
    }

    fn relay(&mut self, relay: Element<'_>) {
        let (Some(server), Some(mount)) = (relay.child("server"), relay.child("mount")) else {
            return self.problem(relay, "<relay> requires <server> and <mount>");
        };
        self.section(relay.line(), "[[relay]]");
        self.server(server, relay.child("port"));
        self.line(mount.line(), &format!("mounts = [{}]", quoted(&mount.text())));
        if let Some(local) = relay.child("local-mount") {
            self.text("local_name", local);
        }
        self.login(relay.child("username"), relay.child("password"));
        for element in relay.children() {
            match element.name() {
                "on-demand" => {
                    if element.is_on() {
                        self.line(element.line(), "on_demand = true");
                    }
                }
                "server" | "port" | "mount" | "local-mount" | "username" | "password"
                // Titles are in the Ogg stream itself.
                | "relay-shoutcast-metadata" => {}
                _ => self.ignore(element, "relay"),
            }
        }
    }

    fn server(&mut self, server: Element<'_>, port: Option<Element<'_>>) {
        let port = port.map_or_else(|| DEFAULT_PORT.to_owned(), Element::text);
        let host = server.text();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        self.line(server.line(), &format!("from = {}", quoted(&format!("http://{host}:{port}"))));
    }

    fn login(&mut self, user: Option<Element<'_>>, password: Option<Element<'_>>) {
        let Some(password) = password else { return };
        if let Some(user) = user {
            self.text("user", user);
        }
        self.secret("password", password);
    }
}
