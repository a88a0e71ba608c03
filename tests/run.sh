#!/usr/bin/env bash
# Runs every test: the Go tests with the race detector, and then those on a booted systemd. Each package has its own
# deadline. The exit code is 0 if every test has passed.
set -euo pipefail
cd "$(dirname "$0")/.."

deadline=10m

# The packages that take longest mostly wait: three at a time keep two processors busy. The others have peers with
# time-outs of a second, which would starve.
waiting=(tests/behaviour tests/admin tests/traffic tests/page tests/commandline)

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
waiting=("${waiting[@]/#/$module/}")
others=()
for package in $(go list ./...); do
  case " ${waiting[*]} $module/tests/e2e " in
    *" $package "*) ;;
    *) others+=("$package") ;;
  esac
done

echo "Testing ${#waiting[@]} packages that take long, ${#others[@]} others, and tests/e2e. Go reports a package when those before it have ended."
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
run env CGO_ENABLED=$cgo go test "${race[@]}" -count=1 -p 3 -timeout "$deadline" "${waiting[@]}"
run env CGO_ENABLED=$cgo go test "${race[@]}" -count=1 -p 2 -timeout "$deadline" "${others[@]}"
run e2e
exit "$failed"
