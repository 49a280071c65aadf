//! What a request offers to be let in to a mount, and a file of users: nobody gets in without knowing something.
#![no_main]

use std::net::IpAddr;
use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use silvacast::auth::{
    Access, AccessMode, Link, PasswordHashes, PresentedCredentials, Secret, Token, Verdict, basic,
};

const TOKEN: &str = "not to be guessed by a fuzzer";

fuzz_target!(|input: (&str, &str, &str, bool)| {
    let (authorization, query, users, takes_tokens) = input;
    let token = authorization.strip_prefix("Bearer ").or_else(|| query.strip_prefix("token="));
    let offer = PresentedCredentials {
        login: basic(authorization),
        token,
        link: Link::of_query(query),
        is_relay: false,
    };
    let access = Access {
        mode: if takes_tokens { AccessMode::Token } else { AccessMode::Password },
        listeners: PasswordHashes::parse(users).unwrap_or_default(),
        tokens: vec![Token { name: "web".into(), token: Secret::new(TOKEN) }],
        ..Access::default()
    };
    let address = IpAddr::from([192, 0, 2, 1]);
    let key = Secret::new(TOKEN);
    let verdict = access.decide("/m", address, &offer, Some(&key), SystemTime::now());
    assert!(verdict != Verdict::Admit || offer.token == Some(TOKEN));
    // Whatever is compared is named beforehand, so that guessing can be stopped.
    let compared = matches!(
        verdict,
        Verdict::CheckHash { .. }
            | Verdict::WrongPassword
            | Verdict::LongPassword
            | Verdict::WrongToken
            | Verdict::BadLink(_)
    );
    assert!(!compared || access.credential("/m", &offer).is_some());
});
