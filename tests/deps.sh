#!/usr/bin/env bash
# Installs the Debian packages that the tests need, if they are missing. Services that come with them are not started.
set -euo pipefail

# Debian keeps the programs of the administrator out of the PATH of others.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()

# need PACKAGE PROGRAM-OR-FILE...: the package is missing if one of these is.
need() {
  local package=$1 what
  shift
  for what in "$@"; do
    case $what in
      */*) compgen -G "$what" >/dev/null && continue ;;
      *) command -v "$what" >/dev/null && continue ;;
    esac
    missing+=("$package")
    return
  done
}

need chromium chromium
need curl curl
need dnsmasq-base dnsmasq
need gcc gcc
need haproxy haproxy
need iperf3 iperf3
need libc6-dev /usr/include/stdlib.h
need libnginx-mod-stream '/usr/lib/nginx/modules/ngx_stream_module.so'
need lintian lintian
need mandoc mandoc
need mmdebstrap mmdebstrap
need nginx nginx
need openssh-client ssh ssh-keygen
need openssh-server sshd
need postgresql '/usr/lib/postgresql/*/bin/initdb' '/usr/lib/postgresql/*/bin/postgres'
need postgresql-client '/usr/lib/postgresql/*/bin/psql' psql pgbench
need prometheus prometheus promtool
need redis-server redis-server
need redis-tools redis-benchmark
need rpm rpm
need rpmlint rpmlint
need rsync rsync
need strace strace
need systemd-container systemd-nspawn
need wrk wrk

[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "The tests need these Debian packages, and only root can install them with apt-get: ${missing[*]}" >&2
  exit 1
fi

# What /usr/sbin/policy-rc.d says decides whether maintainer scripts start services: 101 forbids it (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
kept=
restore() {
  rm -f "$policy"
  [ -z "$kept" ] || mv "$kept" "$policy"
}
answer=0
[ ! -x "$policy" ] || "$policy" nginx start >/dev/null 2>&1 || answer=$?
if [ "$answer" -ne 101 ]; then
  if [ -e "$policy" ]; then
    kept=$(mktemp "$policy.XXXXXX")
    mv "$policy" "$kept"
  fi
  trap restore EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

echo "Installing what the tests need: ${missing[*]}"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "These packages could not be installed: ${missing[*]}" >&2
  rm -f "$log"
  exit 1
fi
rm -f "$log"
