#!/usr/bin/env bash
# Runs every test: the Go tests with the race detector, and then those on a booted systemd. Each package has its own
# deadline. The exit code is 0 if every test has passed.
set -euo pipefail
cd "$(dirname "$0")/.."

deadline=10m
parallel=2 # packages at a time: with more, or with tests/e2e beside them, clients on a small machine starve for a second

# The packages that take longest come first; go test keeps the order.
slow=(tests/behaviour tests/admin tests/traffic internal/relay/enginetest tests/commandline tests/page tests/hostile tests/soak)

export GORACE=${GORACE:-atexit_sleep_ms=50} # instead of a second for every process

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # tests start the binary as other users, too
if [ -z "${TCP_PROXY_BINARY:-}" ]; then
  export TCP_PROXY_BINARY=$folder/tcp-proxy
  CGO_ENABLED=1 go build -race -o "$TCP_PROXY_BINARY" ./cmd/tcp-proxy
fi

module=$(go list -m)
all=$(go list ./...)
packages=("${slow[@]/#/$module/}")
for package in $all; do
  case " ${packages[*]} $module/tests/e2e " in
    *" $package "*) ;;
    *) packages+=("$package") ;;
  esac
done

echo "Testing ${#packages[@]} packages, $parallel at a time. Each is reported when those before it have ended."
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
CGO_ENABLED=1 go test -race -count=1 -p "$parallel" -timeout "$deadline" "${packages[@]}" &
part=$!
wait "$part" || failed=1
(cd tests/e2e && exec go test -count=1 -timeout "$deadline") &
part=$!
wait "$part" || failed=1
exit "$failed"
