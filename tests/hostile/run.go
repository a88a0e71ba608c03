package hostile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A run is many sessions in a scene.
type run struct {
	*scene
	seed     uint64
	sessions uint64 // how many

	next atomic.Uint64
	done atomic.Uint64

	mu     sync.Mutex // guards what follows
	counts map[string]int
	slow   time.Duration // the longest session of those that are checked and have an app for themselves
}

// The number of concurrent sessions: clients of any kind, and honest clients of the app without limits, which must be
// served all the time.
const (
	crowd    = 56
	faithful = 8
)

// tooWrong is the number of errors after which the run is aborted.
const tooWrong = 20

// play has all sessions, and with progress tells how far it is every ten seconds.
func (r *run) play(progress bool) {
	began := time.Now()
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() { r.each(r.anything) })
	}
	for range faithful {
		all.Go(func() { r.each(r.faithfulOne) })
	}
	ended := make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() {
		for tick := time.NewTicker(10 * time.Second); ; {
			select {
			case <-ended:
				tick.Stop()
				return
			case <-tick.C:
			}
			if progress {
				n, _ := r.ledger.Errors()
				fmt.Fprintf(os.Stderr, "%s: %d of %d sessions in %v, %d wrong\n", r.rig.Engine, r.done.Load(), r.sessions, time.Since(began).Round(time.Second), n)
			}
		}
	})
	all.Wait()
	close(ended)
	teller.Wait()
}

// each has sessions until all are through, or too much is wrong.
func (r *run) each(one func(number uint64)) {
	for {
		n := r.next.Add(1) - 1
		if wrong, _ := r.ledger.Errors(); n >= r.sessions || wrong >= tooWrong {
			return
		}
		one(n)
		r.done.Add(1)
	}
}

func (r *run) visit(number uint64) *visit {
	return &visit{scene: r.scene, random: rand.New(rand.NewPCG(r.seed, number))}
}

// anything is a session of any kind.
func (r *run) anything(number uint64) {
	v := r.visit(number)
	r.have(number, v, r.draw(v))
}

// faithfulOne is a client of the app that serves everybody.
func (r *run) faithfulOne(number uint64) {
	v := r.visit(number)
	v.app = &r.apps[0]
	began := time.Now()
	r.have(number, v, &kinds[0])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow = max(r.slow, time.Since(began))
}

func (r *run) have(number uint64, v *visit, k *kind) {
	truth, err := k.visit(v)
	if err != nil {
		r.ledger.Wrong("seed %d, session %d, %q at app %s, client %s: %v", r.seed, number, k.name, v.app.name, v.client, err)
	}
	if truth.App != "" {
		truth.About = fmt.Sprintf("seed %d, session %d, %q: %s", r.seed, number, k.name, truth.About)
		r.ledger.Expect(truth)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[k.name]++
}

// summary returns the number of sessions of each kind.
func (r *run) summary() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(r.counts)) {
		text += fmt.Sprintf(" %s %d;", name, r.counts[name])
	}
	return text
}
