//! What another server lists, and its URL: only valid names of mounts come out, and what is written is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silvacast::http::{via_names, via_value};
use silvacast::mount::Name;
use silvacast::peers::{ListedMounts, ServerUrl, event_lines, status_mounts, stream_list};

fuzz_target!(|input: (&str, &str)| {
    let (first, second) = input;
    let is_name = |name: &Name| Name::new(name.as_str()).as_ref() == Ok(name);
    assert!(stream_list(first).iter().all(is_name));
    assert!(status_mounts(first, second).unwrap_or_default().iter().all(is_name));
    for event in ["mounts", "up", "down", "gone", second] {
        match event_lines(event, first) {
            Some(ListedMounts::All(names)) => assert!(names.iter().all(is_name)),
            Some(ListedMounts::There(name) | ListedMounts::Gone(name)) => assert!(is_name(&name)),
            None => {}
        }
    }
    if let Ok(url) = ServerUrl::parse(first) {
        assert_eq!(ServerUrl::parse(&url.to_string()), Ok(url));
    }
    let names = via_names([first, second].into_iter());
    let written = via_value(&names);
    let again = via_names([&*written].into_iter());
    assert!(again.len() == 16 || again[..names.len()] == names);
});
