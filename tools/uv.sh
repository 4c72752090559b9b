#!/usr/bin/env bash
# Run uv for this project, untouched by the settings of whoever runs it: an index or a local wheel folder named in the
# environment would otherwise be written into uv.lock, and stay there.
set -euo pipefail
cd "$(dirname "$0")/.."
unset UV_DEFAULT_INDEX UV_INDEX_URL UV_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS VIRTUAL_ENV
uv=$(command -v uv || echo .venv/bin/uv)
command=$1
shift
UV_PROJECT_ENVIRONMENT=.venv exec "$uv" "$command" --no-config "$@"
