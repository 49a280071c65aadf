//! Every configuration key there is, with its default and what it is for: the one list from
//! which the file is checked, mistakes are explained and the manual is written.

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The table it stands in; empty for the top level.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What holds without it, as it would be written.
    pub default: &'static str,
    /// One line on what it is for.
    pub about: &'static str,
}

const fn key(
    section: &'static str,
    name: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { section, name, default, about }
}

/// All keys, in the order of the manual. `[[mount]]` takes those of `[mount-defaults]` and `name`.
pub const KEYS: &[Key] = &[
    key(
        "",
        "listen",
        "[\"0.0.0.0:8080\"]",
        "Addresses to listen on. `SILVASONIC_ICECAST_PORT` replaces the port; inherited sockets replace all of it.",
    ),
    key(
        "",
        "path_prefix",
        "\"\"",
        "For example `/stream`: accepted in front of every path; without it works too.",
    ),
    key(
        "",
        "trusted_proxies",
        "[]",
        "Networks (CIDR) whose `X-Forwarded-For` and `Forwarded` are believed.",
    ),
    key("", "allow", "[]", "Networks (CIDR) that may connect at all; empty: all."),
    key("", "deny", "[]", "Networks that may not, whatever `allow` says."),
    key(
        "",
        "workers",
        "1",
        "Data-plane threads, 1 to 64. One carries thousands of listeners; more share them, each with its own copy of the rings.",
    ),
    key("server", "hostname", "\"localhost\"", "Name shown in status and listen URLs."),
    key("server", "location", "\"Earth\"", "Where the station is, shown in status."),
    key("server", "admin", "\"admin@silvasonic.local\"", "Who looks after it, shown in status."),
    key(
        "auth",
        "source_password",
        "none",
        "What encoders say, as user `source`. Better kept in a file:",
    ),
    key(
        "auth",
        "source_password_file",
        "none",
        "A file with that password. `$CREDENTIALS_DIRECTORY/source-password` is read if neither is given.",
    ),
    key("auth", "admin_user", "\"admin\"", "The administrator's name."),
    key("auth", "admin_password", "none", "The administrator's password. Better kept in a file:"),
    key(
        "auth",
        "admin_password_file",
        "none",
        "A file with that password. `$CREDENTIALS_DIRECTORY/admin-password` is read if neither is given.",
    ),
    key(
        "auth",
        "share_key",
        "none",
        "What links of `silvacast share` are signed with, 32 characters or more; another key revokes them all. Better kept in a file:",
    ),
    key(
        "auth",
        "share_key_file",
        "none",
        "A file with that key. `$CREDENTIALS_DIRECTORY/share-key` is read if neither is given.",
    ),
    key(
        "process",
        "user",
        "\"nobody\"",
        "Who the process becomes when it is started as root: a name, or numbers such as `65534:65534`.",
    ),
    key(
        "log",
        "combined",
        "false",
        "A line in the combined log format for each listener that leaves, on standard output; 200 at once and then ten in a second, as of every kind of line.",
    ),
    key("limits", "sources", "10", "Mounts at once, 1 to 1000."),
    key("limits", "listeners", "100", "Listeners of all mounts together, 1 to 100000."),
    key(
        "limits",
        "connections_per_ip",
        "\"auto\"",
        "Connections of one client at once; an IPv6 /64 is one client. `auto`: three quarters of `listeners`, 8 at least. 0: no limit.",
    ),
    key("limits", "request_head", "\"8KiB\"", "The longest request head, 1KiB to 64KiB."),
    key("limits", "head_timeout", "\"10s\"", "Time for a request head, 100ms to 5m."),
    key(
        "limits",
        "listener_send_buffer",
        "\"64KiB\"",
        "Kernel memory per listener, 8KiB to 16MiB.",
    ),
    key(
        "mount-defaults",
        "ring",
        "\"256KiB\"",
        "The mount's whole memory for audio, 128KiB to 256MiB.",
    ),
    key(
        "mount-defaults",
        "burst",
        "\"auto\"",
        "What a listener gets of the past: `auto` or a duration up to 10m. A listener may ask with `?burst=200ms`.",
    ),
    key(
        "mount-defaults",
        "source_timeout",
        "\"10s\"",
        "A source that sends nothing for so long is gone, 1s to 1h.",
    ),
    key(
        "mount-defaults",
        "gap",
        "\"silence\"",
        "While no source is heard: `silence` goes out, the stream will `pause`, or it will `end` with its source.",
    ),
    key(
        "mount-defaults",
        "gap_after",
        "\"1s\"",
        "When nothing has come for so long it is a gap, 100ms to 5m; two of the source's pages at least.",
    ),
    key(
        "mount-defaults",
        "hold",
        "\"30s\"",
        "How long a stream goes on without a source before it ends, up to 24h.",
    ),
    key(
        "mount-defaults",
        "listener_timeout",
        "\"30s\"",
        "A listener that acknowledges nothing for this long while data is waiting for it is dropped, 1s to 1h.",
    ),
    key(
        "mount-defaults",
        "max_listeners",
        "0",
        "Listeners of this mount; 0: only the server's limit.",
    ),
    key(
        "mount-defaults",
        "coalesce",
        "\"0ms\"",
        "Hold pages back for so long, up to 5s, and send them together: less CPU, more delay.",
    ),
    key(
        "mount-defaults",
        "access",
        "\"public\"",
        "Who may listen: `public` is everybody, `password` the users of `listeners_file`, `token` whoever has one of `tokens_file`, `closed` nobody.",
    ),
    key(
        "mount-defaults",
        "listeners_file",
        "none",
        "Users and bcrypt hashes with a cost up to 12, as `htpasswd -B` writes them. Passwords have at most 72 bytes.",
    ),
    key(
        "mount-defaults",
        "tokens_file",
        "none",
        "A `name:token` in each line, 16 characters or more; said as `Authorization: Bearer` or `?token=`.",
    ),
    key(
        "mount-defaults",
        "allow",
        "[]",
        "Networks that may listen, for example `[\"100.64.0.0/10\"]`; empty: all.",
    ),
    key("mount-defaults", "deny", "[]", "Networks that may not listen, whatever `allow` says."),
    key(
        "mount-defaults",
        "hidden",
        "false",
        "Left out of status, lists, events and metrics; who knows the name can listen.",
    ),
    key(
        "mount-defaults",
        "source_user",
        "\"source\"",
        "The user that encoders of these mounts give, where they have a password of their own:",
    ),
    key(
        "mount-defaults",
        "source_password",
        "none",
        "What encoders of these mounts say, instead of `[auth] source_password`. Better kept in a file:",
    ),
    key("mount-defaults", "source_password_file", "none", "A file with that password."),
    key(
        "mount",
        "name",
        "required",
        "The mounts this is for; `*` stands for any text within a path segment, `**` for any text. The first match wins.",
    ),
];

/// The names that a section takes.
pub(super) fn names(section: &str) -> impl Iterator<Item = &'static str> {
    let inherits = section == "mount";
    KEYS.iter()
        .filter(move |key| key.section == section || inherits && key.section == "mount-defaults")
        .map(|key| key.name)
}

/// The manual's table of keys, in Markdown.
pub fn markdown() -> String {
    let mut text = String::from("| key | default | what it is for |\n|---|---|---|\n");
    for key in KEYS {
        let section = match key.section {
            "" => String::new(),
            "mount" => "[[mount]] ".to_owned(),
            section => format!("[{section}] "),
        };
        let row = [
            format!("`{section}{}`", key.name),
            format!("`{}`", key.default),
            key.about.to_owned(),
        ];
        text.extend(["| ", &row.join(" | "), " |\n"]);
    }
    text
}
