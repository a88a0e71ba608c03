#!/bin/bash
# package.sh: the .deb and .rpm packages for amd64 and arm64, in dist/. The same commit gives the same bytes.
#
# VERSION        such as 1.2.3; if it is not given, it comes from git (version.sh)
# DIST           where they go, instead of dist
# ARCHITECTURES  which, instead of "amd64 arm64"
set -euo pipefail
cd "$(dirname "$0")/.."

nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

VERSION=$(packaging/version.sh)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export PACKAGE_VERSION=$VERSION PACKAGE_ARCH
export CGO_ENABLED=0 LC_ALL=C TZ=UTC
umask 022

dist=${DIST:-dist}
architectures=${ARCHITECTURES:-amd64 arm64}
stage=$dist/stage
export PACKAGE_STAGE=$stage
rm -rf "$stage"
mkdir -p "$stage"

for PACKAGE_ARCH in $architectures; do
	GOARCH=$PACKAGE_ARCH go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$VERSION" \
		-o "$stage"/$PACKAGE_ARCH/tcp-proxy ./cmd/tcp-proxy
done

# What the program says of itself, the same on every architecture, comes from one that runs here.
self=$stage/$(go env GOHOSTARCH)/tcp-proxy
[ -x "$self" ] || { self=$stage/self; go build -trimpath -buildvcs=false -o "$self" ./cmd/tcp-proxy; }
"$self" schema >"$stage"/schema.json
"$self" schema --directory >"$stage"/schema-directory.json
for shell in bash zsh fish; do
	"$self" completion $shell >"$stage"/completion.$shell
done

for page in tcp-proxy.8 tcp-proxy.json.5; do
	gzip -9n <packaging/man/$page >"$stage"/$page.gz
done
packaging/docs.sh "$stage"/doc
# The licenses of what is linked into the program, from the module cache.
go run ./packaging/notices -format debian >"$stage"/copyright
go run ./packaging/notices -format text >"$stage"/THIRD-PARTY-NOTICES
gzip -9n <CHANGELOG.md >"$stage"/changelog.gz
maintainer=$(sed -n 's/^maintainer: //p' packaging/nfpm.yaml)
gzip -9n >"$stage"/changelog.Debian.gz <<END
tcp-proxy ($VERSION-1) unstable; urgency=medium

  * Package of version $VERSION.
    What is new in the program stands in changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
# A changelog given to nfpm goes into an RPM as its %changelog. The .deb has the one above.
cat >"$stage"/changelog.yaml <<END
- semver: $VERSION-1
  date: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
  packager: $maintainer
  changes:
    - note: "Version $VERSION. What is new in it stands in CHANGELOG.md."
END
cp packaging/nfpm.yaml "$stage"/deb.yaml
{ cat packaging/nfpm.yaml; echo "changelog: $stage/changelog.yaml"; } >"$stage"/rpm.yaml

for PACKAGE_ARCH in $architectures; do
	for packager in deb rpm; do
		go run $nfpm package --config "$stage"/$packager.yaml --packager $packager --target "$dist/"
	done
done
rm -r "$stage"
