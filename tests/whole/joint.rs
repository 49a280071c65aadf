//! The sound of a joint: a decoder that continues from one source to another, compared with one that starts there.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use silvacast::ogg::{Codec, Splice};

use crate::ogg::{self, next_page};
use crate::process::Run;

/// A head without pre-skip, so that a decoder returns all samples.
const HEAD: &[u8] = b"OpusHead\x01\x01\x00\x00\x80\xbb\x00\x00\x00\x00\x00";
const FRAME: usize = 960;

/// The audio pages that FFmpeg makes from a sound.
fn encode(sound: &str, bitrate: &str) -> Vec<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-nostdin",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        sound,
        "-ac",
        "1",
        "-c:a",
        "libopus",
    ]);
    command.args(["-b:a", bitrate, "-page_duration", "20000", "-f", "ogg", "-"]);
    let ogg = command.run().stdout;
    let mut rest = &ogg[..];
    let pages = std::iter::from_fn(|| next_page(&mut rest).map(|page| page.bytes().to_vec()));
    pages.skip(2).collect()
}

/// The stream that listeners get from these sources, one after the other with a pause of `away` in between, and the
/// sample at which the last of them begins.
fn splice(sources: &[&[Vec<u8>]], away: Duration) -> (Vec<u8>, usize) {
    let headers = ogg::headers_with(1, HEAD, ogg::TAGS);
    let Ok(Codec::Opus(head)) = Codec::of(&next_page(&mut &headers[..]).unwrap()) else {
        panic!("not Opus")
    };
    let mut splice = Splice::new(&head, 1, 2, true, Duration::from_secs(1));
    let (mut out, mut now, mut position, mut joint) = (headers, Instant::now(), 0, 0);
    for source in sources {
        splice.join();
        for (number, bytes) in source.iter().enumerate() {
            now += Duration::from_millis(20);
            let page = next_page(&mut &bytes[..]).unwrap();
            splice.push(&page, now, |page| {
                position = page.granule().unwrap() as usize;
                page.pieces().iter().for_each(|piece| out.extend_from_slice(piece));
            });
            if number == 0 {
                joint = position - FRAME;
            }
        }
        now += away;
    }
    (out, joint)
}

fn decode(stream: &[u8], directory: &Path) -> Vec<f32> {
    let file = directory.join("stream.opus");
    std::fs::write(&file, stream).unwrap();
    let mut command = Command::new("ffmpeg");
    // Browsers and VLC decode with libopus.
    command.args(["-nostdin", "-loglevel", "error", "-c:a", "libopus", "-i"]).arg(&file);
    let output = command.args(["-f", "f32le", "-ac", "1", "-"]).run();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The loudest sample of the first five frames, in dB below full scale.
fn peak(sound: &[f32]) -> f32 {
    20.0 * sound.iter().take(5 * FRAME).fold(1e-5f32, |peak, sample| peak.max(sample.abs())).log10()
}

/// The difference of the first five frames from the expected ones: the loudest sample of it in each frame, in dB below
/// full scale.
fn apart(heard: &[f32], truth: &[f32]) -> Vec<i32> {
    let frames = heard.chunks(FRAME).zip(truth.chunks(FRAME)).take(5);
    let difference = |(heard, truth): (&[f32], &[f32])| -> Vec<f32> {
        heard.iter().zip(truth).map(|(a, b)| a - b).collect()
    };
    frames.map(|frame| peak(&difference(frame)).round() as i32).collect()
}

#[test]
fn a_joint_is_no_louder_than_what_it_joins() {
    let directory = tempfile::tempdir().unwrap();
    let tone = "sine=440:r=48000:d=2,volume=4";
    let noise = "anoisesrc=r=48000:d=2:c=pink:a=0.5:seed=1";
    for (what, sounds, bitrate) in [
        ("tone to noise, CELT 64k", [tone, noise], "64k"),
        ("noise to tone, CELT 64k", [noise, tone], "64k"),
        ("tone to noise, hybrid 24k", [tone, noise], "24k"),
        ("noise to tone, SILK 12k", [noise, tone], "12k"),
    ] {
        let [before, after] = sounds.map(|sound| encode(sound, bitrate));
        // The second source, decoded from its beginning.
        let truth = decode(&splice(&[&after], Duration::ZERO).0, directory.path());
        for (begin, how) in [(0, "from its beginning"), (30, "from its middle")] {
            let after = &after[begin..];
            let truth = &truth[begin * FRAME..];
            let alone = decode(&splice(&[after], Duration::ZERO).0, directory.path());
            let ways = [(Duration::ZERO, "at once"), (Duration::from_secs(3), "after silence")];
            for (away, gap) in ways {
                let (stream, joint) = splice(&[&before, after], away);
                let heard = decode(&stream, directory.path());
                // The reference: the two sounds, and a decoder that converges without a joint.
                let parts = [peak(&heard[joint - 5 * FRAME..joint]), peak(truth), peak(&alone)];
                let click = peak(&heard[joint..]) - parts.into_iter().fold(f32::MIN, f32::max);
                println!(
                    "{what}, {how}, {gap}: {click:+.1} dB over its parts; {:?} dBFS apart, without the joint {:?}",
                    apart(&heard[joint..], truth),
                    apart(&alone, truth)
                );
                assert!(click < 1.0, "{what}, {how}, {gap}: a click of {click} dB");
            }
        }
    }
}
