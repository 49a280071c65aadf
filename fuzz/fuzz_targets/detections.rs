//! What a detector posts, as JSON or as a table: it is refused with reasons, or its detections are within
//! the limits that the memory is computed with, and are the same when they are read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silvacast::detections::{Detection, MAX_POSTED, Post, PostFormat, ReadOptions};
use silvacast::utc::Utc;

fn check(detection: &Detection, received: Utc) {
    assert!((0.0..=1.0).contains(&detection.confidence));
    assert!(detection.start < detection.end);
    assert!(!detection.title().is_empty() && !detection.comment().contains(char::is_control));
    let Detection { scientific_name, common_name, id, model, url, .. } = detection;
    let texts = [scientific_name, common_name, id, model, url];
    for text in texts.into_iter().flatten() {
        assert!(text.len() <= 256 && !text.is_empty() && !text.contains(char::is_control));
    }
    let json = serde_json::to_vec(detection).unwrap();
    let options = ReadOptions { format: PostFormat::Json, shift: 0, received };
    assert_eq!(Post::read(&json, &options).unwrap().detections, [detection.clone()]);
}

fuzz_target!(|body: &[u8]| {
    let received = Utc::parse("2026-05-04T03:12:59Z").unwrap();
    for format in [PostFormat::Json, PostFormat::Table(received)] {
        match Post::read(body, &ReadOptions { format, shift: 0, received }) {
            Ok(post) => {
                assert!(post.detections.len() <= MAX_POSTED);
                post.detections.iter().for_each(|detection| check(detection, received));
            }
            Err(problems) => assert!(!problems.to_string().is_empty()),
        }
    }
});
