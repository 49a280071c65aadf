//! An offer of WebRTC: it is refused with a sentence, or what the answer repeats of it is safe to repeat.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silvacast::webrtc::SdpOffer;

fuzz_target!(|body: &[u8]| {
    let Ok(text) = std::str::from_utf8(body) else { return };
    match SdpOffer::parse(text) {
        Ok(offer) => {
            assert!(offer.audio < offer.sections.len() && offer.payload_type < 128);
            assert!((4..=256).contains(&offer.ufrag.len()));
            for section in &offer.sections {
                let texts = [&section.media, &section.protocol, &section.formats];
                for text in texts.into_iter().chain(&section.mid) {
                    assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
                }
            }
        }
        Err(error) => assert!(error.to_string().ends_with('.')),
    }
});
