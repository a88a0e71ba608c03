package loop

import (
	"sync"
	"sync/atomic"

	"tcp-proxy/internal/linux"
)

// A session that is over in the kernel may still count: its client has finished and connects again, and the event of that
// waits behind others, in another loop maybe. So before a client is refused because of how many sessions there are, every
// loop takes in what has happened by then. That is a round, and there is one at a time: however many clients are to be
// refused, a loop has one turn more for all who ask meanwhile.

// recounts are the engine's rounds.
type recounts struct {
	mu      sync.Mutex // guards what follows
	running bool
	asking  []func() // called after the next round
}

// recount calls done, on any loop, when every loop has taken in what had happened before the call. It does not block.
func (e *Engine) recount(done func()) {
	r := &e.recounts
	r.mu.Lock()
	r.asking = append(r.asking, done)
	begin := !r.running
	r.running = true
	r.mu.Unlock()
	if begin {
		e.round()
	}
}

// round has every loop answer once for all who ask so far.
func (e *Engine) round() {
	r := &e.recounts
	r.mu.Lock()
	asking := r.asking
	r.asking = nil
	r.running = len(asking) > 0
	r.mu.Unlock()
	if len(asking) == 0 {
		return
	}
	var missing atomic.Int32
	missing.Store(int32(len(e.loops)))
	tell := func() {
		if missing.Add(-1) > 0 {
			return
		}
		for _, done := range asking {
			done()
		}
		e.round()
	}
	for _, l := range e.loops {
		l.reactor.Post(func() { l.tell, l.askedIn = tell, l.turn })
	}
}

// settleTurns is how many turns a loop that has more events than one turn takes gives itself to answer.
const settleTurns = 16

// settle tells the round under way that the loop has taken in what had happened when it was asked: in a turn that began
// later, and got all the events that there were, every session that had one has had its turn.
func (l *loop) settle(events int) {
	later := l.turn - l.askedIn
	if l.tell == nil || later == 0 || events == linux.EpollBatch && later < settleTurns {
		return
	}
	tell := l.tell
	l.tell = nil
	tell()
}

// recount takes in which sessions have ended, for a client that the number of sessions is in the way of.
func (l *loop) recount(s *sessionHot) {
	l.rearm(s)
	key := l.sessions.key(s)
	l.engine.recount(func() {
		l.reactor.Post(func() {
			if s := l.sessions.Find(key); s != nil {
				l.do(s, l.cold(s).OnRecount())
			}
		})
	})
}
