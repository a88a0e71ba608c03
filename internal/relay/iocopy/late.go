package iocopy

import (
	"syscall"
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// timeout is how long something may take. If this process notices late that it is over, there is another chance, once:
// see relay.Chance.
type timeout struct {
	limit time.Duration
	due   time.Time
	given bool // the other chance
}

func newTimeout(limit time.Duration) *timeout {
	return &timeout{limit: limit, due: time.Now().Add(limit)}
}

// again is called when the time is over. It returns for how much longer to wait; 0: no more.
func (t *timeout) again() time.Duration {
	now := time.Now()
	if t.given || now.Sub(t.due) < relay.StoodStill {
		return 0
	}
	t.given = true
	more := relay.Chance(t.limit)
	t.due = now.Add(more)
	return more
}

// answered reports whether something has become of a socket's connect: package net is about to take it in.
func answered(c syscall.RawConn) bool {
	is := false
	err := c.Control(func(fd uintptr) { is = linux.Answered(int(fd)) })
	return err == nil && is
}

// movable reports whether there is something to read from one side that the other would take, or the end of it. The
// caller holds mu.
func (s *session) movable() bool {
	for from, to := range map[*side]*side{s.client: s.target, s.target: s.client} {
		if !from.finished && from.ready(linux.Readable) && to.ready(linux.Writable) {
			return true
		}
	}
	return false
}

func (x *side) ready(is func(fd int) bool) bool {
	yes := false
	err := x.raw.Control(func(fd uintptr) { yes = is(int(fd)) })
	return err == nil && yes
}
