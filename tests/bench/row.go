package main

import (
	"fmt"
	"slices"
)

// row is one kind of load, measured against every contestant.
type row struct {
	name     string // as in -rows
	title    string
	kind     kind
	load     string // of the client
	serve    string // of the target
	sessions int
	size     int  // of a request and of its response, in bytes
	growth   bool // is a point of the growth curve
}

// kind says how a row is measured and which metrics it gives.
type kind string

const (
	kindBulk     kind = "bulk"
	kindExchange kind = "exchange"
	kindConnect  kind = "connect"
	kindIdle     kind = "idle"
	kindSyscalls kind = "syscalls"
)

var allRows = []row{
	{name: "bulk1", title: "bulk, 1 stream, target to client", kind: kindBulk, load: loadDownload, serve: serveSource, sessions: 1},
	{name: "bulk8", title: "bulk, 8 streams, target to client", kind: kindBulk, load: loadDownload, serve: serveSource, sessions: 8},
	{name: "upload8", title: "bulk, 8 streams, client to target", kind: kindBulk, load: loadUpload, serve: serveSink, sessions: 8},
	{name: "rr64x1", title: "request/response, 64 B, 1 session", kind: kindExchange, load: loadExchange, serve: serveEcho, sessions: 1, size: 64},
	{name: "rr64x64", title: "request/response, 64 B, 64 sessions", kind: kindExchange, load: loadExchange, serve: serveEcho, sessions: 64, size: 64},
	{name: "rr16kx16", title: "request/response, 16 KiB, 16 sessions", kind: kindExchange, load: loadExchange, serve: serveEcho, sessions: 16, size: 16 << 10},
	{name: "connect16", title: "connect, 64 B each way, close; 16 clients", kind: kindConnect, load: loadConnect, serve: serveEcho, sessions: 16, size: 64},
	{name: "idle3000", title: "3,000 idle sessions", kind: kindIdle, load: loadIdle, serve: serveEcho, sessions: 3000, size: 64},
	growthRow(10), growthRow(100), growthRow(1000), growthRow(5000),
	{name: "syscalls", title: "system calls per short connection (strace)", kind: kindSyscalls, load: loadConnect, serve: serveEcho, sessions: 1, size: 64},
}

func growthRow(sessions int) row {
	return row{name: fmt.Sprintf("grow%d", sessions), title: fmt.Sprintf("growth: request/response, 64 B, %d sessions", sessions),
		kind: kindExchange, load: loadExchange, serve: serveEcho, sessions: sessions, size: 64, growth: true}
}

func rowNames() []string {
	var names []string
	for _, r := range allRows {
		names = append(names, r.name)
	}
	return names
}

// rowNamed returns the zero row if there is none of that name.
func rowNamed(name string) row {
	for _, r := range allRows {
		if r.name == name {
			return r
		}
	}
	return row{}
}

// selectRows returns the named rows in their usual order; nil selects all.
func selectRows(names []string) ([]row, error) {
	for _, n := range names {
		if rowNamed(n).name == "" {
			return nil, fmt.Errorf("no row %q; there are %v", n, rowNames())
		}
	}
	if names == nil {
		return allRows, nil
	}
	return slices.DeleteFunc(slices.Clone(allRows), func(r row) bool { return !slices.Contains(names, r.name) }), nil
}

// takes reports whether the contestant has something to show in the row.
func (r row) takes(c contestant) bool {
	return c.role != roleDirect || r.kind != kindIdle && r.kind != kindSyscalls
}
