# The recipes; `just` alone lists them.
_default:
    @just --list

# Serve on loopback with passwords made for this run
run *ARGS:
    cargo run --release -- {{ARGS}}

# Serve with two built-in microphones
demo:
    cargo run --release -- demo

# Say every error of a configuration, and the memory it can take
check FILE:
    cargo run --release -- check --config {{FILE}}

# Everything that can fail
test:
    tests/all

# Style, lints, and the licences and sources of what is used (needs cargo-deny)
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check

# Attacks and faults against the server, and what was seen; --long takes ten minutes and more
hostile *ARGS:
    cargo test --locked --test hostile -- {{ARGS}}

# CPU, latency and memory beside a bare fan-out and Icecast, in one run
bench *ARGS:
    cargo bench --bench fanout -- {{ARGS}}

# What a page costs on its way into the ring
bench-splice:
    cargo bench --bench splice

# How far behind live mpv, ffplay and Chromium are
latency:
    cargo build --release
    benches/latency

# Fuzz one target: head, scan, splice, config, icecast, chunked, link, token or forwarded
fuzz TARGET SECONDS="60":
    mkdir -p fuzz/corpus/{{TARGET}}
    cargo +nightly fuzz run {{TARGET}} fuzz/corpus/{{TARGET}} fuzz/seeds/{{TARGET}} -- -max_total_time={{SECONDS}}

# Write what the repository has of the table of keys: in the README, and the schema for editors
keys:
    cargo run --example manual -- --checked-in

# Write the manual pages and the shells' completions
manual DIR="target/manual":
    cargo run --example manual -- {{DIR}}

# A static binary for another machine, without Docker (cross/Cross.toml is for those who have it)
cross TARGET="aarch64-unknown-linux-musl":
    rustup target add {{TARGET}}
    cargo build --config cross/cargo.toml --release --target {{TARGET}}

# Debian packages in target/debian, for a Raspberry Pi and for a PC (installs cargo-deb where it is missing)
deb *TARGETS="aarch64-unknown-linux-musl x86_64-unknown-linux-musl":
    systemd/debian/build {{TARGETS}}

# Put the static binary and its units on a host; what does not start there changes nothing
deploy HOST TARGET="aarch64-unknown-linux-musl": (cross TARGET)
    cross/deploy {{HOST}} {{TARGET}}
