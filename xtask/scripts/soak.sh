#!/usr/bin/env bash
# Thirty rounds of faults (300 kills of one member, 30 of all of them), then the whole scenario again
# and again until the time is over: `soak.sh MINUTES`. A round that fails, or that leaves a process or
# a file behind, keeps its output and is counted; the exit status is 1 then.
set -eu
cd "$(dirname "$0")/../.."

minutes="${1:-60}"
case "$minutes" in '' | *[!0-9]*) echo "soak: MINUTES must be a whole number" >&2; exit 2 ;; esac

xtask/scripts/setup.sh demo
cargo build --release --package fairground --package fairground-tests-faults
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -nE 's/.*"target_directory":"([^"]+)".*/\1/p')
binary=$(readlink -f "$target/release/fairground")
kept="${XDG_CACHE_HOME:-$HOME/.cache}/fairground/soak/$(date -u +%Y%m%dT%H%M%SZ)"
scratch=$(mktemp -d)
mkdir -p "$kept" "$scratch/tmp"
trap 'rm -rf "$scratch"' EXIT

# Processes of this very binary that outlived the round.
left_behind() {
    local exe count=0
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe" 2>/dev/null)" = "$binary" ] && count=$((count + 1))
    done
    echo "$count"
}

figure() { sed -nE "s/.*\"$1\": ?([0-9.]+).*/\1/p" "$scratch/round.json" | head -n 1; }

others=$(left_behind)
ends=$((SECONDS + minutes * 60))
rounds=0
failures=0
if ! FAIRGROUND_BIN="$binary" TMPDIR="$scratch/tmp" "$target/release/fairground-faults" run \
    --rounds 30 --single 10 --whole 1 --edges 3 --pauses 3 --troubles 15 --keep "$kept"; then
    failures=$((failures + 1))
fi
while [ "$SECONDS" -lt "$ends" ] || [ "$rounds" -eq 0 ]; do
    rounds=$((rounds + 1))
    begun=$SECONDS
    verdict=ok
    TMPDIR="$scratch/tmp" timeout --kill-after=30 600 "$binary" demo --scenario full --json \
        >"$scratch/round.json" 2>"$scratch/round.log" </dev/null || verdict="exit $?"
    grep -qE '^(\{|  )"ok": ?true' "$scratch/round.json" || verdict="${verdict/#ok/not ok}"
    processes=$(($(left_behind) - others))
    [ "$processes" -le 0 ] || verdict="$verdict, $processes processes left"
    files=$(find "$scratch/tmp" -mindepth 1 | wc -l)
    [ "$files" -eq 0 ] || verdict="$verdict, $files files left"
    if [ "$verdict" != ok ]; then
        failures=$((failures + 1))
        cp "$scratch/round.json" "$kept/round-$rounds.json"
        cp "$scratch/round.log" "$kept/round-$rounds.log"
        find "$scratch/tmp" -mindepth 1 -delete
    fi
    echo "round $rounds: $verdict, $((SECONDS - begun)) s," \
        "verdict p50 $(figure verdict_p50_ms) ms, p99 $(figure verdict_p99_ms) ms, failover $(figure failover_ms) ms"
done
[ "$failures" -gt 0 ] && echo "soak: the failed rounds are in $kept" || rmdir "$kept"
echo "soak: $rounds rounds, $failures failed, $minutes min"
[ "$failures" -eq 0 ]
