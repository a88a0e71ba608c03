#!/usr/bin/env bash
# Runs every test: the Go tests with the race detector, and then those on a booted systemd. Each package has its own
# deadline. The exit code is 0 if every test has passed.
set -euo pipefail
cd "$(dirname "$0")/.."

deadline=10m

# Two packages at a time, those that take longest first, and five tests of each: most wait for a time-out or a probe. With
# more, two processors are not enough: peers with time-outs of a second starve. tests/e2e runs beside the tests next to the
# code, which have no such peers.
packages_at_a_time=2
tests_at_a_time=5
long=(tests/behaviour tests/admin tests/traffic tests/page tests/commandline tests/soak tests/hostile)

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
first=("${long[@]/#/$module/}")
then=()
for package in $(go list ./...); do
  case " ${first[*]} $module/tests/e2e " in
    *" $package "*) ;;
    *) then+=("$package") ;;
  esac
done

echo "Testing ${#first[@]} packages, then ${#then[@]} packages and tests/e2e. Go reports a package when those before it have ended."
set -m # each part is a process group of its own, which a signal reaches as a whole
parts=()
stop() {
  trap '' HUP INT TERM
  for part in "${parts[@]}"; do
    kill -INT -- "-$part" 2>/dev/null || true
  done
  wait
  exit 130
}
trap stop HUP INT TERM

failed=0
start() { # a command, as a part
  "$@" &
  parts+=("$!")
}
finish() { # all parts, which may fail
  for part in "${parts[@]}"; do
    wait "$part" || failed=1
  done
  parts=()
}
gotest() {
  env CGO_ENABLED=$cgo go test "${race[@]}" -count=1 -p "$packages_at_a_time" -parallel "$tests_at_a_time" -timeout "$deadline" "$@"
}
e2e() { cd tests/e2e && exec go test -count=1 -timeout "$deadline"; }
start gotest "${first[@]}"
finish
start gotest "${then[@]}"
start e2e
finish
exit "$failed"
