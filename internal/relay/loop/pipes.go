package loop

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// The limits of all loops together: a user without privileges may have 64 MiB of pipes (pipe-user-pages-soft of pipe(7)), and
// this is half of it. A loop that has moved maxUnloaded bytes from stuck pipes to memory leaves further ones in their pipes.
const (
	pipeSize    = 1 << 20
	maxPipes    = 32
	maxUnloaded = 64 << 20
)

// pipes are the pipes of a loop. A flow holds one only while there are bytes in it. If a receiver does not read for a while,
// they are moved to memory, so that slow receivers cannot keep the pipes from others.
type pipes struct {
	budget *atomic.Int32 // how many pipes all loops have; shared
	events *relay.Events

	all    []pipe  // by index; those that are closed have no owner and no descriptors
	idle   []int32 // those that are open and empty
	closed []int32 // the indexes of those that are closed
	least  int     // the fewest that were idle since they were tidied
	tidy   int64   // when to tidy next
	retry  int64   // when to try to make one again
	more   bool    // tidying was not done with those that are stuck
}

type pipe struct {
	read, write int32
	session     int32 // its holder and
	flow        int32 // which of its flows
	stuck       int64 // since when what is in it was not taken, or 0
}

const tidyInterval = int64(time.Second)

// take gives the flow of that side a pipe. It reports false if there is none.
func (p *pipes) take(s *sessionHot, d int, now int64) bool {
	if len(p.idle) == 0 && !p.open(now) {
		return false
	}
	last := len(p.idle) - 1
	i := p.idle[last]
	p.idle = p.idle[:last]
	p.least = min(p.least, last)
	x := &p.all[i]
	x.session, x.flow, x.stuck = s.id, int32(d), 0
	s.flow[d].pipe = 1 + i
	return true
}

// give takes back the flow's pipe, which is empty.
func (p *pipes) give(f *flow) {
	i := f.pipe - 1
	f.pipe = 0
	p.all[i].session, p.all[i].stuck = -1, 0
	p.idle = append(p.idle, i)
}

// drop takes back the flow's pipe, if it has one, and discards what is in it.
func (p *pipes) drop(f *flow) {
	switch {
	case f.pipe == 0:
	case f.pending == 0:
		p.give(f)
	default:
		p.shut(f.pipe - 1)
		f.pipe = 0
	}
}

func (p *pipes) in(f *flow) int  { return int(p.all[f.pipe-1].write) }
func (p *pipes) out(f *flow) int { return int(p.all[f.pipe-1].read) }

// stall records that the receiver does not read what is in the flow's pipe.
func (p *pipes) stall(f *flow, now int64) { p.all[f.pipe-1].stuck = now }

// open makes one more pipe.
func (p *pipes) open(now int64) bool {
	if now < p.retry {
		return false
	}
	if p.budget.Add(1) > maxPipes {
		p.budget.Add(-1)
		return false
	}
	r, w, err := linux.NewPipe(pipeSize)
	if err != nil { // no descriptors, or none of the user's pages: sessions go on without
		p.budget.Add(-1)
		p.retry = now + tidyInterval
		p.events.Short(relay.LackPipe, nil, err)
		return false
	}
	p.events.Works(relay.LackPipe, nil)
	if len(p.all) == len(p.closed) {
		p.tidy = now + tidyInterval
	}
	if len(p.closed) == 0 {
		p.closed = append(p.closed, int32(len(p.all)))
		p.all = append(p.all, pipe{})
	}
	last := len(p.closed) - 1
	i := p.closed[last]
	p.closed = p.closed[:last]
	p.all[i] = pipe{read: int32(r), write: int32(w), session: -1}
	p.idle = append(p.idle, i)
	return true
}

// shut closes a pipe that is not in the list of idle ones.
func (p *pipes) shut(i int32) {
	linux.CloseNow(int(p.all[i].read))
	linux.CloseNow(int(p.all[i].write))
	p.all[i] = pipe{session: -1}
	p.closed = append(p.closed, i)
	p.budget.Add(-1)
}

// trim closes all idle pipes but keep of them.
func (p *pipes) trim(keep int) {
	for len(p.idle) > keep {
		last := len(p.idle) - 1
		i := p.idle[last]
		p.idle = p.idle[:last]
		p.shut(i)
	}
	p.least = len(p.idle)
}

// next is when to call tidyPipes; Never if there are no pipes.
func (p *pipes) next() int64 {
	if len(p.all) == len(p.closed) {
		return session.Never
	}
	return p.tidy
}

// tidyPipes closes pipes that were not needed since the last time and unloads those that are stuck.
func (l *loop) tidyPipes() {
	p := &l.pipes
	if l.now < p.next() {
		return
	}
	if !p.more {
		p.trim(len(p.idle) - p.least)
	}
	p.more = false
	for i, n := 0, 0; i < len(p.all) && l.unloaded < maxUnloaded; i++ {
		x := &p.all[i]
		if x.session < 0 || x.stuck == 0 || l.now-x.stuck < tidyInterval {
			continue
		}
		if n++; n > unloadsPerTurn {
			p.more = true
			return
		}
		l.unload(l.sessions.At(x.session), int(x.flow))
	}
	p.tidy = l.now + tidyInterval
}

// unloadsPerTurn is how many pipes a turn empties at most, each of up to pipeSize bytes.
const unloadsPerTurn = 4

// unload moves what is in the flow's pipe to memory and gives the pipe back.
func (l *loop) unload(s *sessionHot, d int) {
	f := &s.flow[d]
	rest := make([]byte, f.pending, max(int(f.pending), bufferSize+1)) // known by its size, see giveBuffer
	for n := 0; n < len(rest); {
		got, errno := linux.Read(l.pipes.out(f), rest[n:])
		if errno != 0 && errno != unix.EINTR || errno == 0 && got == 0 {
			panic(os.NewSyscallError("read pipe", errno)) // pipe(7): it holds that many bytes, and both ends are open
		}
		n += got
	}
	l.unloaded += cap(rest)
	l.cold(s).held[d] = rest
	f.offset, f.streak = 0, 0
	l.pipes.give(f)
}
