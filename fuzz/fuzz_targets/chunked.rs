//! The framing of a chunked upload: however it is cut, the same body comes out, or the same refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use silvacast::source::BodyFraming;

fn body(input: &[u8], cut: usize) -> Option<Vec<u8>> {
    let (mut framing, mut out) = (BodyFraming::CHUNKED, Vec::new());
    for piece in input.chunks(cut) {
        let mut piece = piece.to_vec();
        let kept = framing.strip(&mut piece).ok()?;
        out.extend_from_slice(&piece[..kept]);
    }
    Some(out)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, input)) = bytes.split_first() else { return };
    assert_eq!(body(input, usize::from(cut) + 1), body(input, usize::MAX));
});
