#!/usr/bin/env bash
# Measures: the benches named below, one after the other, then one release scenario; prints one table.
# Then load on a running market and its peers (tests/bench) with modest sizes; the full ones are
# options of `fairground-bench`. The rules and what to expect: docs/src/internals/performance.md.
#
# FAIRGROUND_BENCH_ONCE=1 runs one small round of every bench in the dev profile, no scenario and no
# load: it shows that they run, and its figures mean nothing (`make test` runs the load generators at
# their smallest). Exit 1: something failed; the rest is printed.
set -u
cd "$(dirname "$0")/../.."

once="${FAIRGROUND_BENCH_ONCE:-0}"
benches="fairground-market:apply fairground-market:signatures fairground-wire:codec fairground-storage:durable fairground-storage:hits"
# The signing half of a table is a tool of tests.
features() { [ "$1" = fairground-market:signatures ] && echo "--features test-util"; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failed=0

profile=()
[ "$once" = 1 ] && profile=(--profile dev)
[ "$once" = 1 ] || xtask/scripts/setup.sh demo || exit

# Everything is built before anything is measured.
for bench in $benches; do
    cargo bench ${profile[@]+"${profile[@]}"} --no-run --package "${bench%:*}" $(features "$bench") --bench "${bench#*:}" || exit 1
done
[ "$once" = 1 ] || cargo build --release --package fairground --package fairground-bench || exit 1

row() { printf '%-48s %12s %12s %12s  %s\n' "$@"; }

echo "$(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg), $(date -u +%Y-%m-%dT%H:%MZ)"
row name median min max unit
for bench in $benches; do
    if ! cargo bench ${profile[@]+"${profile[@]}"} --quiet --package "${bench%:*}" $(features "$bench") --bench "${bench#*:}"; then
        echo "bench: $bench failed" >&2
        failed=1
    fi
done
[ "$once" = 1 ] && exit "$failed"

# The unit of a figure is the end of its name.
unit() {
    case "$1" in
        *_ms) echo ms ;;
        *_mb) echo MB ;;
        *_fps) echo frames/s ;;
        *) echo - ;;
    esac
}

target=$(cargo metadata --format-version 1 --no-deps --offline | sed -nE 's/.*"target_directory":"([^"]+)".*/\1/p')
timeout --kill-after=30 600 "$target/release/fairground" demo --scenario full --json \
    >"$work/scenario.json" 2>"$work/scenario.log" </dev/null || failed=1
figures=$(tr -d '\n' <"$work/scenario.json" | sed -nE 's/.*"figures": *\{([^}]*)\}.*/\1/p')
while IFS=: read -r name value; do
    name=$(tr -d ' "' <<<"$name")
    [ -z "$name" ] || row "scenario: $name" "$(tr -d ' ' <<<"$value")" - - "$(unit "$name")"
done < <(tr ',' '\n' <<<"$figures")
if ! tr -d ' \n' <"$work/scenario.json" | grep -q '^{"ok":true'; then
    echo "bench: the scenario failed:" >&2
    tail -n 20 "$work/scenario.log" >&2
    failed=1
fi

# Load through HTTPS, on the disk that FAIRGROUND_BENCH_DIR is on.
export FAIRGROUND_BIN="$target/release/fairground"
load() { # SUB-COMMAND OPTIONS
    echo
    echo "load: $*"
    if ! timeout --kill-after=30 1200 "$target/release/fairground-bench" "$@" \
        --dir "${FAIRGROUND_BENCH_DIR:-$work}"; then
        echo "bench: load $1 failed" >&2
        failed=1
    fi
}
load peers --bidders 1,64,256 --seconds 5
load many --auctions 1000 --bidders 64
load failover --kills 3
load closes --auctions 1000
load delivery --connections 1,64 --seconds 3
load misses
load encode --encoder-seconds 10
exit "$failed"
