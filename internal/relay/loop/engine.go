package loop

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
)

// What the engine holds at most, in descriptors: a session has two sockets, and one more while it races two attempts; a port
// has one, and a unix port two. Descriptors is the constant part.
const (
	DescriptorsPerSession = 2
	DescriptorsPerRace    = 1
	DescriptorsPerPort    = 2
)

// Descriptors is the most that an engine holds in addition to its sessions and ports: two for each loop, and two for each
// pipe.
func Descriptors() uint64 { return uint64(2*processors() + 2*maxPipes) }

// Engine implements relay.Engine.
type Engine struct {
	workers   *admit.Workers
	events    relay.Events
	loops     []*loop
	base      time.Time    // what clock counts from
	ephemeral uint16       // the first port that the kernel gives to connections
	pipes     atomic.Int32 // how many pipes all loops have

	open     relay.Open
	recounts recounts

	opening sync.Mutex // held by Open, Close, Freeze, Adopt and Stop; guards what follows
	over    bool       // Freeze or Stop was called: the loops have ended, and hold nothing

	mu      sync.Mutex // guards what follows
	ports   map[*relay.Port]*listener
	numbers []uint32 // of listeners that are closed, to be used again
	next    uint32   // the first number that was never used
}

// New starts an engine that takes its workers from the pool and reports to events what happens: a loop for each processor
// that Go uses.
func New(workers *admit.Workers, events relay.Events) (*Engine, error) {
	return NewWithLoops(processors(), workers, events)
}

// NewWithLoops is New with another number of loops.
func NewWithLoops(loops int, workers *admit.Workers, events relay.Events) (*Engine, error) {
	e := &Engine{workers: workers, events: events, base: clockBase(), ports: map[*relay.Port]*listener{}}
	var err error
	if e.ephemeral, err = firstEphemeral(); err != nil {
		return nil, fmt.Errorf("start engine loop: %w", err)
	}
	for shard := range loops {
		l, err := newLoop(e, shard)
		if err != nil {
			for _, l := range e.loops {
				err = errors.Join(err, l.free())
			}
			return nil, fmt.Errorf("start engine loop: %w", err)
		}
		e.loops = append(e.loops, l)
	}
	for _, l := range e.loops {
		go l.run()
	}
	return e, nil
}

// processors is how many loops an engine has: one for each processor that Go uses. Go then gets one more: if
// loops had all of them, the runtime's monitor would take one away whenever a loop waits, in case another goroutine wants it.
var processors = sync.OnceValue(func() int {
	n := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n + 1)
	return n
})

// errStopped is the error of a call after Stop or Freeze.
var errStopped = errors.New("the engine has stopped")

// Open implements relay.Engine.
func (e *Engine) Open(p *relay.Port) error {
	e.opening.Lock()
	defer e.opening.Unlock()
	x, err := newListener(p)
	if err != nil {
		return err
	}
	return e.openListeners(x)
}

// openListeners begins to accept from listeners. One that fails is closed. The caller holds opening.
func (e *Engine) openListeners(all ...*listener) error {
	e.mu.Lock()
	for _, x := range all {
		x.number = e.nextNumber()
		e.ports[x.port] = x
	}
	e.mu.Unlock()

	opened := make(chan []error, len(e.loops))
	for _, l := range e.loops {
		l.reactor.Post(func() {
			errs := make([]error, len(all))
			for i, x := range all {
				errs[i] = l.openAcceptor(x)
			}
			opened <- errs
		})
	}
	errs := make([]error, len(all))
	for _, l := range e.loops {
		failed := slices.Repeat([]error{errStopped}, len(all))
		select {
		case failed = <-opened:
		case <-l.ended:
		}
		for i := range errs {
			errs[i] = errors.Join(errs[i], failed[i])
		}
	}
	var err error
	for i, x := range all {
		if errs[i] != nil {
			err = errors.Join(err, errs[i], e.closePort(x.port))
		}
	}
	return err
}

// nextNumber is a number for a listener. The caller holds mu.
func (e *Engine) nextNumber() uint32 {
	if last := len(e.numbers) - 1; last >= 0 {
		n := e.numbers[last]
		e.numbers = e.numbers[:last]
		return n
	}
	e.next++
	return e.next - 1
}

// Close implements relay.Engine.
func (e *Engine) Close(p *relay.Port) error {
	e.opening.Lock()
	defer e.opening.Unlock()
	return e.closePort(p)
}

// closePort is Close. The caller holds opening.
func (e *Engine) closePort(p *relay.Port) error {
	e.mu.Lock()
	x := e.ports[p]
	delete(e.ports, p)
	e.mu.Unlock()
	if x == nil {
		return fmt.Errorf("close port %s: it is not open", p)
	}
	e.shut(x)
	err := x.close()
	e.mu.Lock()
	e.numbers = append(e.numbers, x.number)
	e.mu.Unlock()
	return err
}

// shut ends accepting from listeners, and returns when no loop does.
func (e *Engine) shut(all ...*listener) {
	shut := make(chan struct{}, len(e.loops))
	for _, l := range e.loops {
		l.reactor.Post(func() {
			for _, x := range all {
				l.closeAcceptor(x)
			}
			shut <- struct{}{}
		})
	}
	for _, l := range e.loops {
		select {
		case <-shut:
		case <-l.ended:
		}
	}
}

// Wait implements relay.Engine.
func (e *Engine) Wait(ctx context.Context) error { return e.open.Wait(ctx) }

// Stop implements relay.Engine.
func (e *Engine) Stop() error {
	e.opening.Lock()
	defer e.opening.Unlock()
	if e.over {
		return nil
	}
	e.over = true
	e.endLoops()
	var err error
	for _, l := range e.loops {
		err = errors.Join(err, l.free())
	}
	return err
}

// endLoops ends every loop after what it was asked before.
func (e *Engine) endLoops() {
	for _, l := range e.loops {
		l.reactor.Post(func() { l.stopping = true })
	}
	for _, l := range e.loops {
		<-l.ended
	}
}

// clock is the time on the engine's clock, in nanoseconds: that of CLOCK_MONOTONIC.
func (e *Engine) clock() int64 { return int64(time.Since(e.base)) }

// choose returns the loop for a session that the loop l has accepted: l itself, or the one with the fewest sessions if l has
// noticeably more.
func (e *Engine) choose(l *loop) *loop {
	least, fewest := l, l.open.Load()
	mine := fewest
	for _, other := range e.loops {
		if n := other.open.Load(); n < fewest {
			least, fewest = other, n
		}
	}
	if mine <= fewest+1+fewest/8 {
		return l
	}
	return least
}
