#!/usr/bin/env bash
# Installs the Debian packages that the tests need, if they are missing; `tests/deps.sh bench` also those of make bench.
# It says beforehand what comes. Services that come with the packages are neither started now nor at the next boot; services,
# packages and files that were there before stay as they are. What cannot be installed, or cannot run on this machine, is named
# in a line "SKIP: tests: reason". It fails only if apt-get has the packages and dpkg cannot install them.
set -euo pipefail

root=${DEPS_ROOT:-} # the tests of this script set it: the folder that stands for /

# Debian keeps the programs of the administrator out of the PATH of others.
PATH=$PATH:$root/usr/local/sbin:$root/usr/sbin:$root/sbin
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

missing=() # packages
skipped=() # what is not tested without each of them

# need PACKAGE TESTS PROGRAM-OR-FILE...: the package is missing if one of these is; then these tests are skipped.
need() {
  local package=$1 tests=$2 what
  shift 2
  for what in "$@"; do
    case $what in
      */*) compgen -G "$root$what" >/dev/null && continue ;;
      *) command -v "$what" >/dev/null && continue ;;
    esac
    missing+=("$package")
    skipped+=("$tests")
    return
  done
}

command -v chromium >/dev/null ||
  need chromium-headless-shell "the status page in a browser" chromium-headless-shell
need curl "HTTP through nginx" curl
need dnsmasq-base "targets by name" dnsmasq
need gcc "data races (go test -race)" gcc
need haproxy "PROXY protocol with HAProxy" haproxy
need iperf3 "iperf3" iperf3
need libc6-dev "data races (go test -race)" /usr/include/stdlib.h
need libnginx-mod-stream "PROXY protocol with nginx" /usr/lib/nginx/modules/ngx_stream_module.so
need iproute2 "addresses and routes of its own, the demo" ip
need lintian "faults of the .deb package" lintian
need mandoc "faults of the man pages" mandoc
need mmdebstrap "packages and service on a booted systemd" mmdebstrap
need nginx "HTTP through nginx" nginx
need openssh-client "ssh and rsync" ssh ssh-keygen
need openssh-server "ssh and rsync" sshd
need postgresql "PostgreSQL" '/usr/lib/postgresql/*/bin/initdb' '/usr/lib/postgresql/*/bin/postgres' psql pgbench
need prometheus "Prometheus, alerts" prometheus promtool
need redis-server "Redis" redis-server redis-benchmark
need rpm "packages and service on a booted systemd" rpm
need rpmlint "faults of the .rpm package" rpmlint
need rsync "ssh and rsync" rsync
need systemd-container "packages and service on a booted systemd" systemd-nspawn
need wrk "HTTP through nginx" wrk
[ "${1:-}" != bench ] || need strace "system calls in make bench" strace

# skip REASON: says what is not tested because the missing packages are not installed.
skip() {
  local i
  for i in "${!missing[@]}"; do
    echo "SKIP: ${skipped[i]}: ${missing[i]} is not installed: $1"
  done
}

# Names what does not run here whatever is installed.
limits() {
  if [ "$(id -u)" -ne 0 ]; then
    echo "SKIP: packages and service on a booted systemd, targets by name, other users: these tests need root"
  elif ! unshare --mount true 2>/dev/null; then
    echo "SKIP: packages and service on a booted systemd, targets by name, a journal that nobody reads: unshare --mount fails, as in a chroot whose / is no mount point"
  fi
  if ! unshare --net --map-root-user true 2>/dev/null && ! unshare --net true 2>/dev/null; then
    echo "SKIP: the demo: this machine permits no network namespaces"
  fi
}
limits

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  skip "there is no apt-get here"
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  skip "only root can install it"
  exit 0
fi

# What policy-rc.d answers decides whether maintainer scripts start services: 101 forbids it (invoke-rc.d(8)). Ours replaces
# the machine's own while packages are installed, which is kept beside it. One run at a time does that.
policy=$root/usr/sbin/policy-rc.d
kept=$policy.tcp-proxy-kept
mark="# Written by tests/deps.sh of tcp-proxy while it installs packages: no service starts."

restore() {
  if grep -qsxF "$mark" "$policy"; then
    rm -f "$policy"
  fi
  if [ -e "$kept" ] || [ -L "$kept" ]; then
    mv "$kept" "$policy"
  fi
}

exec 9<"$root/usr/sbin"
flock 9
restore # after a run that was killed

folder=$(mktemp -d)
log=$folder/log
added=() # packages that this run has begun to install, and that were not there

# Names of units and init scripts that the administrator has, or enabled or masked: a service of that name is not ours.
names() {
  local places=()
  for place in "$root/etc/systemd/system" "$root/etc/init.d"; do
    [ ! -d "$place" ] || places+=("$place")
  done
  [ ${#places[@]} -eq 0 ] || find "${places[@]}" -mindepth 1 -maxdepth 2 -printf '%f\n'
}

# Disables the services in the added packages: the next boot does not start them.
disable() {
  local file name
  [ ${#added[@]} -gt 0 ] || return 0
  { dpkg -L "${added[@]}" 2>/dev/null || true; } | sort -u >"$folder/files"
  while read -r -u 3 file; do
    name=${file##*/}
    ! grep -qxF -e "$name" "$folder/names" || continue
    case $file in
      */systemd/system/*/*) ;;
      */systemd/system/*)
        compgen -G "$root/etc/systemd/system/*.wants/$name" >/dev/null ||
          compgen -G "$root/etc/systemd/system/*.requires/$name" >/dev/null || continue
        if command -v systemctl >/dev/null; then
          systemctl disable "$name" >"$log" 2>&1 || echo "$name stays enabled: systemctl disable failed" >&2
        else
          deb-systemd-helper disable "$name" >"$log" 2>&1 || echo "$name stays enabled: deb-systemd-helper disable failed" >&2
        fi
        ;;
      /etc/init.d/*)
        compgen -G "$root/etc/rc[2-5S].d/S[0-9][0-9]$name" >/dev/null || continue
        ! command -v update-rc.d >/dev/null || update-rc.d "$name" disable >"$log" 2>&1 ||
          echo "$name stays enabled: update-rc.d disable failed" >&2
        ;;
    esac
  done 3<"$folder/files"
}

finish() {
  disable
  restore
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# What apt-get did not do, and its reasons in one line.
reasons() {
  local text
  text=$(sed -n 's/^E: //p' "$log" | sort -u | head -n 3 | tr '\n' ' ')
  echo "${text:-apt-get gave no reason}"
}

# Packages are not removed for others, and changed configuration files stay.
install=(apt-get install --no-install-recommends --no-remove
  -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)

# Without a network the lists of before, if there are any, say what is there.
apt-get update -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 >"$log" 2>&1 9<&- </dev/null || true
if ! "${install[@]}" --simulate "${missing[@]}" >"$log" 2>&1 9<&- </dev/null; then
  skip "$(reasons)"
  exit 0
fi
mapfile -t new < <(awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }' "$log")
upgraded=$(awk '$1 == "Inst" && $3 ~ /^\[/' "$log" | wc -l)
"${install[@]}" --assume-no "${missing[@]}" >"$log" 2>&1 9<&- </dev/null || true
download=$(sed -nE 's,^Need to get ([^/]*)(/.*)? of archives\.$,\1,p' "$log")
space=$(sed -nE 's,^After this operation\, (.*) of additional disk space.*,\1,p' "$log")

echo "The tests need these Debian packages: ${missing[*]}"
echo "apt-get installs ${#new[@]} packages and upgrades $upgraded: ${download:-an unknown size} to download, ${space:-an unknown size} on disk. Their services are not started and not enabled."
if ! "${install[@]}" --yes --download-only "${missing[@]}" >"$log" 2>&1 9<&- </dev/null; then
  skip "$(reasons)"
  exit 0
fi

names >"$folder/names"
if [ -e "$policy" ] || [ -L "$policy" ]; then
  mv "$policy" "$kept"
fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"
added=("${new[@]}")
if ! "${install[@]}" --yes "${missing[@]}" >"$log" 2>&1 9<&- </dev/null; then
  cat "$log" >&2
  echo "These packages could not be installed: ${missing[*]}" >&2
  exit 1
fi
