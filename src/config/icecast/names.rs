//! The names that an `icecast.xml` has for keys of the TOML document that it is converted to.

use super::super::keys::Table;

/// The element for a key, as messages name it. `None` for keys that Icecast does not have.
pub(in crate::config) fn element(table: Table, key: &str) -> Option<&'static str> {
    Some(match (table, key) {
        (Table::Top, "listen") => "<listen-socket>",
        (Table::Top, "path_prefix") => "<alias> in <paths>",
        (Table::Top, "trusted_proxies") => "<x-forwarded-for> in <paths>",
        (Table::Top, "allow") => "<allow-ip> in <paths>",
        (Table::Top, "deny") => "<deny-ip> in <paths>",
        (Table::Server, "hostname") => "<hostname>",
        (Table::Server, "location") => "<location>",
        (Table::Server, "admin") => "<admin>",
        (Table::Auth, "source_password" | "source_password_file") => {
            "<source-password> in <authentication>"
        }
        (Table::Auth, "admin_user") => "<admin-user> in <authentication>",
        (Table::Auth, "admin_password" | "admin_password_file") => {
            "<admin-password> in <authentication>"
        }
        (Table::Auth, "relay_user") => "<relay-user> in <authentication>",
        (Table::Auth, "relay_password" | "relay_password_file") => {
            "<relay-password> in <authentication>"
        }
        (Table::Relay, "from") => "<server> in <relay>, or <master-server>",
        (Table::Relay, "mounts") => "<mount> in <relay>",
        (Table::Relay, "user") => "<username> in <relay>, or <master-username>",
        (Table::Relay, "password" | "password_file") => {
            "<password> in <relay>, or <master-password>"
        }
        (Table::Relay, "on_demand") => "<on-demand> in <relay>",
        (Table::Relay, "local_name") => "<local-mount> in <relay>",
        (Table::Process, "user") => "<user> in <changeowner>",
        (Table::Limits, "listeners") => "<clients> in <limits>",
        (Table::Limits, "sources") => "<sources> in <limits>",
        (Table::Limits, "head_timeout") => "<header-timeout> in <limits>",
        (Table::Mount, "name") => "<mount-name>",
        (Table::Mount | Table::MountDefaults, key) => match key {
            "source_timeout" => "<source-timeout>",
            "source_user" => "<username> in <mount>",
            "source_password" | "source_password_file" => "<password> in <mount>",
            "title" => "<stream-name> in <mount>",
            "description" => "<stream-description> in <mount>",
            "genre" => "<genre> in <mount>",
            "url" => "<stream-url> in <mount>",
            "allow_origin" => "<header name=\"Access-Control-Allow-Origin\">",
            "max_listeners" => "<max-listeners> in <mount>",
            "allow" => "<allow-ip> in <mount>",
            "deny" => "<deny-ip> in <mount>",
            _ => return None,
        },
        _ => return None,
    })
}
