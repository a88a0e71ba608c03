package loop

import (
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/target"
)

// End implements relay.Engine.
func (e *Engine) End(cause relay.Cause) {
	e.onSessions(func(l *loop, s *session) { l.end(s, cause, nil) })
}

// EndTarget implements relay.Engine.
func (e *Engine) EndTarget(t *target.Target, cause relay.Cause) {
	e.onSessions(func(l *loop, s *session) {
		if s.state == relaying && l.slab.besideOf(s).target[upstream].Same(t) {
			l.end(s, cause, nil)
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

// onSessions has every loop call f for each of its sessions, and close its channel then.
func (e *Engine) onSessions(f func(*loop, *session)) []chan struct{} {
	all := make([]chan struct{}, len(e.loops))
	for n, l := range e.loops {
		done := make(chan struct{})
		all[n] = done
		l.inbox.post(func() {
			l.slab.each(func(s *session) { f(l, s) })
			close(done)
		})
	}
	return all
}

// sample has the route's meter know what the session has moved. On the path of a byte the flow's own count is enough.
func (l *loop) sample(s *session) {
	m := l.slab.besideOf(s).route.Meter
	if m == nil {
		return
	}
	if n := s.flow[client].news(); n > 0 {
		m.Uploaded(l.shard, n)
	}
	if n := s.flow[upstream].news(); n > 0 {
		m.Downloaded(l.shard, n)
	}
}

// news is how many bytes were moved since it was last asked.
func (f *flow) news() int64 {
	n := f.moved.Load() - f.metered
	f.metered += n
	return n
}
