package session

import (
	"time"

	"tcp-proxy/internal/relay"
)

// ResetGrace is how long bytes that a broken side sent before it broke may still be relayed.
const ResetGrace = 100 * time.Millisecond

// Early is how soon after its connect a target ends a session early: see upstream.Target.ClosedEarly.
const Early = time.Second

// OnFinished reports that a side has sent its last byte (FIN), and that all it has sent was written to the other. The
// engine passes the FIN on, unless the action is Finish: both sides have finished.
func (s *Session) OnFinished(side int, now int64) Action {
	if s.Ended() {
		return Abort
	}
	st := s.state
	st.finished |= 1 << side
	st.moved = now
	if st.first == 0 {
		st.first = uint8(1 + side)
		st.early = side == Target && now-st.connected <= int64(Early)
	}
	if st.Finished(Client) && st.Finished(Target) {
		s.cause = closedCauses[st.first-1]
		return Finish
	}
	return Wait
}

// OnReset reports the error that reading from a side or writing to it has given.
func (s *Session) OnReset(side int, err error) Action { return s.End(resetCauses[side], err) }

// OnBroken reports that the kernel says that a side is reset or given up. drained says that nothing is left to relay that
// it sent before. If there may be, the session goes on for ResetGrace.
func (s *Session) OnBroken(side int, drained bool, now int64) Action {
	if s.Ended() {
		return Abort
	}
	st := s.state
	if st.Phase != Relaying || drained {
		return s.End(resetCauses[side], ErrBroken)
	}
	st.broken |= 1 << side
	if st.resetAt == 0 {
		st.resetAt = now + int64(ResetGrace)
	}
	return Wait
}

// quietLimit is how long the session may be quiet now, and the cause it ends with then; 0: for ever.
func (s *Session) quietLimit() (time.Duration, relay.Cause) {
	idle, half := s.route.IdleTimeout, s.route.HalfCloseTimeout
	if half > 0 && s.state.first != 0 && (idle == 0 || half < idle) {
		return half, relay.HalfCloseTimeout
	}
	return idle, relay.IdleTimeout
}
