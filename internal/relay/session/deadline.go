package session

import (
	"math"
	"time"

	"tcp-proxy/internal/relay"
)

// Never is a moment that does not come.
const Never = math.MaxInt64

// Due is what has become due for a session.
type Due uint8

// What may become due. All but DueNothing, DueRace and DueMaxDuration are time-outs: the engine looks at the sockets before
// it believes them.
const (
	DueNothing     Due = iota
	DueMaxDuration     // the session was open for as long as it may be, whatever it does
	DueHeader          // the client's PROXY header is not complete
	DueSlot            // no slot was granted
	DueConnect         // the attempt of Target has no answer: report OnConnectFailed with NoAnswer
	DueRace            // the attempt of Target is to get another to race against: call Race
	DueReset           // a broken side ends the session
	DueQuiet           // no byte was relayed for too long, by what the engine has reported with Moved
)

// Deadline is the earliest moment at which something may be due; Never if nothing is going to be.
func (s *Session) Deadline(x *Standstill) int64 {
	st, at := s.state, int64(Never)
	if limit := s.route.MaxDuration; limit > 0 {
		at = st.begun + int64(limit)
	}
	if st.Phase != Relaying {
		return min(at, x.extend(st.until, s.phaseLimit()), st.raceAt) // the racing attempt is given up later
	}
	if st.resetAt != 0 {
		at = min(at, x.extend(st.resetAt, ResetGrace))
	}
	if limit, _ := s.quietLimit(); limit > 0 {
		at = min(at, x.extend(st.moved+int64(limit), limit))
	}
	return at
}

// phaseLimit is how long what the session waits for may take, before it relays.
func (s *Session) phaseLimit() time.Duration {
	if s.state.Phase == Header {
		return s.route.ProxyTimeout
	}
	return s.route.ConnectTimeout
}

// Due returns what is due, the most important first. OnDue takes it.
func (s *Session) Due(now int64, x *Standstill) Due {
	st := s.state
	if limit := s.route.MaxDuration; limit > 0 && now >= st.begun+int64(limit) {
		return DueMaxDuration
	}
	if st.Phase != Relaying {
		switch {
		case st.until != Never && now >= x.extend(st.until, s.phaseLimit()):
			return s.duePhase()
		case now >= st.raceAt:
			return DueRace
		}
		return DueNothing
	}
	if st.resetAt != 0 && now >= x.extend(st.resetAt, ResetGrace) {
		return DueReset
	}
	if limit, _ := s.quietLimit(); limit > 0 && now >= x.extend(st.moved+int64(limit), limit) {
		return DueQuiet
	}
	return DueNothing
}

func (s *Session) duePhase() Due {
	switch s.state.Phase {
	case Header:
		return DueHeader
	case Waiting:
		return DueSlot
	}
	return DueConnect
}

// OnDue reports that what is due was believed. It is not for DueRace and DueConnect.
func (s *Session) OnDue(due Due) Action {
	if s.Ended() {
		return Abort
	}
	switch due {
	case DueMaxDuration:
		return s.End(relay.MaxDuration, nil)
	case DueHeader:
		return s.End(relay.ProxyHeader, s.route.HeaderOverdue())
	case DueSlot:
		return s.giveUpWaiting()
	case DueReset:
		side := Client
		if s.state.broken&(1<<Client) == 0 {
			side = Target
		}
		return s.End(resetCauses[side], ErrBroken)
	case DueQuiet:
		_, cause := s.quietLimit()
		return s.End(cause, nil)
	}
	return Wait
}

// A process does not run while it is stopped (SIGSTOP), while its machine is starved of processors, or while a laptop's lid
// is shut. Afterwards every time-out has expired, and what came in time is still to be read. So an engine looks at the
// sockets before it believes a time-out; and if it was late itself, what it waits for is given more time: while the machine
// stood still, so may have the network. MaxDuration is absolute.
const (
	// StoodStill is how late an engine is at least that has stood still.
	StoodStill = 100 * time.Millisecond
	// mostExtension is how much more time anything is given.
	mostExtension = time.Second
	// extendAgain is how long after an extension there is another one, unless the engine has stood still for at least twice
	// as long as before it: a turn that was a little late takes nothing from a standstill after it, and time-outs still
	// expire where every turn is late.
	extendAgain = 10 * time.Second
)

// Standstill knows when its engine last stood still. The zero value: never.
type Standstill struct {
	woke   int64 // when it went on
	length int64
}

// Late reports that the engine goes on now, so much later than it had asked for. It returns whether that extends
// time-outs.
func (x *Standstill) Late(by, now int64) bool {
	if by < int64(StoodStill) {
		return false
	}
	if x.woke != 0 && now-x.woke < int64(extendAgain) && by < 2*x.length {
		return false
	}
	x.woke, x.length = now, by
	return true
}

// extend is when a time-out that expires at a moment, after this long, is believed.
func (x *Standstill) extend(at int64, limit time.Duration) int64 {
	if x.woke == 0 {
		return at
	}
	return max(at, x.woke+int64(min(limit, mostExtension)))
}
