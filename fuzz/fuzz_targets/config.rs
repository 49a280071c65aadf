//! A configuration file: it is read, or refused with reasons that hold no password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silvacast::config::{Budget, Config, Environment};

fuzz_target!(|text: &str| {
    match Config::parse(text, &Environment::default()) {
        Ok(config) => assert!(Budget::of(&config).total() > 0),
        Err(problems) => assert!(!problems.is_empty()),
    }
});
