#!/usr/bin/env bash
# Measures: `cargo bench` of every crate that has benches, then the figures of one scenario.
set -eu
cd "$(dirname "$0")/../.."

xtask/scripts/setup.sh demo
for benches in $(find . -type d -name benches -not -path '*/target/*' -not -path '*/node_modules/*' | sort); do
    manifest="$(dirname "$benches")/Cargo.toml"
    echo "== $manifest"
    cargo bench --manifest-path "$manifest"
done

cargo build --release --package fairground
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -nE 's/.*"target_directory":"([^"]+)".*/\1/p')
echo "== scenario"
"$target/release/fairground" demo --scenario full --json
