// Package hostile runs a proxy with apps of every kind against hostile clients and targets in great numbers, together with
// honest clients that check every byte and must be served all the time. Each hostile peer is a function with a comment:
// what it does, what that may break, and what its record must be.
package hostile

import (
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"tcp-proxy/tests/harness"
	"tcp-proxy/tests/peers"
)

// An app is one of the proxy's, as the peers know it.
type app struct {
	name    string
	ports   []string
	header  bool     // who connects has to begin with a PROXY header
	unix    bool     // a port or a target is a unix socket, so there are no resets
	limited bool     // a client may be refused by a limit
	slow    bool     // there is a limit of bandwidth
	strict  bool     // its time-outs are short: quiet sessions end
	rough   bool     // its targets are hostile
	sources []string // where clients come from
}

// A scene is a proxy with apps of every kind, their targets, and the ledger.
type scene struct {
	rig     *harness.Rig
	proxy   *harness.Proxy
	ledger  *peers.Ledger
	apps    []app
	admin   string
	targets []*harness.Target
}

// workers is more than the number of concurrent sessions, so that none waits for a worker.
const workers = 600

// The time-outs of strict apps.
const (
	quiet   = time.Second
	longest = 3 * time.Second
)

// newScene starts the proxy.
func newScene(r *harness.Rig) *scene {
	s := &scene{rig: r, ledger: peers.NewLedger(), admin: r.Address()}
	r.Follow = s.ledger.Follow
	var hosts []string
	for range 6 {
		hosts = append(hosts, r.AnotherHost())
	}
	everyone := &harness.AcceptProxyProtocol{From: []string{"127.0.0.0/8"}, Timeout: quiet.String()}
	never := &harness.Probe{When: "never"}
	var configured []harness.App
	add := func(a app, c harness.App) {
		a.sources = hosts
		for _, port := range a.ports {
			c.Ports = append(c.Ports, port)
		}
		c.Name = a.name
		s.apps, configured = append(s.apps, a), append(configured, c)
	}
	add(app{name: "calm", ports: []string{r.Address(), r.Address()}},
		harness.App{Targets: s.good(false, r.Address(), r.Address())})
	add(app{name: "told", ports: []string{r.Address()}},
		harness.App{Targets: s.good(true, r.Address()), SendProxyProtocol: "v1"})
	add(app{name: "header", ports: []string{r.Address()}, header: true},
		harness.App{Targets: s.good(true, r.Address(), r.Address()), SendProxyProtocol: "v2", AcceptProxyProtocol: everyone})
	add(app{name: "unix", ports: []string{"unix:" + r.Path("port.sock")}, header: true, unix: true},
		harness.App{Targets: s.good(true, "unix:"+r.Path("a.sock")), SendProxyProtocol: "v2", AcceptProxyProtocol: everyone})
	add(app{name: "unix-target", ports: []string{r.Address()}, unix: true},
		harness.App{Targets: s.good(true, "unix:"+r.Path("b.sock"), "unix:"+r.Path("c.sock")), SendProxyProtocol: "v2"})
	add(app{name: "limited", ports: []string{r.Address()}, limited: true},
		harness.App{Targets: s.good(false, r.Address()), MaxSessionsPerSource: 3, SessionsPerSecondPerSource: 50, SessionsPerSecond: 200})
	add(app{name: "slow", ports: []string{r.Address()}, slow: true},
		harness.App{Targets: s.good(false, r.Address()), BytesPerSecond: &harness.BytesPerSecond{Upload: 200_000, Download: 400_000}})
	name := fmt.Sprintf("localhost:%d", r.SharedPort())
	s.serve(false, "127.0.0.1"+name[len("localhost"):])
	add(app{name: "named", ports: []string{r.Address()}},
		harness.App{Targets: []any{name}, Balance: "least_sessions"})
	add(app{name: "strict", ports: []string{r.Address()}, strict: true},
		harness.App{Targets: s.good(false, r.Address()), IdleTimeout: quiet.String(), HalfCloseTimeout: quiet.String(), MaxSessionDuration: longest.String()})
	// Targets that refuse or do not answer must not cost a session while another one is alive.
	add(app{name: "mixed", ports: []string{r.Address()}},
		harness.App{Targets: append(s.good(false, r.Address()), r.Refuse(), r.Blackhole(), r.Refuse()), ConnectTimeout: "100ms", RetryDeadAfter: "20ms", Probe: never})
	add(app{name: "rough", ports: []string{r.Address()}, strict: true, rough: true},
		harness.App{Targets: s.roughTargets(), Balance: "random", ConnectTimeout: "100ms", RetryDeadAfter: "20ms", Probe: never,
			IdleTimeout: quiet.String(), HalfCloseTimeout: quiet.String(), MaxSessionDuration: longest.String()})
	s.proxy = r.Start(harness.Config{MaxWorkers: workers, Apps: configured, Admin: &harness.Admin{Listen: []string{s.admin}}})
	return s
}

// good starts targets that do what their greeting says.
func (s *scene) good(told bool, addresses ...string) (list []any) {
	for _, address := range addresses {
		s.serve(told, address)
		list = append(list, address)
	}
	return list
}

func (s *scene) serve(told bool, address string) {
	s.targets = append(s.targets, s.rig.ServeAt(address, s.ledger.Serve(address, told)))
}

// A visit is one session of any kind of client.
type visit struct {
	*scene
	*app
	random *rand.Rand
	peer   string // who connects
	client string // the client as the record has it, unless its header is not through
}

// dial connects to a port of the app.
func (v *visit) dial(options ...peers.Option) (net.Conn, error) {
	from := v.source()
	if v.early() {
		options, from = append(options, peers.Bound(from, &v.peer)), ""
	}
	c, err := peers.Dial(from, v.port(), options...)
	if err == nil {
		v.peer = peers.Name(c)
		v.client = v.peer
	}
	return c, err
}

// early reports whether a client may be reset before its connect has returned: by a limit, by a target that resets, or, on
// a machine that stands still, by a short time-out.
func (v *visit) early() bool { return v.limited || v.rough || v.strict }

func (v *visit) port() string   { return v.ports[v.random.IntN(len(v.ports))] }
func (v *visit) source() string { return v.sources[v.random.IntN(len(v.sources))] }

// enter sends the PROXY header that the app requires, in pieces; from then on, the client is the one that the header names.
func (v *visit) enter(c net.Conn) error {
	if !v.header {
		return nil
	}
	source := v.ledger.Claim()
	header, err := peers.Header(v.version(), source)
	if err != nil {
		return err
	}
	v.client = source.String()
	return peers.InPieces(c, header, v.pieces())
}

// begin connects, says who it is where that is wanted, and sends the data, of which the kernel takes sent bytes. Without a
// connection c is nil.
func (v *visit) begin(data []byte) (c net.Conn, sent int64, err error) {
	if c, err = v.dial(); err != nil {
		return nil, 0, err
	}
	if err = v.enter(c); err != nil {
		return c, 0, err
	}
	n, err := c.Write(data)
	return c, int64(n), err
}

func (v *visit) version() byte { return byte(1 + v.random.IntN(2)) }
func (v *visit) pieces() int   { return []int{1, 7, 1000}[v.random.IntN(3)] }
