package iocopy

import (
	"errors"
	"net"
	"sync"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// relay moves bytes both ways until both sides have finished or the session has ended. The target is connected.
func (r *runner) relay() {
	defer r.monitor(r.target)()
	var upload sync.WaitGroup
	upload.Go(r.upload)
	r.pump(r.client, r.target, r.route.Download)
	upload.Wait()
	r.record.Upload, r.record.Download = r.target.taken, r.client.taken
	r.sample()
}

func (r *runner) upload() { r.pump(r.target, r.client, r.route.Upload) }

// pump copies from one side to the other until the first finishes, and passes that on; or until either breaks, which
// ends the session.
func (r *runner) pump(to, from *side, rate int) {
	n, err := r.copy(to, from, rate)
	r.settle(to, n)
	if err != nil {
		r.broke(to, from, err)
		return
	}
	if r.finished(from) != session.Wait {
		return
	}
	if err := to.CloseWrite(); err != nil && linux.Broken(to.raw) {
		r.reset(to, err)
	}
}

// finished reports that nothing more comes from a side. That may be because of a reset: the kernel reports one once, and if
// that was to the other pump, which writes, reading ends as if the side had finished. But a connection is closed in good
// order only after both sides have finished.
func (r *runner) finished(x *side) session.Action {
	return r.decide(func(s *session.Session, now int64) session.Action {
		if !r.state.Finished(session.Client+session.Target-x.index) && linux.Broken(x.raw) {
			return s.OnReset(x.index, session.ErrBroken)
		}
		return s.OnFinished(x.index, now)
	})
}

// reset ends the session for a side whose connection is broken.
func (r *runner) reset(x *side, err error) {
	r.decide(func(s *session.Session, _ int64) session.Action { return s.OnReset(x.index, err) })
}

// broke ends the session for the side whose connection gave err to a pump. The kernel knows which: the broken one is
// closed. A unix socket has no such state; it is the one if the other is not. If both are closed and to had finished,
// from may have been closed in good order, and to was not: its peer has seen no end yet.
func (r *runner) broke(to, from *side, err error) {
	r.mu.Lock()
	mayBeOver := r.state.Finished(to.index)
	r.mu.Unlock()
	var op *net.OpError
	switch {
	case mayBeOver && linux.Broken(to.raw):
		r.reset(to, err)
	case linux.Broken(from.raw):
		r.reset(from, err)
	case linux.Broken(to.raw):
		r.reset(to, err)
	case from.unix && !(to.unix && errors.As(err, &op) && op.Op == "write"):
		r.reset(from, err)
	default:
		r.reset(to, err)
	}
}

// monitor ends the session when a side breaks, even if no pump waits for that side: when the other side takes no more,
// or while connecting. The caller calls forget before the side is closed for good.
func (r *runner) monitor(x *side) (forget func()) {
	forget, err := r.engine.watch.Add(x.raw, func() { r.onBroken(x) }, func() { r.urgent(x) })
	if err != nil {
		r.end(relay.Internal, err)
		return func() {}
	}
	return forget
}

// onBroken is called when a side has broken. A pump that reads from it sees that too, once it has passed on all that
// came before the reset, unless the other side does not take it.
func (r *runner) onBroken(x *side) {
	r.decide(func(s *session.Session, now int64) session.Action {
		return s.OnBroken(x.index, r.state.Finished(x.index), now)
	})
}
