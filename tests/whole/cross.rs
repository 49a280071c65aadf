//! The static binaries, also for other machines.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use toml::{Table, Value};

use crate::client::Listener;
use crate::daemon::Daemon;
use crate::fetched::readers;
use crate::needs::{Need, needs};
use crate::network::{self, ADDRESS};
use crate::ogg;
use crate::players::{OPUS, assert_unbroken_tone, decode, ffmpeg_source};
use crate::process::Run;
use crate::whep::reachable_at;
use crate::whep_clients::assert_heard_by_aiortc;

/// The greatest size of a binary, in bytes: updates go over a field station's mobile link. The encodings of icecast.xml are
/// 0.2 MB of it, and WebRTC 1.1 MB.
const HEAVIEST: u64 = 6_000_000;

fn binary(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap().into()
}

/// The aarch64 binary under QEMU.
fn aarch64() -> Command {
    let mut command = Command::new("qemu-aarch64-static");
    command.arg(binary("SILVACAST_AARCH64"));
    command
}

/// Everything that a command prints.
fn said(command: &mut Command) -> String {
    let output = command.run();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn they_are_static_stripped_small_and_at_no_fixed_address() {
    if !needs(&[Need::Static]) {
        return;
    }
    let version = format!("silvacast {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(said(Command::new(binary("SILVACAST_STATIC")).arg("--version")), version);
    assert_eq!(said(aarch64().arg("--version")), version);
    for (variable, machine, ldd) in [
        ("SILVACAST_STATIC", "x86-64", "statically linked"),
        ("SILVACAST_AARCH64", "ARM aarch64", "not a dynamic executable"),
    ] {
        let path = binary(variable);
        let file = said(Command::new("file").arg("--brief").arg(&path));
        let parts: Vec<_> = file.trim().split(", ").collect();
        for part in ["ELF 64-bit LSB pie executable", machine, "static-pie linked", "stripped"] {
            assert!(parts.contains(&part), "{part}: {file}");
        }
        assert_eq!(said(Command::new("ldd").arg(&path)).trim(), ldd);
        let size = fs::metadata(&path).unwrap().len();
        assert!(size <= HEAVIEST, "{machine}: {size} bytes");
    }
}

/// Nothing that is linked, or that builds what is, compiles C.
#[test]
fn no_crate_compiles_c() {
    for triple in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
        let mut tree = Command::new(env!("CARGO"));
        tree.args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--target"]);
        let crates = said(tree.current_dir(env!("CARGO_MANIFEST_DIR")).arg(triple));
        let names: Vec<_> = crates.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains(&"dimpl"), "{crates}");
        for name in ["cc", "cmake", "bindgen", "ring", "aws-lc-sys", "openssl-sys", "nasm-rs"] {
            assert!(!names.contains(&name), "{triple}: {name}");
        }
    }
}

/// A Raspberry Pi 4 has no instructions for AES. QEMU has no model of its processor without them, but one of an x86.
#[test]
fn webrtc_works_on_another_machine_and_without_instructions_for_aes() {
    let Some(place) = readers() else { return };
    if !needs(&[Need::Static]) || !network::enter() {
        return;
    }
    let sections = reachable_at(ADDRESS, "");
    let mut old = Command::new("qemu-x86_64-static");
    old.args(["-cpu", "Nehalem"]).arg(binary("SILVACAST_STATIC"));
    for command in [aarch64(), old] {
        assert_heard_by_aiortc(&place, &Daemon::of(command, "", &sections));
    }
}

#[test]
fn the_aarch64_server_relays_what_ffmpeg_sends() {
    if !needs(&[Need::Static]) {
        return;
    }
    let mut server = Daemon::of(aarch64(), "", "");
    let _source = ffmpeg_source(&OPUS, &["-f", "ogg", &server.push_url("/m.opus")]);
    server.wait_for_line(&["stream-began", "/m.opus"]);
    let mut listener = Listener::join(&server, "/m.opus");
    let mut last = None;
    for _ in 0..100 {
        let bytes = listener.page().unwrap();
        let page = ogg::next_page(&mut &bytes[..]).expect("an invalid page");
        // The numbers of pages that are older than the burst are missing.
        assert!(last.is_none_or(|last| page.sequence() > last));
        last = Some(page.sequence());
    }
    assert_unbroken_tone("aarch64", &decode(&server, "/m.opus"));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn they_are_built_the_same_with_docker_and_without() {
    let read = |name: &str| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cross").join(name);
        fs::read_to_string(path).unwrap().parse::<Table>().unwrap()
    };
    let (cargo, docker) = (read("cargo.toml"), read("Cross.toml"));
    let targets = cargo["target"].as_table().unwrap();
    assert!(targets.len() >= 3);
    let words = |value: &Value| {
        let words = value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    let expected: Table = targets
        .iter()
        .map(|(target, settings)| {
            let variable = format!("CARGO_TARGET_{}", target.to_uppercase().replace('-', "_"));
            let linker = format!("{variable}_LINKER={}", settings["linker"].as_str().unwrap());
            let flags = format!("{variable}_RUSTFLAGS={}", words(&settings["rustflags"]).join(" "));
            let environment =
                Table::from_iter([("passthrough".into(), vec![linker, flags].into())]);
            let image = format!("ghcr.io/cross-rs/{target}:0.2.5");
            let table = [("image".into(), image.into()), ("env".into(), environment.into())];
            (target.clone(), Table::from_iter(table).into())
        })
        .collect();
    assert_eq!(docker["target"].as_table(), Some(&expected));
}
