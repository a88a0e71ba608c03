package iocopy

import (
	"context"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// Sessions implements relay.Engine.
func (e *Engine) Sessions(ctx context.Context, of relay.Selection) relay.OpenSessions {
	found := relay.NewCollector(of)
	for _, s := range e.all() {
		if ctx.Err() != nil {
			break
		}
		s.collect(found)
	}
	return found.Result()
}

// EndSession implements relay.Engine.
func (e *Engine) EndSession(_ context.Context, id uint64, cause relay.Cause) error {
	e.mu.Lock()
	r := e.sessions[id]
	e.mu.Unlock()
	if r == nil {
		return relay.ErrNoSession
	}
	found := false
	r.decide(func(s *session.Session, _ int64) session.Action {
		found = !s.Ended()
		return s.End(cause, nil)
	})
	if !found {
		return relay.ErrNoSession
	}
	return nil
}

// collect adds the session to a collector, if it has not ended.
func (r *runner) collect(to *relay.Collector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reported || r.session.Ended() {
		return
	}
	s := relay.OpenSession{Port: r.port, Begun: r.begun}
	r.session.Describe(&s, addressOf(r.client.RemoteAddr()))
	to.Add(&s, r.measure)
}

// measure fills in what the kernel knows of the session. The caller holds mu.
func (r *runner) measure(s *relay.OpenSession) {
	if r.target == nil {
		return
	}
	s.Upload, s.Download = max(0, r.target.written(r.client)), max(0, r.client.written(r.target))
	if r.state.Phase == session.Relaying {
		now := r.now()
		s.Moved = r.begun.Add(time.Duration(now) - r.quiet(now))
	}
}
