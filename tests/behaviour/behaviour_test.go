// Package behaviour holds the black-box tests of what a running proxy does with its sessions. Every test runs once for
// every engine.
package behaviour

import (
	"fmt"
	"os"
	"testing"

	"tcp-proxy/tests/harness"
)

func TestMain(m *testing.M) {
	harness.Parallel = 6 // they mostly wait
	os.Exit(harness.Main(m))
}

// A transport is how the client and the target of a session are connected.
type transport struct{ port, target string }

func (tr transport) String() string { return tr.port + "-to-" + tr.target }

var transports = []transport{{"tcp", "tcp"}, {"tcp", "unix"}, {"unix", "tcp"}, {"unix", "unix"}}

// start starts a proxy with one app over that transport, to a target whose connections the test accepts.
func (tr transport) start(r *harness.Rig, app harness.App) (*harness.Proxy, *harness.Target) {
	r.T.Helper()
	target := r.ListenAt(address(r, tr.target, "target.sock"))
	app.Ports = []any{address(r, tr.port, "port.sock")}
	app.Targets = harness.To(target)
	return r.StartApp(app), target
}

// A line is an app of a proxy that has one for every transport.
type line struct {
	transport
	port   string
	target *harness.Target
}

// startLines starts a proxy with an app for every transport, all with the settings of the given one.
func startLines(r *harness.Rig, app harness.App) (*harness.Proxy, []line) {
	r.T.Helper()
	var lines []line
	var apps []harness.App
	for i, tr := range transports {
		l := line{
			transport: tr,
			port:      address(r, tr.port, fmt.Sprintf("port%d.sock", i)),
			target:    r.ListenAt(address(r, tr.target, fmt.Sprintf("target%d.sock", i))),
		}
		app.Name, app.Ports, app.Targets = tr.String(), []any{l.port}, harness.To(l.target)
		lines, apps = append(lines, l), append(apps, app)
	}
	return r.Start(harness.Config{Apps: apps}), lines
}

// session opens a session over the line.
func (l line) session(r *harness.Rig) (client, server *harness.Conn) {
	r.T.Helper()
	return r.Dial(l.port), l.target.Accept()
}

func address(r *harness.Rig, network, file string) string {
	r.T.Helper()
	if network == "unix" {
		return "unix:" + r.Path(file)
	}
	return r.Address()
}

// ask returns the name of the target that the proxy takes a new client to.
func ask(t *testing.T, r *harness.Rig, p *harness.Proxy) string {
	t.Helper()
	name, err := r.Ask(p.Address())
	if err != nil {
		t.Fatalf("ask who is there: %v", err)
	}
	return name
}

// expectNames asks as often as there are names, one after the other.
func expectNames(t *testing.T, r *harness.Rig, p *harness.Proxy, names ...string) {
	t.Helper()
	for i, want := range names {
		if got := ask(t, r, p); got != want {
			t.Fatalf("session %d of %d went to %q, want %q", i+1, len(names), got, want)
		}
	}
}
