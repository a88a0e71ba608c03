package loop

import (
	"sync"

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
	e.onSessions(func(l *loop, s *session) { l.sample(s) }).Wait()
}

// onSessions has every loop call f for each of its sessions.
func (e *Engine) onSessions(f func(*loop, *session)) *sync.WaitGroup {
	var done sync.WaitGroup
	for _, l := range e.loops {
		done.Add(1)
		l.inbox.post(func() {
			l.slab.each(func(s *session) { f(l, s) })
			done.Done()
		})
	}
	return &done
}

// sample has the route's meter know what the session has moved. On the path of a byte the flow's own count is enough.
func (l *loop) sample(s *session) {
	m := l.slab.besideOf(s).route.Meter
	if m == nil {
		return
	}
	m.Uploaded(l.shard, s.flow[client].news())
	m.Downloaded(l.shard, s.flow[upstream].news())
}

// news is how many bytes were moved since it was last asked.
func (f *flow) news() int64 {
	n := f.moved.Load() - f.metered
	f.metered += n
	return n
}
