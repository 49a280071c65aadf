# The recipes. `just` without arguments lists them.
_default:
    @just --list

# Serve on loopback with passwords made for this run
run *ARGS:
    cargo run --release -- {{ARGS}}

# Serve with two built-in microphones
demo:
    cargo run --release -- demo

# Report every error of a configuration, and the most memory that it can take
check FILE:
    cargo run --release -- check --config {{FILE}}

# Run all checks and tests that CI runs
test:
    tests/all

# Formatting, lints, and the licences and sources of dependencies (needs cargo-deny)
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check

# Run attacks and faults against the server and report the results; --long takes over ten minutes
hostile *ARGS:
    cargo test --locked --test hostile -- {{ARGS}}

# Measure CPU, latency and memory, compared with a minimal relay and Icecast
bench *ARGS:
    cargo bench --bench fanout -- {{ARGS}}

# Measure the cost of a page from the splice into the ring
bench-splice:
    cargo bench --bench splice

# Measure how far behind live mpv, ffplay and Chromium play
latency:
    cargo build --release
    benches/latency

# Fuzz one target: head, scan, splice, config, icecast, chunked, link, token or forwarded
fuzz TARGET SECONDS="60":
    mkdir -p fuzz/corpus/{{TARGET}}
    cargo +nightly fuzz run {{TARGET}} fuzz/corpus/{{TARGET}} fuzz/seeds/{{TARGET}} -- -max_total_time={{SECONDS}}

# Write the manual pages and the shell completions
manual DIR="target/manual":
    cargo run --example manual -- {{DIR}}

# Build a static binary for another machine, without containers (see also cross/Cross.toml)
cross TARGET="aarch64-unknown-linux-musl":
    rustup target add {{TARGET}}
    cargo build --config cross/cargo.toml --release --target {{TARGET}}

# Build Debian packages in target/debian, for a Raspberry Pi and a PC (installs cargo-deb if missing)
deb *TARGETS="aarch64-unknown-linux-musl x86_64-unknown-linux-musl":
    systemd/debian/build {{TARGETS}}

# Install the static binary and its units on a host; if it does not start, restore the previous state
deploy HOST TARGET="aarch64-unknown-linux-musl": (cross TARGET)
    cross/deploy {{HOST}} {{TARGET}}
