#!/usr/bin/env bash
# Unpack Debian's MariaDB server into a folder, for tests; nothing is installed and nothing runs as a service.
#
#   tools/mariadb.sh .venv/mariadb
set -euo pipefail

target=$(realpath -m "${1:?name the folder to unpack into}")
packages=(mariadb-server-core mariadb-client-core liburing2 libaio1)
if [ -x "$target/usr/sbin/mariadbd" ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "tools/mariadb.sh needs a Debian system; tests against MariaDB are skipped without it." >&2
  exit 1
fi
downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT
(cd "$downloads" && apt-get download -q "${packages[@]}")
mkdir -p "$target"
for package in "$downloads"/*.deb; do
  dpkg-deb -x "$package" "$target"
done
