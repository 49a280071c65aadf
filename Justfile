# What releases contain for this machine: the benchmark measures it.
bench-target := if arch() == "arm" { "armv7-unknown-linux-musleabihf" } else { arch() + "-unknown-linux-musl" }

# `just` alone lists the recipes.
_default:
    @just --list

# Run a server on loopback with passwords generated for this run
run *ARGS:
    cargo run --locked --release -- {{ARGS}}

# Run a server with two built-in microphones
demo:
    cargo run --locked --release -- demo

# Print all errors of a configuration, and its worst-case memory
check FILE:
    cargo run --locked --release -- check --config {{FILE}}

# All tests, or only the named stages (tests/all --help lists them)
test *STAGES:
    tests/all {{STAGES}}

# Style, lints, documentation, licences, scripts, links
lint:
    tests/all lint

# Known vulnerabilities of what is used (needs cargo-deny and the network)
advisories:
    cargo deny check advisories

# Attacks and faults against the server, with a report; --long takes ten minutes and more
hostile *ARGS:
    cargo test --locked --test hostile -- {{ARGS}}

# CPU, latency and memory beside a bare fan-out loop and Icecast: all scenarios or the named ones.
# --quick: one round. --save NAME writes target/bench/NAME.json; --against NAME compares with it.
# Measures the static binary
bench *ARGS: (cross bench-target)
    cargo bench --locked --bench fanout -- --binary target/{{bench-target}}/release/silvacast {{ARGS}}

# The time that one page takes to get into the ring
bench-splice:
    cargo bench --locked --bench splice

# How far mpv, ffplay and Chromium are behind live
latency:
    cargo build --locked --release
    benches/latency

# Fuzz one target: head, scan, splice, config, icecast, chunked, link, token or forwarded
fuzz TARGET SECONDS="60":
    mkdir -p fuzz/corpus/{{TARGET}}
    cargo +nightly fuzz run {{TARGET}} fuzz/corpus/{{TARGET}} fuzz/seeds/{{TARGET}} -- -max_total_time={{SECONDS}}

# Write what the repository has of the table of keys: in the README, and the schema for editors
keys:
    cargo run --locked --example manual -- --checked-in

# Write the manual pages and the shell completions
manual DIR="target/manual":
    cargo run --locked --example manual -- {{DIR}}

# Build a static binary for another machine, without Docker (with Docker: cross/Cross.toml)
cross TARGET="aarch64-unknown-linux-musl":
    rustup target add {{TARGET}}
    cargo build --locked --config cross/cargo.toml --release --target {{TARGET}}

# Build Debian packages in target/debian, for a Raspberry Pi and for a PC (installs cargo-deb if it is missing)
deb *TARGETS="aarch64-unknown-linux-musl x86_64-unknown-linux-musl":
    systemd/debian/build {{TARGETS}}

# Build everything that a release consists of, in target/dist (installs cargo-cyclonedx if it is missing)
release *TARGETS:
    cross/release {{TARGETS}}

# Put the static binary and its units on a host; if it does not start there, nothing changes
deploy HOST TARGET="aarch64-unknown-linux-musl": (cross TARGET)
    cross/deploy {{HOST}} {{TARGET}}
