package iocopy

import (
	"io"
	"sync/atomic"
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// patience is how long the session may be quiet now, and the cause it ends with then; 0 is for ever. The caller
// holds mu.
func (s *session) patience() (time.Duration, relay.Cause) {
	idle, half := s.route.IdleTimeout, s.route.HalfCloseTimeout
	if half > 0 && s.cause != "" && (idle == 0 || half < idle) {
		return half, relay.HalfCloseTimeout
	}
	return idle, relay.IdleTimeout
}

// patient starts to watch for quiet.
func (s *session) patient() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rearm()
}

// rearm sets the timer for the earliest moment at which patience can be over. The caller holds mu.
func (s *session) rearm() {
	limit, _ := s.patience()
	switch {
	case s.over || limit == 0:
	case s.timer == nil:
		s.expiry = timeout{limit: limit, due: time.Now().Add(limit)}
		s.timer = time.AfterFunc(limit, s.checkQuiet)
	default:
		s.expiry = timeout{limit: limit, due: time.Now().Add(limit)}
		s.timer.Reset(limit)
	}
}

// checkQuiet ends the session if it has been quiet for too long, or comes back when it may have been.
func (s *session) checkQuiet() {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	limit, cause := s.patience()
	left := limit - s.quiet()
	if left > 0 {
		s.doubts = 0
		s.expiry = timeout{limit: limit, due: time.Now().Add(left)}
	} else {
		left = s.doubt()
	}
	if left > 0 {
		s.timer.Reset(left)
	}
	s.mu.Unlock()
	if left <= 0 {
		s.end(cause, nil)
	}
}

// How often, and for how long each time, a session that seems to be quiet is left to a pump that has something to move and
// has not come to it.
const (
	mostDoubts = 10
	doubtFor   = 100 * time.Millisecond
)

// doubt is how much longer a session that seems to have been quiet for too long is to be left; 0: no longer. The caller
// holds mu.
func (s *session) doubt() time.Duration {
	if more := s.expiry.again(); more > 0 {
		return more
	}
	if s.doubts == mostDoubts || !s.movable() {
		return 0
	}
	s.doubts++
	s.expiry = timeout{due: time.Now().Add(doubtFor), given: true}
	return doubtFor
}

// quiet is how long no byte has moved and no side has finished. A pump that waits for its rate is not quiet. The kernel
// tells for a TCP socket, which sees both directions; between two unix sockets the session counts itself. The caller holds
// mu.
func (s *session) quiet() time.Duration {
	if s.pausing > 0 {
		return 0
	}
	quiet := time.Since(s.moved)
	if at := s.wrote.Load(); at > 0 {
		quiet = min(quiet, time.Since(s.begun)-time.Duration(at))
	}
	for _, x := range []*side{s.client, s.target} {
		if q, err := linux.Quiet(x.raw); err == nil {
			quiet = min(quiet, q)
		}
	}
	return quiet
}

// writer is what a pump writes to: the bare connection, so that it is spliced; between two unix sockets, which Go does
// not splice anyway, one that notes what was written to it and when.
func (s *session) writer(to *side) io.Writer {
	if !s.client.unix || !s.target.unix {
		return to.stream
	}
	return noting{to, s.begun, &s.wrote}
}

type noting struct {
	*side
	begun time.Time
	wrote *atomic.Int64
}

func (n noting) Write(p []byte) (int, error) {
	done, err := n.stream.Write(p)
	if done > 0 {
		n.noted.Add(int64(done))
		n.wrote.Store(int64(time.Since(n.begun)))
	}
	return done, err
}
