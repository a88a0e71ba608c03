package iocopy

import (
	"errors"
	"io"
	"time"

	"tcp-proxy/internal/ratelimit"
)

// copySlowly is io.Copy at so many bytes a second. What is permitted at a time is copied by io.CopyN, and so spliced too
// where the receiver is TCP.
func (r *runner) copySlowly(to *side, from io.Reader, rate int) (int64, error) {
	pace := ratelimit.Pacer{Rate: int64(rate)}
	// As much as Pacer permits at least: what a copy has been permitted, and waits for, comes on top of what the next is.
	portion := max(1, rate/40)
	for total := int64(0); ; {
		now := int64(time.Since(r.begun))
		n := pace.Take(now, portion)
		if n == 0 {
			if !r.pause(time.Duration(pace.Next(now) - now)) {
				return total, r.ctx.Err()
			}
			continue
		}
		done, err := io.CopyN(r.writer(to), from, int64(n))
		total += done
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// pause waits; it reports false if the session ends first.
func (r *runner) pause(d time.Duration) bool {
	r.mu.Lock()
	r.pausing++
	r.mu.Unlock()
	defer r.resume()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// resume ends a pause, during which the session was not quiet.
func (r *runner) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Moved(r.now())
	r.pausing--
}
