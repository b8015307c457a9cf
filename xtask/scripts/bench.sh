#!/usr/bin/env bash
# Measures: the benches named below, one after the other, then one release scenario; prints one table.
# The rules and what to expect: docs/src/internals/performance.md.
#
# FAIRGROUND_BENCH_ONCE=1 runs one small round of every bench in the dev profile and no scenario: it
# shows that they run, and its figures mean nothing. Exit 1: something failed; the rest is printed.
set -u
cd "$(dirname "$0")/../.."

once="${FAIRGROUND_BENCH_ONCE:-0}"
benches="fairground-market:apply fairground-wire:codec fairground-storage:durable"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failed=0

profile=()
[ "$once" = 1 ] && profile=(--profile dev)
[ "$once" = 1 ] || xtask/scripts/setup.sh demo || exit

# Everything is built before anything is measured.
for bench in $benches; do
    cargo bench ${profile[@]+"${profile[@]}"} --no-run --package "${bench%:*}" --bench "${bench#*:}" || exit 1
done
[ "$once" = 1 ] || cargo build --release --package fairground || exit 1

row() { printf '%-48s %12s %12s %12s  %s\n' "$@"; }

echo "$(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg), $(date -u +%Y-%m-%dT%H:%MZ)"
row name median min max unit
for bench in $benches; do
    if ! cargo bench ${profile[@]+"${profile[@]}"} --quiet --package "${bench%:*}" --bench "${bench#*:}"; then
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
exit "$failed"
