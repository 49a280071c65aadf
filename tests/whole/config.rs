//! Configuration keys: what the README's table says of each is what the program does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use silvacast::config::{Config, Environment, KEYS, Problem, Row};
use silvacast::mount::Name;
use tempfile::TempDir;

use crate::fetched::readers;

/// Read when the tests run, so that a change of the table alone can be tried without a build.
static README: LazyLock<String> = LazyLock::new(|| {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
});

/// A row of the README's table.
#[derive(Debug)]
struct Documented {
    /// The heading of its table in the file, such as `[limits]`; empty for the top level.
    heading: &'static str,
    name: &'static str,
    default: &'static str,
    allowed: &'static str,
    reload: &'static str,
}

impl Documented {
    /// As the README writes the key.
    fn path(&self) -> String {
        format!("{} {}", self.heading, self.name).trim_start().to_owned()
    }

    /// A file with this value and nothing else of its own.
    fn with(&self, value: &str) -> String {
        format!("{}\n{} = {value}\n{}", self.heading, self.name, self.required())
    }

    /// What the same table must have besides.
    fn required(&self) -> String {
        let required: &[(&str, &str)] = match self.heading {
            "[[relay]]" => &[("from", "\"http://a\""), ("mounts", "[\"/a\"]")],
            "[[forward]]" => &[("to", "\"http://a\""), ("password", "\"x\"")],
            _ => &[],
        };
        // A password is in one place.
        let is_given =
            |name: &str| name == self.name || self.name == "password_file" && name == "password";
        let missing = required.iter().filter(|(name, _)| !is_given(name));
        missing.flat_map(|(name, value)| [name, " = ", value, "\n"]).collect()
    }
}

fn documented() -> Vec<Documented> {
    let table = README.lines().skip_while(|line| !line.starts_with("| key |")).skip(2);
    let keys: Vec<_> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [key, default, allowed, reload, _] = cells[..] else { panic!("{line}") };
            let key = key.trim_matches('`');
            let (heading, name) = key.rsplit_once(' ').unwrap_or(("", key));
            Documented { heading, name, default: default.trim_matches('`'), allowed, reload }
        })
        .collect();
    assert_eq!(keys.len(), KEYS.all().count());
    keys
}

/// The environment of a service that has its passwords as credentials, so that a file may be empty.
fn service() -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    for name in ["source-password", "admin-password"] {
        fs::write(directory.path().join(name), "x").unwrap();
    }
    let credentials = Some(directory.path().to_owned());
    (directory, Environment { credentials, ..Environment::default() })
}

fn is_accepted(text: &str, environment: &Environment) -> bool {
    Config::parse(text, environment).is_ok()
}

/// What a reload puts in force, for comparison. Secrets do not show in it.
fn in_force(config: &Config) -> String {
    format!("{:?}{:?}", config.door, config.control)
}

#[test]
fn the_documented_default_is_that_of_an_empty_file() {
    let (_directory, environment) = service();
    let whole = |text: &str| {
        let mut config = Config::parse(text, &environment).unwrap();
        // The text itself.
        config.shown.in_force.clear();
        format!("{config:?}")
    };
    let mut compared = 0;
    for key in documented() {
        if key.default == "none" || key.default.starts_with("required") {
            continue;
        }
        // This key is allowed beside a password only.
        let base = match key.name {
            "source_user" => "[mount-defaults]\nsource_password = \"x\"\n".to_owned(),
            _ if key.required().is_empty() => String::new(),
            _ => format!("{}\n{}", key.heading, key.required()),
        };
        let with = format!("{base}{} = {}\n", key.name, key.default);
        let with = if base.is_empty() { key.with(key.default) } else { with };
        assert_eq!(whole(&with), whole(&base), "{with}");
        compared += 1;
    }
    assert!(compared > 25, "{compared}");
}

/// The values just inside and just outside of the bounds in a sentence of what is allowed.
fn edges(allowed: &str) -> Option<(Vec<String>, Vec<String>)> {
    let shift = |bound: &str, by: i64| {
        let text = bound.trim_matches('"');
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (text[..digits].parse::<i64>().unwrap(), &text[digits..]);
        let (factor, smallest) = match unit {
            "" => return (number + by).to_string(),
            "h" => (3_600_000, "ms"),
            "m" => (60_000, "ms"),
            "s" => (1000, "ms"),
            "ms" => (1, "ms"),
            "MiB" => (1 << 20, "B"),
            "KiB" => (1 << 10, "B"),
            unit => panic!("{unit}"),
        };
        format!("\"{}{smallest}\"", number * factor + by)
    };
    if let Some((_, range)) = allowed.split_once(" from ") {
        let (least, most) = range.split_once(" to ").unwrap();
        let inside = vec![shift(least, 0), shift(least, 1), shift(most, -1), shift(most, 0)];
        return Some((inside, vec![shift(least, -1), shift(most, 1)]));
    }
    let (before, _) = allowed.split_once(" characters or more")?;
    let shortest: usize = before.rsplit(' ').next()?.parse().unwrap();
    let text = |length| format!("\"{}\"", "x".repeat(length));
    Some((vec![text(shortest), text(shortest + 1)], vec![text(shortest - 1)]))
}

#[test]
fn the_documented_bounds_are_the_enforced_ones() {
    let (_directory, environment) = service();
    let mut bounded = 0;
    for key in documented() {
        let Some((inside, outside)) = edges(key.allowed) else { continue };
        for value in inside {
            assert!(is_accepted(&key.with(&value), &environment), "{} = {value}", key.path());
        }
        for value in outside {
            let problems = Config::parse(&key.with(&value), &environment).unwrap_err();
            let text = problems[0].to_string();
            assert!(text.starts_with("line 2: invalid value"), "{text}");
            assert!(text.contains(&format!("`{}`", key.name)), "{text}");
            assert!(text.ends_with(&format!("; allowed: {}", key.allowed)), "{text}");
        }
        bounded += 1;
    }
    assert!(bounded > 15, "{bounded}");
}

#[test]
fn a_refusal_says_what_is_wrong_with_a_unit_a_list_or_quotes() {
    const DURATIONS: &str = "; units: ms, s or sec, m or min (minutes), h, d";
    const SIZES: &str = "; units: B, KiB, MiB, GiB (steps of 1024), KB, MB, GB (steps of 1000)";
    const QUOTES: &str = "line 2: text must be in quotes, and so must numbers with a unit";
    let (_directory, environment) = service();
    for (heading, line, reason, units) in [
        ("[mount-defaults]", "ring = 524288", "the unit is missing, as in \"524288B\"", SIZES),
        ("[mount-defaults]", "ring = \"524288\"", "the unit is missing", SIZES),
        ("[mount-defaults]", "ring = \"512K\"", "unknown unit `K`", SIZES),
        ("[mount-defaults]", "ring = \"128KB\"", "it is 128000 bytes", ""),
        ("[mount-defaults]", "hold = 30", "the unit is missing, as in \"30s\"", DURATIONS),
        ("[mount-defaults]", "hold = 1.5", "the unit is missing, as in \"1s\"", DURATIONS),
        ("[mount-defaults]", "hold = \"30\"", "the unit is missing", DURATIONS),
        ("[mount-defaults]", "hold = \"2 weeks\"", "unknown unit `weeks`", DURATIONS),
        ("[mount-defaults]", "burst = 2", "the unit is missing, as in \"2s\"", DURATIONS),
        ("[mount-defaults]", "hidden = \"true\"", "it has no quotes", ""),
        ("[limits]", "listeners = \"100\"", "a number has no quotes", ""),
        ("[limits]", "connections_per_ip = \"9\"", "a number has no quotes", ""),
        ("", "allow = [\"::1\", \"10.0.0.0/33\"]", "\"10.0.0.0/33\" is not one", ""),
        ("", "listen = [\"localhost:8080\"]", "\"localhost:8080\" is not one", ""),
    ] {
        let problems = Config::parse(&format!("{heading}\n{line}\n"), &environment).unwrap_err();
        let text = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n");
        let (key, value) = line.split_once(" = ").unwrap();
        assert!(text.starts_with(&format!("line 2: invalid value {value} for `{key}`")), "{text}");
        assert!(text.contains(&format!(": {reason}{units}; allowed: ")), "{text}");
        assert_eq!(problems.len(), 1, "{text}");
    }
    for line in ["hold = 30s", "hold = 20 s", "ring = 512KiB", "gap = end", "gap = e \"x\""] {
        let text = format!("[mount-defaults]\n{line}\n");
        let problems = Config::parse(&text, &Environment::default()).unwrap_err();
        assert_eq!(problems.len(), 1, "{line}: {problems:?}");
        assert!(problems[0].to_string().starts_with(QUOTES), "{line}: {problems:?}");
    }
    for line in ["ring = \"512KB\"", "ring = \"1 MB\"", "hold = \"20 s\"", "hold = \"2min\""] {
        assert!(is_accepted(&format!("[mount-defaults]\n{line}\n"), &environment), "{line}");
    }
}

/// For each key a value that is not its default.
fn samples(directory: &Path) -> BTreeMap<String, String> {
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        format!("{:?}", path.to_str().unwrap())
    };
    let hash = "$2y$04$abcdefghijklmnopqrstuuE0ZGDnPsTRKVpnTq5lBZDsqhYVPiGkm";
    let long = "0123456789abcdef0123456789abcdef";
    let password = file("password", "geheim\n");
    let samples = [
        ("listen", "[\"127.0.0.1:1\"]".to_owned()),
        ("path_prefix", "\"/stream\"".to_owned()),
        ("trusted_proxies", "[\"10.0.0.0/8\"]".to_owned()),
        ("allow", "[\"10.0.0.0/8\"]".to_owned()),
        ("deny", "[\"10.0.0.1\"]".to_owned()),
        ("workers", "2".to_owned()),
        ("[server] name", "\"Wood pond\"".to_owned()),
        ("[server] hostname", "\"station\"".to_owned()),
        ("[server] location", "\"Wood\"".to_owned()),
        ("[server] admin", "\"me\"".to_owned()),
        ("[auth] source_password", "\"geheim\"".to_owned()),
        ("[auth] source_password_file", password.clone()),
        ("[auth] admin_user", "\"root\"".to_owned()),
        ("[auth] admin_password", "\"geheim\"".to_owned()),
        ("[auth] admin_password_file", password.clone()),
        ("[auth] relay_user", "\"mirror\"\nrelay_password = \"x\"".to_owned()),
        ("[auth] relay_password", "\"geheim\"".to_owned()),
        ("[auth] relay_password_file", password.clone()),
        ("[auth] detector_token", format!("\"{long}\"")),
        ("[auth] detector_token_file", file("detector", long)),
        ("[auth] share_key", format!("\"{long}\"")),
        ("[auth] share_key_file", file("key", long)),
        ("[process] user", "\"daemon\"".to_owned()),
        ("[log] combined", "true".to_owned()),
        ("[log] format", "\"json\"".to_owned()),
        ("[limits] sources", "11".to_owned()),
        ("[limits] listeners", "101".to_owned()),
        ("[limits] connections_per_ip", "9".to_owned()),
        ("[limits] request_head", "\"9KiB\"".to_owned()),
        ("[limits] head_timeout", "\"11s\"".to_owned()),
        ("[limits] listener_send_buffer", "\"65KiB\"".to_owned()),
        ("[webrtc] listen", "\"0.0.0.0:8189\"".to_owned()),
        ("[webrtc] addresses", "[\"192.0.2.1\"]".to_owned()),
        ("[webrtc] sessions", "51".to_owned()),
        ("[mount-defaults] webrtc", "false".to_owned()),
        ("[mount-defaults] ring", "\"257KiB\"".to_owned()),
        ("[mount-defaults] burst", "\"1s\"".to_owned()),
        ("[mount-defaults] source_timeout", "\"11s\"".to_owned()),
        ("[mount-defaults] gap", "\"pause\"".to_owned()),
        ("[mount-defaults] gap_after", "\"2s\"".to_owned()),
        ("[mount-defaults] hold", "\"31s\"".to_owned()),
        ("[mount-defaults] listener_timeout", "\"31s\"".to_owned()),
        ("[mount-defaults] max_listeners", "1".to_owned()),
        ("[mount-defaults] coalesce", "\"1ms\"".to_owned()),
        ("[mount-defaults] on_demand", "true".to_owned()),
        ("[mount-defaults] demand_timeout", "\"11s\"".to_owned()),
        ("[mount-defaults] linger", "\"31s\"".to_owned()),
        ("[mount-defaults] detections", "16".to_owned()),
        ("[mount-defaults] titles_from_detections", "true".to_owned()),
        ("[mount-defaults] hls", "false".to_owned()),
        ("[mount-defaults] hls_segment", "\"1s\"".to_owned()),
        ("[mount-defaults] hls_window", "\"11s\"".to_owned()),
        ("[mount-defaults] ring_bitrate", "64000".to_owned()),
        ("[mount-defaults] hidden", "true".to_owned()),
        ("[mount-defaults] expected", "true".to_owned()),
        ("[mount-defaults] title", "\"Nest\"".to_owned()),
        ("[mount-defaults] description", "\"A nest of owls\"".to_owned()),
        ("[mount-defaults] genre", "\"nature\"".to_owned()),
        ("[mount-defaults] url", "\"https://birds.example\"".to_owned()),
        ("[mount-defaults] allow_origin", "\"https://birds.example\"".to_owned()),
        ("[mount-defaults] access", "\"closed\"".to_owned()),
        ("[mount-defaults] listeners_file", file("users", &format!("anna:{hash}\n"))),
        ("[mount-defaults] tokens_file", file("tokens", &format!("web:{long}\n"))),
        ("[mount-defaults] allow", "[\"10.0.0.0/8\"]".to_owned()),
        ("[mount-defaults] deny", "[\"10.0.0.1\"]".to_owned()),
        ("[mount-defaults] source_user", "\"garden\"\nsource_password = \"x\"".to_owned()),
        ("[mount-defaults] source_password", "\"geheim\"".to_owned()),
        ("[mount-defaults] source_password_file", password.clone()),
        ("[[mount]] name", "\"/mic-*\"".to_owned()),
        ("[[relay]] from", "\"http://station.example\"".to_owned()),
        ("[[relay]] mounts", "[\"/mic-*\"]".to_owned()),
        ("[[relay]] user", "\"mirror\"\npassword = \"x\"".to_owned()),
        ("[[relay]] password", "\"geheim\"".to_owned()),
        ("[[relay]] password_file", password.clone()),
        ("[[relay]] token", "\"geheim\"".to_owned()),
        ("[[relay]] token_file", password.clone()),
        ("[[relay]] on_demand", "true".to_owned()),
        ("[[relay]] linger", "\"31s\"".to_owned()),
        ("[[relay]] prefix", "\"/far\"".to_owned()),
        ("[[relay]] local_name", "\"/x\"".to_owned()),
        ("[[forward]] to", "\"http://station.example\"".to_owned()),
        ("[[forward]] mounts", "[\"/mic-*\"]".to_owned()),
        ("[[forward]] user", "\"mirror\"".to_owned()),
        ("[[forward]] password", "\"geheim\"".to_owned()),
        ("[[forward]] password_file", password),
        ("[[forward]] when", "\"wanted\"".to_owned()),
        ("[[forward]] prefix", "\"/far\"".to_owned()),
    ];
    samples.into_iter().map(|(path, value)| (path.to_owned(), value)).collect()
}

#[test]
fn each_key_changes_the_settings_that_its_reload_class_names() {
    let (directory, environment) = service();
    let samples = samples(directory.path());
    let empty = Config::parse("", &environment).unwrap();
    let mut restarts = Vec::new();
    for key in documented() {
        let value = samples.get(&key.path()).unwrap_or_else(|| panic!("no sample: {key:?}"));
        let changed = Config::parse(&key.with(value), &environment);
        let changed = changed.unwrap_or_else(|problems| panic!("{problems:?}"));
        let later: Vec<_> = empty.needs_restart(&changed).collect();
        let at_once = in_force(&changed) != in_force(&empty)
            || changed.control.credentials != empty.control.credentials
            || changed.door.share_key != empty.door.share_key
            || changed.peers != empty.peers;
        if key.reload == "restart" {
            assert_eq!((&*later, at_once), (&[key.path()][..], false), "{key:?}");
            restarts.push(key.path());
        } else {
            let classes = ["at once", "next stream", "next mount"];
            assert!(classes.contains(&key.reload), "{key:?}");
            assert_eq!((&*later, at_once), (&[][..], true), "{key:?}");
        }
    }
    let expected = [
        "listen",
        "workers",
        "[process] user",
        "[log] combined",
        "[log] format",
        "[webrtc] listen",
        "[webrtc] addresses",
        "[webrtc] sessions",
    ];
    assert_eq!(restarts, expected);
}

#[test]
fn a_mount_takes_what_the_defaults_say_unless_it_says_otherwise() {
    let (directory, environment) = service();
    let samples = samples(directory.path());
    let settings = |text: &str| {
        let rules = Config::parse(text, &environment).unwrap().door.rules;
        (rules.of(&Name::new("/m").unwrap()), rules.defaults)
    };
    let empty = settings("").1;
    for key in documented().iter().filter(|key| key.heading == "[mount-defaults]") {
        let value = &samples[&key.path()];
        let (mount, defaults) = settings(&format!("{}[[mount]]\nname = \"/m\"\n", key.with(value)));
        assert_eq!(mount, defaults, "{key:?}");
        assert_ne!(mount, empty, "{key:?}");
        let own = format!("[[mount]]\nname = \"/m\"\n{} = {value}\n", key.name);
        assert_eq!(settings(&own), (mount, empty.clone()), "{key:?}");
    }
}

#[test]
fn no_message_shows_a_secret() {
    const HIDDEN: &str = "do-not-show";
    let (_directory, environment) = service();
    let secret = |name: &str| ["password", "key", "token"].iter().any(|it| name.ends_with(it));
    let listed: Vec<_> = KEYS.all().filter(|row| row.is_secret()).map(Row::path).collect();
    let named: Vec<_> =
        documented().iter().filter(|key| secret(key.name)).map(Documented::path).collect();
    assert_eq!(listed, named, "by its name each of these is a secret, and no other is");
    assert!(named.len() >= 4);

    let wrong = [format!("[\"{HIDDEN}\"]"), format!("{{ a = \"{HIDDEN}\" }}"), "\"\"".to_owned()];
    for key in documented().iter().filter(|key| secret(key.name)) {
        for value in &wrong {
            let problems = Config::parse(&key.with(value), &environment).unwrap_err();
            let text = problems.iter().map(Problem::to_string).collect::<String>();
            assert!(text.contains(&format!("invalid value *** for `{}`", key.name)), "{text}");
            assert!(!text.contains(HIDDEN), "{text}");
        }
        // Nor where the table itself is something else.
        let table = key.heading.trim_matches(['[', ']']);
        let text = format!("{table} = \"{} = '{HIDDEN}'\"\n", key.name);
        let problems = Config::parse(&text, &environment).unwrap_err();
        assert!(problems.iter().all(|problem| !problem.text.contains(HIDDEN)), "{problems:?}");
        // Nor where the key is given twice.
        let twice = format!("{0}{1} = \"{HIDDEN}\"\n", key.with("\"x\""), key.name);
        let problems = Config::parse(&twice, &environment).unwrap_err();
        assert!(problems.iter().all(|problem| !problem.text.contains(HIDDEN)), "{problems:?}");
    }
}

#[test]
fn editors_accept_what_the_server_accepts() {
    let Some(place) = readers() else { return };
    let (directory, environment) = service();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = format!("file://{}", root.join("docs/silvacast.schema.json").display());
    let file = directory.path().join("silvacast.toml");
    let lint = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut taplo = Command::new(place.join("node_modules/.bin/taplo"));
        taplo.args(["lint", "--colors", "never", "--schema", &schema]).arg(&file);
        let output = taplo.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let everything = include_str!("../../fuzz/seeds/config/everything");
    let service = include_str!("../../systemd/silvacast.toml");
    let container = include_str!("../../quadlet/silvacast.toml");
    for text in [everything, service, container] {
        let (accepted, said) = lint(text);
        assert!(accepted, "{said}\n{text}");
    }
    let (mut defaults, mut heading) = (String::new(), "");
    for key in documented() {
        if key.default == "none" || key.default.starts_with("required") {
            continue;
        }
        if key.heading != heading {
            heading = key.heading;
            let required = key.required();
            let required = required.lines().filter(|line| !line.starts_with("mounts"));
            defaults.extend([heading, "\n"]);
            defaults.extend(required.flat_map(|line| [line, "\n"]));
        }
        defaults.extend([key.name, " = ", key.default, "\n"]);
    }
    let (accepted, said) = lint(&defaults);
    assert!(accepted, "{said}\n{defaults}");
    for wrong in [
        "wrokers = 1\n",
        "workers = 0\n",
        "[limits]\nrequest_head = \"8\"\n",
        "[mount-defaults]\nhold = \"10\"\n",
        "[mount-defaults]\ngap = \"noise\"\n",
        "[[mount]]\nring = \"1MiB\"\n",
        "[auth]\nsource_password = \"\"\n",
    ] {
        assert!(!is_accepted(wrong, &environment), "{wrong}");
        let (accepted, said) = lint(wrong);
        assert!(!accepted && said.contains("schema validation failed"), "{wrong}\n{said}");
    }
}
