package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tcp-proxy/internal/admit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/loop"
	"tcp-proxy/internal/upstream"
)

// restless is the engine loop whose sessions and ports go on in a new engine again and again, each with another number of loops.
// Nobody but a test of descriptors or of processor time can tell it from one that rests.
type restless struct {
	workers *admit.Workers
	events  relay.Events
	over    chan struct{} // closed by Stop
	rests   chan struct{} // closed when its sessions move no more; nil: they move only when they are told to

	mu      sync.RWMutex // held by move, and by who uses what follows
	now     *loop.Engine
	moves   int
	failure error
}

// A move comes after a pause that begins with firstPause and doubles up to lastPause, so that time-outs of tests expire.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = time.Second
)

func startRestless(w *admit.Workers, events relay.Events) (relay.Engine, error) {
	r, err := newRestless(w, events)
	if err != nil {
		return nil, err
	}
	r.rests = make(chan struct{})
	go r.moveOn()
	return r, nil
}

// newRestless is one that moves only when it is told to.
func newRestless(w *admit.Workers, events relay.Events) (*restless, error) {
	now, err := loop.New(w, events)
	return &restless{workers: w, events: events, over: make(chan struct{}), now: now}, err
}

func (r *restless) moveOn() {
	defer close(r.rests)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		select {
		case <-r.over:
			return
		case <-time.After(pause):
		}
		if err := r.move(1 + r.moves%3); err != nil {
			r.mu.Lock()
			r.failure = errors.Join(r.failure, err)
			r.mu.Unlock()
			return
		}
	}
}

// move continues all sessions and ports in a new engine with that many loops.
func (r *restless) move(loops int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := r.now.Freeze()
	if err != nil {
		return err
	}
	adopted, err := r.adopt(loops, f)
	if len(adopted.Lost) > 0 {
		err = errors.Join(err, fmt.Errorf("sessions are lost: %v", adopted.Lost))
	}
	return err
}

// adopt continues what was frozen in a new engine. The caller holds mu.
func (r *restless) adopt(loops int, f *loop.Frozen) (loop.Adopted, error) {
	next, err := loop.NewWithLoops(loops, r.workers, r.events)
	if err != nil {
		return loop.Adopted{}, err
	}
	r.now = next
	r.moves++
	return next.Adopt(f)
}

// current is the engine of this moment, which stays until release is called.
func (r *restless) current() (now *loop.Engine, release func()) {
	r.mu.RLock()
	return r.now, r.mu.RUnlock
}

func (r *restless) Open(p *relay.Port) error {
	e, release := r.current()
	defer release()
	return e.Open(p)
}

func (r *restless) Close(p *relay.Port) error {
	e, release := r.current()
	defer release()
	return e.Close(p)
}

func (r *restless) Control(p *relay.Port, f func(fd int) error) error {
	e, release := r.current()
	defer release()
	return e.Control(p, f)
}

// Wait waits without keeping the engine: one that is frozen has no session.
func (r *restless) Wait(ctx context.Context) error {
	for {
		e, release := r.current()
		release()
		if err := e.Wait(ctx); err != nil {
			return err
		}
		now, release := r.current()
		release()
		if now == e {
			return nil
		}
	}
}

func (r *restless) End(cause relay.Cause) {
	e, release := r.current()
	defer release()
	e.End(cause)
}

func (r *restless) EndTarget(t *upstream.Target, cause relay.Cause) {
	e, release := r.current()
	defer release()
	e.EndTarget(t, cause)
}

func (r *restless) Sessions(ctx context.Context, of relay.Selection) relay.OpenSessions {
	e, release := r.current()
	defer release()
	return e.Sessions(ctx, of)
}

func (r *restless) EndSession(ctx context.Context, id uint64, cause relay.Cause) error {
	e, release := r.current()
	defer release()
	return e.EndSession(ctx, id, cause)
}

func (r *restless) Sample() {
	e, release := r.current()
	defer release()
	e.Sample()
}

func (r *restless) Alive(ctx context.Context) error {
	e, release := r.current()
	defer release()
	return e.Alive(ctx)
}

func (r *restless) Stop() error {
	close(r.over)
	if r.rests != nil {
		<-r.rests
	}
	return errors.Join(r.failure, r.now.Stop())
}
