package iocopy

import (
	"errors"
	"net"
	"sync"
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// relay moves bytes both ways until both sides have finished or the session is ended. The target is connected.
func (s *session) relay() {
	defer s.watch(s.target)()
	s.patient()
	var upload sync.WaitGroup
	upload.Go(s.upload)
	s.pump(s.client, s.target, s.route.Download)
	upload.Wait()
	s.record.Upload, s.record.Download = s.target.taken, s.client.taken
	s.sample()
}

func (s *session) upload() { s.pump(s.target, s.client, s.route.Upload) }

// pump copies from one side to the other until the first finishes, and passes that on; or until either breaks, which
// ends the session.
func (s *session) pump(to, from *side, rate int) {
	n, err := s.copy(to, from, rate)
	s.settle(to, n)
	if err != nil {
		s.broke(to, from, err)
		return
	}
	if !s.finished(from) {
		s.end(from.reset, errBroken)
		return
	}
	if err := to.CloseWrite(); err != nil && linux.Broken(to.raw) {
		s.end(to.reset, err)
	}
}

// finished says that a side sends no more. It reports false if that is not so: the kernel tells of a reset once, and
// when that is the other pump, who writes, then reading ends as if the side had finished. But a connection is closed
// in good order only after both sides have said that they are.
func (s *session) finished(x *side) bool {
	other := s.client
	if x == s.client {
		other = s.target
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !other.finished && linux.Broken(x.raw) {
		return false
	}
	x.finished = true
	s.moved = time.Now()
	if s.over {
		return true
	}
	if s.cause == "" {
		s.cause = x.closed
		s.approach.Finished(x.closed, time.Since(s.begun)-s.record.Connect)
	}
	s.rearm()
	return true
}

// broke ends the session for the side whose connection gave err to a pump. The kernel knows which: the broken one is
// closed. A unix socket has no such state; it is the one if the other is not. If both are closed and to had finished,
// from may have been closed in good order, and to was not: its peer has not been told of an end yet.
func (s *session) broke(to, from *side, err error) {
	s.mu.Lock()
	mayBeOver := to.finished
	s.mu.Unlock()
	var op *net.OpError
	switch {
	case mayBeOver && linux.Broken(to.raw):
		s.end(to.reset, err)
	case linux.Broken(from.raw):
		s.end(from.reset, err)
	case linux.Broken(to.raw):
		s.end(to.reset, err)
	case from.unix && !(to.unix && errors.As(err, &op) && op.Op == "write"):
		s.end(from.reset, err)
	default:
		s.end(to.reset, err)
	}
}

// resetGrace is how long a pump has to come upon a reset by itself, after what was received before it.
const resetGrace = 100 * time.Millisecond

// watch ends the session when a side breaks, even if no pump waits for that side: when the other side takes no more,
// or while connecting. The caller calls forget before the side is closed for good.
func (s *session) watch(x *side) (forget func()) {
	forget, err := s.engine.watch.Add(x.raw, func() { s.suspect(x) }, func() { s.urgent(x) })
	if err != nil {
		s.end(relay.Internal, err)
		return func() {}
	}
	return forget
}

// suspect is called when a side has broken. A pump that reads from it sees that too, once it has passed on all that
// came before the reset, unless the other side does not take it.
func (s *session) suspect(x *side) {
	s.mu.Lock()
	reading := s.target != nil && !x.finished
	s.mu.Unlock()
	if !reading {
		s.end(x.reset, errBroken)
		return
	}
	patience := newTimeout(resetGrace)
	var end func()
	end = func() {
		if more := patience.again(); more > 0 {
			time.AfterFunc(more, end)
			return
		}
		s.end(x.reset, errBroken)
	}
	time.AfterFunc(resetGrace, end)
}

var errBroken = errors.New("connection reset by the peer or timed out by the kernel")
