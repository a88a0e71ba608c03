package loop

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// nextID gives a session its ID. Each loop counts its own sessions, in steps as wide as there are loops, so that no two give
// the same. Where a session is, its ID does not say: one that comes from another process keeps it, if the loops then count from
// above it.
func (l *loop) nextID() uint64 {
	l.lastID += uint64(len(l.engine.loops))
	return l.lastID
}

// Sessions implements relay.Engine.
func (e *Engine) Sessions(ctx context.Context, of relay.Selection) relay.OpenSessions {
	type part struct {
		*relay.Collector
		cut bool // the context was done before all sessions were visited
	}
	parts := make([]part, len(e.loops))
	for n := range parts {
		parts[n].Collector = relay.NewCollector(of)
	}
	answers := e.onSessions(func(l *loop, s *sessionHot) {
		to := &parts[l.shard]
		if to.cut = to.cut || ctx.Err() != nil; !to.cut {
			l.collect(s, to.Collector)
		}
	})
	all, missing := relay.NewCollector(of), 0
	for n, answered := range e.await(ctx, answers) {
		if !answered || parts[n].cut {
			missing++
			continue
		}
		all.Merge(parts[n].Collector)
	}
	found := all.Result()
	found.Missing, found.Loops = missing, len(e.loops)
	return found
}

// EndSession implements relay.Engine.
func (e *Engine) EndSession(ctx context.Context, id uint64, cause relay.Cause) error {
	searching, stop := context.WithCancel(ctx)
	defer stop()
	var found atomic.Bool
	answers := e.onSessions(func(l *loop, s *sessionHot) {
		if c := l.cold(s); c.ID() == id && searching.Err() == nil {
			l.do(s, c.End(cause, nil))
			found.Store(true)
			stop()
		}
	})
	missing := 0
	for _, answered := range e.await(searching, answers) {
		if !answered {
			missing++
		}
	}
	switch {
	case found.Load():
		return nil
	case missing > 0:
		return fmt.Errorf("%d of %d event loops do not answer: %w", missing, len(e.loops), ctx.Err())
	}
	return relay.ErrNoSession
}

// await waits until every loop has closed its channel or has ended, but no longer than the context allows. It returns which
// have.
func (e *Engine) await(ctx context.Context, answers []chan struct{}) []bool {
	answered := make([]bool, len(answers))
	for n, answer := range answers {
		select {
		case <-answer:
			answered[n] = true
			continue
		case <-e.loops[n].ended: // it has no sessions
			answered[n] = true
			continue
		case <-ctx.Done():
		}
		select {
		case <-answer:
			answered[n] = true
		default:
		}
	}
	return answered
}

// collect adds a session to a collector.
func (l *loop) collect(s *sessionHot, to *relay.Collector) {
	c := l.cold(s)
	x := &l.described
	*x = relay.OpenSession{Port: c.port, Begun: l.engine.moment(s.Begun())}
	c.Describe(x, s.peerAddrPort())
	to.Add(x, func(x *relay.OpenSession) {
		x.Upload, x.Download = s.flow[client].moved, s.flow[target].moved
		if s.Phase == session.Relaying {
			x.Moved = l.engine.moment(l.lastMoved(s))
		}
	})
	*x = relay.OpenSession{} // it keeps no route and no target
}

// lastMoved is when a byte was last relayed, by what the loop knows without asking the kernel. A flow that waits for its
// rate is not quiet.
func (l *loop) lastMoved(s *sessionHot) int64 {
	if s.paced && l.cold(s).pace.earliest() != session.Never {
		return l.now
	}
	return s.LastMoved()
}

// moment is the time of a moment of the engine's clock.
func (e *Engine) moment(at int64) time.Time { return e.base.Add(time.Duration(at)) }
