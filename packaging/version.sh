#!/bin/sh
# version.sh: prints the version that the program, its packages and its images have.
#
# It is $VERSION, if that is set: 1.2.3 or v1.2.3. Otherwise it comes from git: 1.2.3 at the tag v1.2.3, 1.2.3+4.abc… four
# commits later, and with .dirty if files have been changed. Without a tag it begins with 0.0.0; without git it is
# 0.0.0+unknown. A hyphen, as in v1.2.3-rc1, becomes a tilde: Debian and RPM then sort it before 1.2.3.
set -eu
cd "$(dirname "$0")/.."

if [ -n "${VERSION:-}" ]; then
	version=${VERSION#v}
elif ! commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
	version=0.0.0+unknown
else
	if tag=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null); then
		version=${tag#v}
		since=$(git rev-list --count "$tag..HEAD")
	else
		version=0.0.0
		since=$(git rev-list --count HEAD)
	fi
	[ "$since" = 0 ] || version=$version+$since.$commit
	[ -z "$(git status --porcelain --untracked-files=no)" ] || case $version in
	*+*) version=$version.dirty ;;
	*) version=$version+dirty ;;
	esac
fi
version=$(printf %s "$version" | tr - '~')
case $version in
[!0-9]* | *[!0-9A-Za-z.+~]*)
	echo "version.sh: \"$version\" is no version: write digits first, then digits, letters and . + ~" >&2
	exit 1
	;;
esac
printf '%s\n' "$version"
