//! Icecast's administration.

use std::io::Write;

use serde_json::Value;

use crate::client::{
    Listener, Source, admin, connect, connect_from, get, get_with, login, login_as, read_head,
    request,
};
use crate::daemon::{ADMIN_PASSWORD, Daemon, PASSWORD};
use crate::ogg;
use crate::wait::{PATIENCE, until, when};

/// The text of the first element of this name.
fn value<'x>(xml: &'x str, name: &str) -> &'x str {
    let (_, rest) =
        xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name}: {xml}"));
    rest.split_once(&format!("</{name}>")).unwrap().0
}

fn ask(server: &Daemon, what: &str) -> String {
    let answer = get_with(server, &format!("/admin/{what}"), &admin());
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert_eq!(answer.field("content-type"), Some("text/xml; charset=utf-8"));
    answer.text()
}

#[test]
fn only_the_administrator_gets_in_and_guessing_is_stopped() {
    let server = Daemon::start();
    let none = get(&server, "/admin/stats");
    assert_eq!(none.status, 401);
    assert!(none.field("www-authenticate").unwrap().starts_with("Basic realm=\"silvacast admin\""));
    assert_eq!(get_with(&server, "/admin/stats", &login(PASSWORD)).status, 401);
    for _ in 0..5 {
        assert_eq!(get_with(&server, "/admin/listmounts", &login_as("admin", "x")).status, 401);
    }
    assert_eq!(get_with(&server, "/admin/stats", &admin()).status, 429);
}

#[test]
fn an_administrator_who_has_logged_in_is_not_locked_out_by_a_guesser() {
    let server = Daemon::start();
    assert_eq!(get_with(&server, "/admin/stats", &admin()).status, 200);
    let guess = || get_with(&server, "/admin/listmounts", &login_as("admin", "x")).status;
    let guesses: Vec<_> = (0..6).map(|_| guess()).collect();
    assert_eq!(guesses, [401, 401, 401, 401, 401, 429]);
    assert_eq!(get_with(&server, "/admin/stats", &admin()).status, 200);
}

#[test]
fn stats_and_lists_have_every_source_and_listener() {
    let server = Daemon::start();
    let _a = Source::connect(&server, "/a.opus", 1);
    let _b = Source::connect(&server, "/b.opus", 1);
    let listener = Listener::join_with(&server, "/a.opus", "User-Agent: <ear> & \"co\"\r\n");
    let stats = ask(&server, "stats");
    assert_eq!((value(&stats, "sources"), value(&stats, "listeners")), ("2", "1"));
    assert_eq!(value(&stats, "source_total_connections"), "2");
    assert!(
        stats.contains("<source mount=\"/a.opus\">")
            && stats.contains("<source mount=\"/b.opus\">")
    );
    assert_eq!(value(&stats, "max_listeners"), "unlimited");
    let one = ask(&server, "stats.xml?mount=/b.opus");
    assert!(!one.contains("/a.opus\"") && one.contains("<source mount=\"/b.opus\">"));
    let mounts = ask(&server, "listmounts");
    assert_eq!((value(&mounts, "fallback"), value(&mounts, "content-type")), ("", "audio/ogg"));
    let clients = ask(&server, "listclients?mount=/a.opus");
    assert_eq!((value(&clients, "Listeners"), value(&clients, "listeners")), ("1", "1"));
    assert_eq!(value(&clients, "IP"), "127.0.0.1");
    assert_eq!(value(&clients, "UserAgent"), "&lt;ear&gt; &amp; &quot;co&quot;");
    drop(listener);
}

#[test]
fn a_listener_and_a_source_can_be_ended() {
    let server = Daemon::with("workers = 2", "");
    let _source = Source::connect(&server, "/m", 1);
    let mut listeners = [(); 4].map(|()| Listener::join(&server, "/m"));
    for listener in &mut listeners {
        listener.headers();
    }
    let ids = listener_ids(&server, "/m");
    assert_eq!(ids.len(), 4);
    for (id, listener) in ids.iter().zip(&mut listeners) {
        let killed = ask(&server, &format!("killclient?mount=/m&id={id}"));
        assert_eq!(value(&killed, "return"), "1");
        assert_eq!(listener.page(), None, "a killed listener gets no more pages");
    }
    server.wait_for_lines(&["listener-left", "an administrator disconnected the listener"], 4);
    assert_eq!(value(&ask(&server, "killclient?mount=/m&id=4711"), "return"), "0");
    assert_eq!(value(&ask(&server, "killsource?mount=/m"), "return"), "1");
    server.wait_for_line(&["source-ended", "an administrator disconnected the source"]);
}

/// The ids of a mount's listeners, oldest first.
fn listener_ids(server: &Daemon, mount: &str) -> Vec<String> {
    let clients = ask(server, &format!("listclients?mount={mount}"));
    let ids = clients.split("<ID>").skip(1);
    ids.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

#[test]
fn a_killed_listener_is_kept_away_and_nobody_else_is() {
    const EAR: &str = "User-Agent: ear\r\n";
    let server = Daemon::start();
    let sources = [Source::connect(&server, "/m", 1), Source::connect(&server, "/n", 2)];
    let mut killed = Listener::join_with(&server, "/m", EAR);
    let mut other = Listener::join_with(&server, "/m", "User-Agent: another\r\n");
    killed.headers();
    other.headers();
    let id = &listener_ids(&server, "/m")[0];
    assert_eq!(value(&ask(&server, &format!("killclient?mount=/m&id={id}")), "return"), "1");
    assert_eq!(killed.page(), None);
    let refused = get_with(&server, "/m", EAR);
    let seconds: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(
        (refused.status, refused.text()),
        (
            403,
            format!(
                "An administrator has disconnected you from this microphone; \
                 you may listen again in {seconds} s.\n"
            )
        )
    );
    server.wait_for_line(&["refused", "An administrator has disconnected you"]);
    let head = format!("HEAD /m HTTP/1.1\r\nHost: x\r\n{EAR}Connection: close\r\n\r\n");
    assert_eq!(request(&server, &head).status, 403);
    let (mut sources, mut free) = (sources, Vec::new());
    for (mount, fields) in [("/n", EAR), ("/m", ""), ("/m", "User-Agent: another\r\n")] {
        free.push(Listener::join_with(&server, mount, fields));
    }
    // Another address of this machine.
    let mut socket = connect_from([127, 0, 0, 2], &server);
    write!(socket, "GET /m HTTP/1.1\r\nHost: x\r\n{EAR}\r\n").unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    // The others were never interrupted.
    sources[0].send(1, 100);
    assert_eq!(other.number(), 0);
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_line(&["reloaded"]);
    assert_eq!(get_with(&server, "/m", EAR).status, 403, "a reload ends no ban");
}

#[test]
fn a_proxy_that_names_no_client_is_not_kept_away() {
    let server = Daemon::with("trusted_proxies = [\"127.0.0.1\"]", "");
    let _source = Source::connect(&server, "/m", 1);
    let kill = |fields: &str| {
        let mut listener = Listener::join_with(&server, "/m", fields);
        listener.headers();
        let id = listener_ids(&server, "/m").pop().unwrap();
        ask(&server, &format!("killclient?mount=/m&id={id}"));
        assert_eq!(listener.page(), None);
    };
    kill("User-Agent: ear\r\n");
    let _same = Listener::join_with(&server, "/m", "User-Agent: ear\r\n");
    kill("User-Agent: ear\r\nX-Forwarded-For: 192.0.2.1\r\n");
    let status = |client: &str| {
        let fields =
            format!("User-Agent: ear\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n");
        request(&server, &format!("HEAD /m HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).status
    };
    assert_eq!((status("192.0.2.1"), status("192.0.2.2")), (403, 200));
    let _same = Listener::join_with(&server, "/m", "User-Agent: ear\r\n");
}

#[test]
fn the_log_says_who_killed_a_listener_and_a_source() {
    let server = Daemon::with(
        "trusted_proxies = [\"127.0.0.1\"]",
        "[[mount]]\nname = \"/m\"\nsource_password = \"its own\"",
    );
    let push = |serial| {
        let mut socket = connect(&server);
        write!(socket, "SOURCE /m HTTP/1.0\r\n{}\r\n", login("its own")).unwrap();
        let answer = read_head(&mut socket);
        socket.write_all(&ogg::headers(serial)).unwrap();
        (socket, answer.status)
    };
    let _source = push(1);
    server.wait_for_line(&["stream-began"]);
    let from = "X-Forwarded-For: 192.0.2.7\r\n";
    for (user, login) in [("admin", admin()), ("source", login("its own"))] {
        let mut listener = Listener::join(&server, "/m");
        listener.headers();
        let id = listener_ids(&server, "/m").pop().unwrap();
        let target = format!("/admin/killclient?mount=/m&id={id}");
        assert_eq!(get_with(&server, &target, &format!("{login}{from}")).status, 200);
        assert_eq!(listener.page(), None);
        let by = [&*format!("by_user=\"{user}\""), "by_client=192.0.2.7"];
        server.wait_for_line(&[&["listener-left"], &by[..]].concat());
        let who = format!("user=\"{user}\"");
        server.wait_for_line(&["admin-command", "killclient", &who, "client=192.0.2.7"]);
    }
    let fields = format!("{}{from}", admin());
    assert_eq!(get_with(&server, "/admin/killsource?mount=/m", &fields).status, 200);
    server.wait_for_line(&["source-ended", "by_user=\"admin\"", "by_client=192.0.2.7"]);
    // Nobody else is named where nobody else ended it, and the source may come back at once.
    let (source, status) = push(2);
    assert_eq!(status, 200);
    server.wait_for_line(&["stream-spliced"]);
    drop(source);
    let lines = server.wait_for_lines(&["source-ended"], 2);
    assert!(!lines[1].contains("by_user"), "{}", lines[1]);
}

#[test]
fn a_source_can_set_its_title() {
    let server = Daemon::with("", "[[mount]]\nname = \"/own\"\nsource_password = \"its own\"");
    let _source = Source::connect(&server, "/m", 1);
    let update = |fields: &str| {
        let target = "/admin/metadata?mount=/m&mode=updinfo&song=Winter+wren%20%26%20%3Cco%3E";
        get_with(&server, target, fields).status
    };
    assert_eq!(update(&login(PASSWORD)), 200);
    let title = || {
        let status: Value = serde_json::from_slice(&get(&server, "/status-json.xsl").body).unwrap();
        status["icestats"]["source"]["title"].clone()
    };
    until("the new title", PATIENCE, || when(title() == "Winter wren & <co>", title()));
    assert_eq!(update(&admin()), 200);
    assert_eq!(update(&login("its own")), 401, "the password of another mount");
    let mut own = connect(&server);
    write!(own, "SOURCE /own HTTP/1.0\r\n{}\r\n", login("its own")).unwrap();
    assert_eq!(read_head(&mut own).status, 200);
    own.write_all(&ogg::headers(1)).unwrap();
    server.wait_for_lines(&["stream-began"], 2);
    let update = |fields: &str| {
        get_with(&server, "/admin/metadata?mount=/own&mode=updinfo&song=x", fields).status
    };
    assert_eq!((update(&login("its own")), update(&login(PASSWORD))), (200, 401));
    for (query, said) in [
        ("mount=/m", "mode, which must be updinfo"),
        ("mount=/m&mode=updinfo", "song, or title and artist"),
        ("mode=updinfo&song=x", "Missing parameter: mount"),
        ("mount=/n&mode=updinfo&song=x", "Source does not exist"),
        ("mount=/m&mode=updinfo&song=x&charset=nonsense", "allowed: names such as UTF-8"),
    ] {
        let answer = get_with(&server, &format!("/admin/metadata?{query}"), &admin());
        assert!(answer.status == 400 && answer.text().contains(said), "{query}: {}", answer.text());
    }
}

#[test]
fn a_title_is_taken_as_encoders_send_it() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let (old, artist) = (Some("Before"), Some("Me"));
    for (query, title, by) in [
        ("title=Before&artist=Me", old, artist),
        ("song=+", old, artist),
        ("song=%20", old, artist),
        ("title=&artist=", old, artist),
        ("song=Me+-+Wren&artist=Me&title=Wren", Some("Wren"), artist),
        ("artist=You", Some("Wren"), artist),
        ("title=&artist=You", Some("Wren"), artist),
        ("song=Hello&artist=You", Some("Hello"), Some("You")),
        ("song=Caf%E9", Some("Café"), None),
        ("song=Caf%C3%A9+2&charset=UTF8", Some("Café 2"), None),
        ("song=Caf%E9+3&charset=latin1", Some("Café 3"), None),
        ("song=Caf%C3%A9&charset=ISO-8859-1", Some("CafÃ©"), None),
        ("song=%F3%CF%D7%C1&charset=koi8-r", Some("Сова"), None),
    ] {
        let target = format!("/admin/metadata?mount=/m&mode=updinfo&{query}");
        assert_eq!(get_with(&server, &target, &login(PASSWORD)).status, 200, "{query}");
        let wanted = (title.map(Value::from), by.map(Value::from));
        until(&format!("the title of {query}"), PATIENCE, || {
            let body = get(&server, "/status-json.xsl").body;
            let status: Value = serde_json::from_slice(&body).unwrap();
            let source = &status["icestats"]["source"];
            let seen = (source.get("title").cloned(), source.get("artist").cloned());
            when(seen == wanted, seen)
        });
        // Who joins now gets the title from the stream's headers.
        let mut listener = Listener::join(&server, "/m");
        let headers = String::from_utf8_lossy(&listener.headers()).into_owned();
        let has = |name: &str, value: Option<&str>| {
            let comment = value.map_or(format!("{name}="), |value| format!("{name}={value}"));
            headers.contains(&comment) == value.is_some()
        };
        assert!(has("TITLE", title) && has("ARTIST", by), "{query}: {headers:?}");
    }
}

#[test]
fn a_title_before_the_first_audio_is_the_title_of_the_stream() {
    let server = Daemon::start();
    let mut socket = connect(&server);
    write!(socket, "SOURCE /m HTTP/1.0\r\n{}\r\n", login(PASSWORD)).unwrap();
    assert_eq!(read_head(&mut socket).status, 200);
    let target = "/admin/metadata?mount=/m&mode=updinfo&song=First";
    assert_eq!(get_with(&server, target, &login(PASSWORD)).status, 200);
    socket.write_all(&ogg::headers(1)).unwrap();
    server.wait_for_line(&["stream-began"]);
    let status = get(&server, "/status-json.xsl").text();
    assert!(status.contains("\"title\":\"First\""), "{status}");
    let headers = Listener::join(&server, "/m").headers();
    assert!(headers.windows(5).any(|bytes| bytes == b"First"));
    // It is not for a source that comes later.
    drop(socket);
    server.wait_for_line(&["source-ended"]);
    let _second = Source::connect(&server, "/m", 2);
    let status = get(&server, "/status-json.xsl").text();
    assert!(status.contains("\"title\":\"Dusk\""), "{status}");
}

#[test]
fn a_source_can_see_and_end_who_listens_to_its_own_mount() {
    let server = Daemon::with("", "[[mount]]\nname = \"/own\"\nsource_password = \"its own\"");
    let _source = Source::connect(&server, "/m", 1);
    let status = |command: &str, password: &str| {
        get_with(&server, &format!("/admin/{command}"), &login(password)).status
    };
    assert_eq!(status("listclients?mount=/m", PASSWORD), 200);
    assert_eq!(status("killclient?mount=/m&id=4711", PASSWORD), 200);
    assert_eq!(status("stats", PASSWORD), 401, "the whole server is not its own");
    assert_eq!(status("listclients", PASSWORD), 401);
    assert_eq!(status("listclients?mount=/m", "its own"), 401, "the password of another mount");
    // What is right elsewhere is no guess: the administrator's next attempts would be refused.
    for _ in 0..20 {
        assert_eq!(status("reloadconfig", PASSWORD), 401);
    }
    assert_eq!(get_with(&server, "/admin/stats", &admin()).status, 200);
    assert_eq!(status("killsource?mount=/m", PASSWORD), 200);
    server.wait_for_line(&["source-ended", "an administrator disconnected the source"]);
}

#[test]
fn the_configuration_can_be_reloaded() {
    let server = Daemon::start();
    server.configure(PASSWORD, "path_prefix = \"/stream\"", "");
    let done = ask(&server, "reloadconfig");
    assert_eq!(value(&done, "return"), "1");
    assert_eq!(get(&server, "/stream/healthz").status, 200);
    server.configure(PASSWORD, "workers = 0", "");
    let refused = ask(&server, "reloadconfig");
    assert_eq!(value(&refused, "return"), "0");
    assert!(value(&refused, "message").contains("invalid value 0 for `workers`"), "{refused}");
}

#[test]
fn no_page_of_another_site_can_send_a_command() {
    let server = Daemon::start();
    let _source = Source::connect(&server, "/m", 1);
    let kill = |fields: &str| {
        get_with(&server, "/admin/killsource?mount=/m", &format!("{}{fields}", admin())).status
    };
    for foreign in [
        "Origin: http://evil.example\r\n",
        "Referer: http://evil.example/page\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Origin: null\r\n",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Firefox/153.0\r\n",
    ] {
        assert_eq!(kill(foreign), 403, "{foreign}");
    }
    assert_eq!(server.count_lines(&["source-ended"]), 0);
    // Reading is not a command.
    let look = format!("{}Origin: http://evil.example\r\n", admin());
    assert_eq!(get_with(&server, "/admin/stats", &look).status, 200);
    assert_eq!(kill("Origin: http://x\r\n"), 200, "a page of this server");
}

#[test]
fn unsupported_commands_are_refused_with_a_sentence() {
    let server = Daemon::start();
    for (what, status, said) in [
        ("moveclients?mount=/m&destination=/n", 400, "silvacast does not support moveclients"),
        ("fallbacks?mount=/m&fallback=/n", 400, "does not support fallbacks"),
        ("manageauth?mount=/m", 400, "does not support manageauth"),
        ("updatemetadata", 400, "does not support updatemetadata"),
        ("listclients", 400, "Missing parameter: mount"),
        ("listclients?mount=/m", 400, "Source does not exist"),
        ("killclient?mount=/m&id=1", 400, "Source does not exist"),
        ("nonsense", 404, "no such administration command"),
    ] {
        let answer = get_with(&server, &format!("/admin/{what}"), &admin());
        assert!(
            answer.status == status && answer.text().contains(said),
            "{what}: {}",
            answer.text()
        );
    }
    let post = format!(
        "POST /admin/stats HTTP/1.1\r\nHost: x\r\n{}Content-Length: 0\r\n\r\n",
        login_as("admin", ADMIN_PASSWORD)
    );
    assert_eq!(request(&server, &post).status, 200);
}
