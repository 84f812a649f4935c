#!/bin/sh
# Prepare the machine: .venv with the pinned packages, and PyPy.  With the word "dev" also what the checks need:
# Chromium, and Redis.
# Done once; a second run sees that nothing changed and takes no time.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-run}

say() { printf '%s\n' "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }

# A missing piece is loud; where CI=true it is an error.
missing() {
    [ "${CI:-}" = true ] && fail "MISSING: $*"
    printf '\n*** MISSING: %s\n\n' "$*" >&2
}

# Install system packages, where that is possible without asking: as root, with apt.
apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "Installing $* with apt ..."
    export DEBIAN_FRONTEND=noninteractive
    apt="apt-get -qq -o DPkg::Lock::Timeout=120"
    { $apt install -y --no-install-recommends "$@" || { $apt update && $apt install -y --no-install-recommends "$@"; }; } \
        >/dev/null 2>&1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and none was found. Install it (Debian, Ubuntu: apt install python3 python3-venv), then try again."
}

need_space() {
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge "$1" ] || fail "The disk of $PWD has $free MB left; the packages need $1 MB. Free some space, then try again."
}

make_venv() {
    new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1 && return
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        apt_install "$version-venv" || fail "$version cannot make virtual environments. Install its venv package (Debian, Ubuntu: apt install $version-venv), then try again."
    fi
    say "Making .venv with $("$python" --version) ..."
    "$python" -m venv --clear .venv || fail "The virtual environment .venv could not be made; the lines above say why."
}

# install FILE MEGABYTES: the pinned packages of a file, as ready-made wheels: no compiler is needed.
install() {
    stamp=".venv/$1.installed"
    cmp -s "$1" "$stamp" && return
    [ -e "$stamp" ] || need_space "$2"
    say "Installing the packages of $1 (about a minute) ..."
    if ! said=$(.venv/bin/python -m pip install -qq --only-binary :all: -r "$1" 2>&1); then
        printf '%s\n' "$said" | tail -n 15 >&2
        case $said in
            *"No space left"*) fail "The disk is full. Free some space, then try again." ;;
            *"No matching distribution"*) fail "A package could not be found for this machine: either the package index was not reached, or there is no wheel for it. Linux (x86_64, aarch64; glibc) and macOS with Python 3.11 to 3.14 have them all." ;;
            *) fail "The packages could not be installed; the lines above say why. When the network is the cause, try again." ;;
        esac
    fi
    cp "$1" "$stamp"
}

find_pypy() {
    command -v pypy3 >/dev/null && return
    [ -e .venv/pypy.tried ] && [ "$kind" = run ] && return
    apt_install pypy3 || true
    touch .venv/pypy.tried
    command -v pypy3 >/dev/null && return
    say "PyPy (pypy3) is not installed: calculations will run on CPython, to the same cent but slower. Debian, Ubuntu: apt install pypy3."
}

# Ubuntu's chromium package is a door to a snap, which containers cannot open: the name alone proves nothing.
has_chromium() { chromium --version >/dev/null 2>&1; }

make_venv
install requirements.txt 900
find_pypy
if [ "$kind" = dev ]; then
    install requirements-dev.txt 500
    command -v pypy3 >/dev/null || missing "pypy3: the unit tests run on CPython only. Install it: apt install pypy3."
    command -v redis-server >/dev/null || apt_install redis-server || true
    command -v redis-server >/dev/null || missing "redis-server: what runs on several machines cannot be tested. Install it: apt install redis-server."
    has_chromium || apt_install chromium fonts-liberation || true
    has_chromium || missing "chromium: the browser tests cannot run. Install it: apt install chromium."
fi
