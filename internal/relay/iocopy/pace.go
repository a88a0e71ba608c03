package iocopy

import (
	"errors"
	"io"
	"time"

	"tcp-proxy/internal/ratelimit"
)

// copySlowly is io.Copy at so many bytes a second. What is permitted at a time is copied by io.CopyN, and so spliced too
// where the receiver is TCP.
func (s *session) copySlowly(to *side, from io.Reader, rate int) (int64, error) {
	pace := ratelimit.Pacer{Rate: int64(rate)}
	// As much as Pacer permits at least: what a copy has been permitted, and waits for, comes on top of what the next is.
	portion := max(1, rate/40)
	for total := int64(0); ; {
		now := int64(time.Since(s.begun))
		n := pace.Take(now, portion)
		if n == 0 {
			if !s.pause(time.Duration(pace.Next(now) - now)) {
				return total, s.ctx.Err()
			}
			continue
		}
		done, err := io.CopyN(s.writer(to), from, int64(n))
		total += done
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// pause waits; it reports false if the session is over first.
func (s *session) pause(d time.Duration) bool {
	s.mu.Lock()
	s.pausing++
	s.mu.Unlock()
	defer s.resume()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// resume ends a pause, during which the session was not quiet.
func (s *session) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = time.Now()
	s.pausing--
}
