# tcp-proxy: build, run, test. `make` builds bin/tcp-proxy; `make help` lists all targets.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# VERSION=1.2.3 sets the version of the program and its packages; otherwise it comes from git.
LDFLAGS = -s -w -X main.version=$(or $(shell VERSION='$(VERSION)' packaging/version.sh),$(error there is no version))
export CGO_ENABLED ?= 0

# All packages except the slow tests of the binary.
UNIT := ./cmd/... ./internal/...

.PHONY: help build run deps test hostile soak e2e bench package unit check clean

help: ## show this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: go ## build bin/tcp-proxy
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/tcp-proxy ./cmd/tcp-proxy

run: build ## run a proxy with two small targets; try it with: nc localhost 5001
	@go build -o bin/demo ./tests/demo
	@exec bin/demo bin/tcp-proxy tests/demo/config.json

deps: go ## install the Debian packages that the tests need; starts and enables no service
	@tests/deps.sh

test: deps ## run all tests, with the race detector; as root also on booted systemd
	@tests/run.sh

# HOSTILE is the number of sessions, SEED the seed of the random choices (0: the current time). The binary is the released one.
HOSTILE ?= 1000000
SEED    ?= 0
hostile: build ## run a million sessions of hostile and honest peers: half an hour
	TCP_PROXY_BINARY=$(CURDIR)/bin/tcp-proxy go test ./tests/hostile -v -count=1 -timeout 3h -args -sessions $(HOSTILE) -seed $(SEED) -progress

# SOAK is the duration for both engines together.
SOAK ?= 20m
soak: build ## run sessions of every kind while targets and the configuration change: SOAK=20m
	TCP_PROXY_BINARY=$(CURDIR)/bin/tcp-proxy go test ./tests/soak -v -count=1 -timeout 0 -args -both $(SOAK) -seed $(SEED) -progress

e2e: deps ## test the packages and the service on booted systemd (root)
	cd tests/e2e && go test -v -count=1 -timeout 10m

bench: build ## compare with HAProxy, nginx and systemd-socket-proxyd: 12 minutes
	@tests/deps.sh bench
	go run ./tests/bench -binary bin/tcp-proxy -docs docs/performance.md

package: go ## build the .deb and .rpm packages in dist/
	packaging/package.sh

unit: go ## run the tests next to the code, with the race detector
	CGO_ENABLED=1 go test -race -timeout 5m $(UNIT)

check: go ## check formatting, go vet, staticcheck, a tidy go.mod
	@bad=$$(gofmt -l cmd internal packaging tests); [ -z "$$bad" ] || { echo "not formatted: $$bad"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff
	go mod verify

clean: ## remove everything that was built
	rm -rf bin dist

.PHONY: go
go:
	@command -v go >/dev/null || { echo "tcp-proxy is built with Go 1.26 or newer, which is not on the PATH: see https://go.dev/doc/install"; exit 1; }
