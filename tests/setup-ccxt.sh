#!/bin/sh
# Creates target/venv with ccxt from PyPI, for the test that drives the simulated venues with it.
# Safe to run again. Without Python or network it says so and succeeds: that test then skips itself.
set -eu
cd "$(dirname "$0")/.."
venv=${CARGO_TARGET_DIR:-target}/venv
version=4.5.90
if "$venv/bin/python" -c 'import ccxt; raise SystemExit(ccxt.__version__ != "'"$version"'")' 2>/dev/null; then
    exit 0
fi
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "setup-ccxt: skipped: python3 with venv is not installed"
    exit 0
fi
mkdir -p "$(dirname "$venv")"
if ! python3 -m venv "$venv"; then
    echo "setup-ccxt: skipped: $venv cannot be created"
    exit 0
fi
if ! "$venv/bin/pip" install --quiet --disable-pip-version-check "ccxt==$version"; then
    echo "setup-ccxt: skipped: ccxt $version cannot be installed (no network?)"
    exit 0
fi
echo "setup-ccxt: ccxt $version in $venv"
