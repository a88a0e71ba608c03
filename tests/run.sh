#!/usr/bin/env bash
# Runs every test: the Go tests with the race detector, and then those on a booted systemd. Each package has its own
# deadline. The exit code is 0 if every test has passed.
set -euo pipefail
cd "$(dirname "$0")/.."

deadline=10m

# Two packages at a time, those that take longest first, and five tests of each: most wait for a time-out or a probe. With
# more packages, or with tests/e2e beside them, two processors are not enough: peers with time-outs of a second starve.
packages_at_a_time=2
tests_at_a_time=5
long=(tests/behaviour tests/admin tests/traffic tests/page tests/commandline)

# The race detector needs a C compiler with the headers of the C library. All else is tested without it, too.
race=(-race)
cgo=1
if ! echo '#include <stdlib.h>' | $(go env CC) -x c -E - >/dev/null 2>&1; then
  echo "SKIP: data races (go test -race): no C compiler, or no stdlib.h"
  race=()
  cgo=0
fi

export GORACE=${GORACE:-atexit_sleep_ms=50} # instead of a second for every process

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # tests start the binary as other users, too
if [ -z "${TCP_PROXY_BINARY:-}" ]; then
  export TCP_PROXY_BINARY=$folder/tcp-proxy
  CGO_ENABLED=$cgo go build "${race[@]}" -o "$TCP_PROXY_BINARY" ./cmd/tcp-proxy
fi

module=$(go list -m)
packages=("${long[@]/#/$module/}")
for package in $(go list ./...); do
  case " ${packages[*]} $module/tests/e2e " in
    *" $package "*) ;;
    *) packages+=("$package") ;;
  esac
done

echo "Testing ${#packages[@]} packages, and then tests/e2e. Go reports a package when those before it have ended."
set -m # each part is a process group of its own, which a signal reaches as a whole
part=0
stop() {
  trap '' HUP INT TERM
  kill -INT -- "-$part" 2>/dev/null || true
  wait
  exit 130
}
trap stop HUP INT TERM

failed=0
run() { # a command, as a part that may fail
  "$@" &
  part=$!
  wait "$part" || failed=1
}
e2e() { cd tests/e2e && exec go test -count=1 -timeout "$deadline"; }
run env CGO_ENABLED=$cgo go test "${race[@]}" -count=1 -p "$packages_at_a_time" -parallel "$tests_at_a_time" -timeout "$deadline" "${packages[@]}"
run e2e
exit "$failed"
