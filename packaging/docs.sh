#!/bin/sh
# docs.sh FOLDER: writes the docs of an administrator into FOLDER, as the packages have them in /usr/share/doc/tcp-proxy: in
# one folder, with links that lead to each other. The comparison with other proxies stays out, with its pictures.
set -eu
cd "$(dirname "$0")/.."

mkdir -p "$1"
for page in docs/*.md SECURITY.md; do
	[ "$page" != docs/performance.md ] || continue
	sed -E -e 's#\]\((\.\./|docs/)#](#g' -e 's#\[docs/#[#g' "$page" >"$1/$(basename "$page")"
done
