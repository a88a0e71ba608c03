// Package soak runs random sessions for a long time, while targets come, die, are drained and return, and the
// configuration changes every second. Every byte is checked on both ends, and every record against what its peers know.
package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcp-proxy/tests/harness"
	"tcp-proxy/tests/peers"
)

// A soak is a proxy under load whose world changes. Its apps:
//
//   - plain: any targets and any policy that refuses nobody
//   - headers: PROXY headers in and out
//   - limited: limits that refuse
//   - mortal: targets that die with their sessions
type soak struct {
	rig    *harness.Rig
	proxy  *harness.Proxy
	ledger *peers.Ledger
	admin  string // its TCP address
	socket string // its unix socket, which takes orders
	hosts  []string

	ports   map[string][]string // of each app; the first is always there
	targets []*place            // of plain; the first one never goes
	told    []*harness.Target   // of headers
	mortal  []*harness.Target

	// steady is held by clients until their session is established, and by whoever closes a port or a listener, because
	// connections in the backlog of a closed listener are reset.
	steady sync.RWMutex
	extra  atomic.Bool // the second ports are there

	random   *rand.Rand // of the changes; the test's goroutine has it
	seed     uint64
	progress bool           // told every ten seconds
	counts   map[string]int // changes by name
	sessions atomic.Uint64
	refused  atomic.Uint64
	cut      atomic.Uint64
}

// A place is a target with its state: listening or not, drained or not.
type place struct {
	*harness.Target
	there, drained, configured bool
}

// clients is the number of concurrent sessions.
const clients = 40

func newSoak(r *harness.Rig, seed uint64, progress bool) *soak {
	s := &soak{rig: r, ledger: peers.NewLedger(), admin: r.Address(), socket: r.Path("admin.sock"), ports: map[string][]string{},
		random: rand.New(rand.NewPCG(seed, 0)), seed: seed, progress: progress, counts: map[string]int{}}
	r.Follow = s.ledger.Follow
	for range 4 {
		s.hosts = append(s.hosts, r.AnotherHost())
	}
	serve := func(address string, told bool) *harness.Target {
		return r.ServeAt(address, s.ledger.Serve(address, told))
	}
	for i := range 6 {
		address := r.Address()
		if i == 3 {
			address = "unix:" + r.Path("plain.sock")
		}
		s.targets = append(s.targets, &place{Target: serve(address, false), there: true, configured: true})
	}
	for range 2 {
		s.told = append(s.told, serve(r.Address(), true))
		s.mortal = append(s.mortal, serve(r.Address(), false))
	}
	for _, app := range []string{"plain", "headers", "limited", "mortal"} {
		s.ports[app] = []string{r.Address(), r.Address()}
	}
	s.extra.Store(true)
	s.proxy = r.Start(s.config(true))
	return s
}

// run keeps clients busy, makes changes all the time, and reloads once a second.
func (s *soak) run(t *testing.T, length time.Duration) {
	var stop atomic.Bool
	var load sync.WaitGroup
	for range clients {
		load.Go(func() {
			for !stop.Load() {
				s.session(rand.New(rand.NewPCG(s.seed, s.sessions.Add(1))))
			}
		})
	}
	began, told := time.Now(), time.Now()
	for tick := time.NewTicker(time.Second / 5); time.Since(began) < length; <-tick.C {
		if wrong, _ := s.ledger.Errors(); wrong > 0 {
			break
		}
		s.change(t)
		if s.progress && time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "%s: %v of %v, %d sessions, %d changes, %d MiB resident\n", s.rig.Engine,
				time.Since(began).Round(time.Second), length, s.sessions.Load(), s.changed(), s.proxy.Resident()>>20)
		}
	}
	stop.Store(true)
	load.Wait()
}

func (s *soak) changed() (n int) {
	for _, count := range s.counts {
		n += count
	}
	return n
}

// session is one of any app, with any plan.
func (s *soak) session(random *rand.Rand) {
	app := []string{"plain", "plain", "plain", "headers", "headers", "limited", "mortal"}[random.IntN(7)]
	most := int64(128 << 10)
	if random.IntN(30) == 0 {
		most = 4 << 20
	}
	plan := peers.Random(random, most)
	if app == "plain" && plan.Reset == peers.Target {
		plan = plan.WithoutReset() // it may be the unix socket
	}
	s.steady.RLock()
	var once sync.Once
	free := func() { once.Do(s.steady.RUnlock) }
	defer free()
	w := peers.Way{App: app, Port: s.port(app, random), From: s.hosts[random.IntN(len(s.hosts))], Pieces: 1 + random.IntN(40), Steady: free,
		Early: app == "limited" || app == "mortal"}
	if app == "headers" {
		var err error
		w.Claims = s.ledger.Claim()
		if w.Header, err = peers.Header(byte(1+random.IntN(2)), w.Claims); err != nil {
			s.ledger.Wrong("%v", err)
			return
		}
	}
	truth, refused, err := s.ledger.Check(w, plan)
	switch {
	case err == nil:
	case refused && app == "limited":
		s.refused.Add(1)
		truth.Causes = []string{"limited", "denied"}
	case app == "mortal" && (refused || truth.Peer != "") && !peers.IsWrong(err):
		s.cut.Add(1)
		truth.Up, truth.Down = peers.UpTo(1<<40), peers.UpTo(1<<40)
		truth.Causes = []string{"client_closed", "client_reset", "target_closed", "target_reset", "connect_failed"}
	default:
		s.ledger.Wrong("app %s: %v", app, err)
		return
	}
	s.ledger.Expect(truth)
}

func (s *soak) port(app string, random *rand.Rand) string {
	if s.extra.Load() {
		return s.ports[app][random.IntN(2)]
	}
	return s.ports[app][0]
}
