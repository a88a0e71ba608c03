package loop

import (
	"sync"
	"sync/atomic"

	"tcp-proxy/internal/linux"
)

// A session that has ended for its peers may still count: its client has finished and connects again, and the event that
// says so waits behind others, maybe in another loop. So before a client is refused because of the number of sessions, every
// loop handles the events that there are by then. That is a round. There is one round at a time: however many clients are
// about to be refused, a loop takes one more turn for all of them.

// recounts are the engine's rounds.
type recounts struct {
	mu      sync.Mutex // guards what follows
	running bool
	waiting []func() // called after the next round
}

// recount calls done, on any loop, when every loop has handled what had happened before the call. It does not block.
func (e *Engine) recount(done func()) {
	r := &e.recounts
	r.mu.Lock()
	r.waiting = append(r.waiting, done)
	begin := !r.running
	r.running = true
	r.mu.Unlock()
	if begin {
		e.round()
	}
}

// round asks every loop, once for all who wait so far.
func (e *Engine) round() {
	r := &e.recounts
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = nil
	r.running = len(waiting) > 0
	r.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	var missing atomic.Int32
	missing.Store(int32(len(e.loops)))
	answer := func() {
		if missing.Add(-1) > 0 {
			return
		}
		for _, done := range waiting {
			done()
		}
		e.round()
	}
	for _, l := range e.loops {
		l.reactor.Post(func() { l.answer, l.askedIn = answer, l.turn })
	}
}

// answerTurns is after how many turns a loop answers that has more events in each than one turn handles.
const answerTurns = 16

// answerRound answers the round that has asked the loop, once the loop has handled what had happened by then: after a turn
// that began later and got all the events that there were.
func (l *loop) answerRound(events int) {
	later := l.turn - l.askedIn
	if l.answer == nil || later == 0 || events == linux.EpollBatch && later < answerTurns {
		return
	}
	answer := l.answer
	l.answer = nil
	answer()
}

// recount asks for a round for a client that is to be refused because of the number of sessions.
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
