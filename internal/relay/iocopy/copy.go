package iocopy

import (
	"errors"
	"io"
	"os"
	"time"

	"tcp-proxy/internal/linux"
)

// copy copies to the end, or until there is an error. Go splices where it can. But splice(2) stops at urgent data (tcp(7)),
// and reports it as the end if the side has finished: what is left then is copied through a buffer, and so is everything
// after urgent data was reported.
func (r *runner) copy(to, from *side, rate int) (int64, error) {
	total, err := r.copyFrom(to, from.stream, rate)
	for byHand := false; ; byHand = true {
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // urgent has set it; nothing that was read is lost
			from.SetReadDeadline(time.Time{})
		case err != nil || byHand || from.ended():
			return total, err
		}
		var n int64
		n, err = r.copyFrom(to, struct{ io.Reader }{from.stream}, rate)
		total += n
	}
}

func (r *runner) copyFrom(to *side, from io.Reader, rate int) (int64, error) {
	if rate > 0 {
		return r.copySlowly(to, from, rate)
	}
	return io.Copy(r.writer(to), from)
}

// ended reports whether there is nothing more to read, and never will be.
func (x *side) ended() bool {
	ended := true
	err := x.raw.Control(func(fd uintptr) {
		n, errno := linux.Peek(int(fd), make([]byte, 1))
		ended = n == 0 && errno == 0
	})
	return ended || err != nil
}

// urgent is called when urgent data was received from a side. It stops a pump that splices from it.
func (r *runner) urgent(x *side) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x.byHand = true
	if r.target != nil {
		x.SetReadDeadline(longAgo)
	}
}

var longAgo = time.Unix(1, 0)
