#!/bin/sh
# Adds moto's S3 server from PyPI to target/venv, for the restore drills against a bucket.
# Safe to run again. Without Python or network it says so and succeeds: those tests then skip themselves.
set -eu
cd "$(dirname "$0")/.."
venv=${CARGO_TARGET_DIR:-target}/venv
wanted="moto[s3,server]==5.2.5"
if [ -e "$venv/moto" ] && [ "$(cat "$venv/moto")" = "$wanted" ]; then
    exit 0
fi
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "setup-moto: skipped: python3 with venv is not installed"
    exit 0
fi
mkdir -p "$(dirname "$venv")"
if [ ! -x "$venv/bin/python" ] && ! python3 -m venv "$venv"; then
    echo "setup-moto: skipped: $venv cannot be created"
    exit 0
fi
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wanted"; then
    echo "setup-moto: skipped: $wanted cannot be installed (no network?)"
    exit 0
fi
echo "$wanted" >"$venv/moto"
echo "setup-moto: $wanted in $venv"
