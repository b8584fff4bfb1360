#!/bin/sh
# Adds pyarrow, DuckDB, hftbacktest and numpy from PyPI to target/venv, for the tests that read exports with them.
# Safe to run again. Without Python or network it says so and succeeds: those tests then skip themselves.
set -eu
cd "$(dirname "$0")/.."
venv=${CARGO_TARGET_DIR:-target}/venv
wanted="pyarrow==26.0.1 duckdb==2.0.1 hftbacktest==2.4.4 numpy==2.2.6"
if [ -e "$venv/export" ] && [ "$(cat "$venv/export")" = "$wanted" ]; then
    exit 0
fi
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "setup-export: skipped: python3 with venv is not installed"
    exit 0
fi
mkdir -p "$(dirname "$venv")"
if [ ! -x "$venv/bin/python" ] && ! python3 -m venv "$venv"; then
    echo "setup-export: skipped: $venv cannot be created"
    exit 0
fi
# shellcheck disable=SC2086 # a list of words
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $wanted; then
    echo "setup-export: skipped: $wanted cannot be installed (no network?)"
    exit 0
fi
echo "$wanted" >"$venv/export"
echo "setup-export: $wanted in $venv"
