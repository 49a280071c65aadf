//! A configuration of Icecast's: it is read, or refused with reasons; and no text around a list of addresses that cannot
//! be read makes it one that lets everybody in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silvacast::config::{Budget, Config, Environment};

const HEAD: &str = "<icecast><authentication><source-password>s</source-password>\
                    <admin-password>a</admin-password></authentication>";

fn is_read(text: &str) -> bool {
    match Config::read(text.as_bytes(), &Environment::default()) {
        Ok(config) => {
            assert!(Budget::of(&config).total() > 0);
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            false
        }
    }
}

fuzz_target!(|text: &str| {
    is_read(text);
    let around = [("<paths>", "</paths>"), ("<mount><mount-name>/m</mount-name>", "</mount>")];
    for (before, after) in around {
        let file = |more: &str| format!("{HEAD}{before}{text}{more}{after}</icecast>");
        // Where the text is whole by itself, so is what follows it.
        if is_read(&file("")) {
            assert!(!is_read(&file("<allow-ip>/nonexistent/addresses</allow-ip>")));
        }
    }
});
