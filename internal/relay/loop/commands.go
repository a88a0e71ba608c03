package loop

import (
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/upstream"
)

// End implements relay.Engine.
func (e *Engine) End(cause relay.Cause) {
	now := e.clock()
	e.onSessions(func(l *loop, s *sessionHot) {
		if s.Begun() <= now {
			l.do(s, l.cold(s).End(cause, nil))
		}
	})
}

// EndTarget implements relay.Engine.
func (e *Engine) EndTarget(t *upstream.Target, cause relay.Cause) {
	now := e.clock()
	e.onSessions(func(l *loop, s *sessionHot) {
		if s.Phase == session.Relaying && s.Connected() <= now && l.cold(s).Target(target).Same(t) {
			l.do(s, l.cold(s).End(cause, nil))
		}
	})
}

// Sample implements relay.Engine.
func (e *Engine) Sample() {
	for n, done := range e.onSessions((*loop).sample) {
		select {
		case <-done:
		case <-e.loops[n].ended:
		}
	}
}

// onSessions makes every loop call f for each of its sessions, maybe also for some that begin meanwhile, and close its
// channel then.
func (e *Engine) onSessions(f func(*loop, *sessionHot)) []chan struct{} {
	all := make([]chan struct{}, len(e.loops))
	for n, l := range e.loops {
		done := make(chan struct{})
		all[n] = done
		l.reactor.Post(func() {
			l.sweeps++
			l.sweep(0, f, done)
		})
	}
	return all
}

// sweepStride is how many slots of the session table are visited between two readings of the clock.
const sweepStride = 16

// sweep calls f for each session from a slot on, a slice of time in each turn, and closes done after the last.
func (l *loop) sweep(from int, f func(*loop, *sessionHot), done chan struct{}) {
	for until := l.engine.clock() + reactor.Slice; from < l.sessions.Size(); {
		for end := min(from+sweepStride, l.sessions.Size()); from < end; from++ {
			if n := int32(from); l.sessions.InUse(n) {
				f(l, l.sessions.At(n))
			}
		}
		if l.engine.clock() >= until {
			l.reactor.Post(func() { l.sweep(from, f, done) })
			return
		}
	}
	l.sweeps--
	close(done)
}

// sample counts what the session has moved since the last one. On the path of a byte the flow's own count is enough.
func (l *loop) sample(s *sessionHot) {
	if s.Phase == session.Relaying {
		l.cold(s).AddBytes(l.shard, s.flow[client].unmetered(), s.flow[target].unmetered())
	}
}

// unmetered is how many bytes were moved since the last call.
func (f *flow) unmetered() int64 {
	n := f.moved - f.metered
	f.metered += n
	return n
}
