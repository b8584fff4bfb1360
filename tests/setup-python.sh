#!/bin/sh
# Puts what tests need of Python into target/venv, from PyPI: ccxt drives the simulated venues; pyarrow, DuckDB, hftbacktest
# and numpy read exports; moto's S3 server takes backups.
# Safe to run again. What cannot be installed is said, and its tests then skip themselves.
set -eu
cd "$(dirname "$0")/.."
venv=${CARGO_TARGET_DIR:-target}/venv

# install NAME PACKAGE…
install() {
    name=$1
    shift
    if [ -e "$venv/$name" ] && [ "$(cat "$venv/$name")" = "$*" ]; then
        return
    fi
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        echo "setup-python: $name skipped: python3 with venv is not installed"
        return
    fi
    mkdir -p "$(dirname "$venv")"
    if [ ! -x "$venv/bin/python" ] && ! python3 -m venv "$venv"; then
        echo "setup-python: $name skipped: $venv cannot be created"
        return
    fi
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; then
        echo "setup-python: $name skipped: $* cannot be installed (no network?)"
        return
    fi
    echo "$*" >"$venv/$name"
    echo "setup-python: $* in $venv"
}

install ccxt ccxt==4.5.90
install export pyarrow==26.0.1 duckdb==2.0.1 hftbacktest==2.4.4 numpy==2.2.6
install moto "moto[s3,server]==5.2.5"
