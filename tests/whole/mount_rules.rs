//! `[[mount]]` sections that can never apply are errors in `check` and at the start.

use std::process::Output;

use crate::client::{Source, get};
use crate::daemon::{Daemon, silvacast};
use crate::process::Run;

const LOGINS: &str = "[auth]\nsource_password = \"a\"\nadmin_password = \"b\"\n";

fn mounts(names: &[&str]) -> String {
    names.iter().fold(String::new(), |text, name| text + "[[mount]]\nname = '" + name + "'\n")
}

/// Runs a command with a configuration and returns its exit code and what it said.
fn with(command: &str, text: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, text).unwrap();
    let Output { status, stderr, .. } = silvacast().args([command, "--config"]).arg(&file).run();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_section_that_can_never_apply_is_an_error() {
    for (top, names, wanted) in [
        (
            "",
            &["/mic-*.opus", "/mic-7.opus"][..],
            "line 8: \"/mic-7.opus\" never applies, because \"/mic-*.opus\" in line 6 comes first",
        ),
        ("", &["/**", "/a/*/b"], "line 8: \"/a/*/b\" never applies, because \"/**\" in line 6"),
        ("", &["/*", "/*/**", "/**"], "line 10: \"/**\" never applies, because \"/*\" in line 6"),
        ("", &["/a", "/a"], "line 8: duplicate mount \"/a\"; the first is in line 6"),
        ("", &["/healthz"], "line 6: invalid value '/healthz' for `name` in [[mount]]: this path"),
        ("", &["/api/*"], "line 6: invalid value '/api/*' for `name` in [[mount]]: this path"),
        ("", &["/*.xsl"], "line 6: invalid value '/*.xsl' for `name` in [[mount]]: this path"),
        ("", &["/mic-?"], "line 6: invalid value '/mic-?' for `name` in [[mount]]: `?` is not"),
        ("", &["/[ab]"], "line 6: invalid value '/[ab]' for `name` in [[mount]]: `[` is not"),
        ("", &["/a%20b"], "line 6: invalid value '/a%20b' for `name` in [[mount]]: a name is"),
        ("", &["/a/"], "line 6: invalid value '/a/' for `name` in [[mount]]: a mount name must"),
        (
            "path_prefix = \"/stream\"",
            &["/stream/a"],
            "line 6: \"/stream/a\" never applies, because `path_prefix` \"/stream\" is not part",
        ),
    ] {
        let text = format!("{top}\n{LOGINS}{}", mounts(names));
        for command in ["check", "run"] {
            let (code, said) = with(command, &text);
            assert_eq!(code, Some(2), "{command}: {said}\n{text}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains(wanted), "{wanted}\n{said}");
        }
    }
    for names in [&["/mic-7.opus", "/mic-*.opus", "/**"][..], &["/stream", "/streams/a"]] {
        let (code, said) =
            with("check", &format!("path_prefix = \"/stream\"\n{LOGINS}{}", mounts(names)));
        assert_eq!((code, &*said), (Some(0), ""), "{names:?}");
    }
}

#[test]
fn sections_that_compete_for_names_and_admit_others_are_a_warning() {
    let text = |second: &str| {
        format!("{LOGINS}[[mount]]\nname = \"/mic-*.opus\"\n[[mount]]\nname = \"{second}\"\n")
    };
    let warning = "line 7: \"/*-7.opus\" does not apply to names such as \"/mic-7.opus\", because \
                   \"/mic-*.opus\" in line 5 matches them too and comes first";
    let closed = text("/*-7.opus") + "access = \"closed\"\n";
    let (code, said) = with("check", &closed);
    assert_eq!(code, Some(0));
    assert!(said.contains(warning), "{said}");
    let server = Daemon::of_text(format!("listen = [\"127.0.0.1:0\"]\n{closed}"));
    server.wait_for_line(&["config-warning", "/*-7.opus", "does not apply"]);
    for harmless in [
        text("/*-7.opus") + "hold = \"5s\"\n",
        text("/cam-*.opus") + "access = \"closed\"\n",
        text("/**") + "access = \"closed\"\n",
    ] {
        assert_eq!(with("check", &harmless), (Some(0), String::new()), "{harmless}");
    }
}

#[test]
fn the_first_section_that_matches_applies() {
    let server = Daemon::with(
        "",
        "[[mount]]\nname = \"/mic-7.opus\"\naccess = \"closed\"\n[[mount]]\nname = \"/mic-*.opus\"\n",
    );
    let _sources = ["/mic-7.opus", "/mic-8.opus"].map(|name| Source::connect(&server, name, 1));
    assert_eq!(get(&server, "/mic-7.opus").status, 403);
    crate::client::Listener::join(&server, "/mic-8.opus");
}
