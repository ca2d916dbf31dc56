#!/usr/bin/env bash
# The real components that tests meet: installed on Debian as root, named elsewhere.
set -euo pipefail
cd "$(dirname "$0")"
missing=()
while read -r package; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done <packages.txt
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update && apt-get -qq install -y "${missing[@]}" >/dev/null
else
  echo "not installed, so what needs them is skipped: ${missing[*]}" >&2
fi
