package iocopy

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// listening is an open port.
type listening struct {
	*relay.Port
	ready   *linux.Ready
	closing chan struct{} // closed to end the accept goroutine
	done    chan struct{} // closed by it when it has ended
	rounds  atomic.Uint64 // calls of accept
	heirs   *relay.Inheritance
}

// How long accepting pauses after an error: at first, and at most.
const (
	firstPause = 5 * time.Millisecond
	mostPause  = time.Second
)

// Open implements relay.Engine.
func (e *Engine) Open(p *relay.Port) error {
	ready, err := linux.NewReady(p.Listener)
	if err != nil {
		return errors.Join(err, p.Listener.Close())
	}
	l := &listening{Port: p, ready: ready, closing: make(chan struct{}), done: make(chan struct{})}
	err = linux.Control(p.Listener, func(fd int) (err error) {
		l.heirs, err = relay.Inherit(fd, p.Listener.Addr().Network() == "unix")
		return err
	})
	if err != nil {
		return errors.Join(err, ready.Close(), p.Listener.Close())
	}
	e.mu.Lock()
	e.ports[p] = l
	e.mu.Unlock()
	go e.accept(l)
	return nil
}

// Close implements relay.Engine.
func (e *Engine) Close(p *relay.Port) error {
	e.mu.Lock()
	l := e.ports[p]
	delete(e.ports, p)
	e.mu.Unlock()
	if l == nil {
		return fmt.Errorf("close port %s: it is not open", p)
	}
	close(l.closing)
	err := errors.Join(l.ready.Close(), l.Listener.Close())
	<-l.done
	return err
}

// accept accepts connections of a port until it is closed. It waits for a connection, then for a worker, and only then
// accepts: while the pool is full, new connections wait in the kernel's backlog.
func (e *Engine) accept(l *listening) {
	defer close(l.done)
	var pause time.Duration
	var failing time.Time
	for l.ready.Wait() == nil && e.workers.Acquire(l.closing) {
		conn, err := l.Listener.Accept()
		l.rounds.Add(1)
		if err == nil {
			if pause > 0 {
				e.events.AcceptResumed(l.Port, time.Since(failing))
				pause = 0
			}
			l.complete(conn.(stream))
			go e.begin(l.Port, conn.(stream)).serve()
			continue
		}
		e.workers.Release()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if pause == 0 {
			failing = time.Now()
			e.events.AcceptFailing(l.Port, err)
		}
		pause = min(max(2*pause, firstPause), mostPause)
		if !l.rest(pause) {
			return
		}
	}
}

// complete sets the options that a connection has not inherited.
func (l *listening) complete(conn stream) {
	if !l.heirs.Lacks() {
		return
	}
	_ = linux.Control(conn, func(fd int) error { // fails only if it is closed
		l.heirs.Complete(fd, l.Route.Load().Keepalive)
		return nil
	})
}

// rest waits; it reports false if the port is closed first.
func (l *listening) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.closing:
		return false
	}
}
