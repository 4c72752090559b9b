#!/usr/bin/env bash
# Make a virtual environment with exactly what uv.lock says. Needs Python 3.11 or newer and nothing else: uv is used if
# it is there and fetched with pip into the environment if not.
set -euo pipefail

venv=${1:?usage: install.sh VENV}
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Python 3.11 or newer is needed; '$python' is $("$python" --version 2>&1 || true). Use: make PYTHON=/path/to/python3.12" >&2
  exit 1
fi
if [ ! -x "$venv/bin/python" ]; then
  if ! "$python" -m venv "$venv" 2>/dev/null; then
    # Some systems ship Python without ensurepip; uv, when it is there, needs none.
    rm -rf "$venv"
    if command -v uv >/dev/null; then
      uv venv --quiet --no-config --python "$python" "$venv"
    else
      echo "'$python -m venv' does not work here. Install your system's python3-venv package, or uv." >&2
      exit 1
    fi
  fi
fi
if ! command -v uv >/dev/null && [ ! -x "$venv/bin/uv" ]; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
fi
# --inexact keeps the uv that was fetched into the environment.
bash "$(dirname "$0")/uv.sh" sync --frozen --all-extras --inexact --quiet
