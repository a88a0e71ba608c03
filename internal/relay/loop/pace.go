package loop

import (
	"tcp-proxy/internal/ratelimit"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// pace limits the rates of a session's flows.
type pace struct {
	flow [2]ratelimit.Pacer
	next [2]int64 // when a flow that waits for its rate goes on; 0: it does not wait
}

func newPace(r *relay.Route) *pace {
	return &pace{flow: [2]ratelimit.Pacer{client: {Rate: int64(r.Upload)}, target: {Rate: int64(r.Download)}}}
}

// pumpPaced is pump for a session with rates. A flow that its rate holds back goes on when a timer fires.
func (l *loop) pumpPaced(s *sessionHot, d int) outcome {
	p := l.cold(s).pace
	p.next[d] = 0
	permitted := p.flow[d].Take(l.now, turnBudget)
	left := permitted
	did := l.move(s, d, &left)
	if did == over {
		return over
	}
	p.flow[d].Return(left)
	if did != yield || permitted == turnBudget {
		return did
	}
	p.next[d] = p.flow[d].Next(l.now)
	l.rearm(s)
	return wait
}

// resume continues the flows whose rate permits bytes again.
func (l *loop) resume(s *sessionHot, p *pace) {
	for d, at := range p.next {
		if at != 0 && l.now >= at {
			p.next[d] = 0
			s.Moved(l.now) // it was not quiet
			l.push(s)
		}
	}
}

// earliest is when the first flow that its rate holds back goes on; session.Never if there is none.
func (p *pace) earliest() int64 {
	at := int64(session.Never)
	for _, next := range p.next {
		if next != 0 {
			at = min(at, next)
		}
	}
	return at
}
