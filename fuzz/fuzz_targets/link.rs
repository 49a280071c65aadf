//! The query of a shared link, at any time: it lets nobody in that has not been signed, and its end is a time.
#![no_main]

use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use silvacast::auth::{Link, Secret};

fuzz_target!(|input: (&str, u64)| {
    let (query, seconds) = input;
    let Some(link) = Link::of_query(query) else { return };
    let wall = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let (wall, steady) = (wall.unwrap_or(SystemTime::UNIX_EPOCH), Instant::now());
    let key = Secret::new("not to be guessed by a fuzzer");
    assert!(link.verify("/mic.opus", Some(&key), wall).is_err());
    assert!(link.verify("/mic.opus", None, wall).is_err());
    assert!(link.end(wall, steady).is_none_or(|end| end >= steady));
    assert_eq!(Link::of_query(&link.query()), Some(link));
});
