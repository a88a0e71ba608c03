package loop

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/reactor"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// Loss is why a session could not be adopted.
type Loss string

// The losses.
const (
	LostDescriptor Loss = "descriptor" // a socket is not there
	LostMemory     Loss = "memory"     // the kernel has no memory to watch a socket
	LostWatches    Loss = "watches"    // the user may watch no more sockets (fs.epoll.max_user_watches of epoll(7))
	LostOther      Loss = "other"
)

// Adopted is what came of the sessions of an Adopt.
type Adopted struct {
	Sessions int          // those that go on
	Lost     map[Loss]int // those that were reset on both sides, and reported with the cause Internal; nil: none
}

// Adopt takes up the sessions and ports of an engine that was frozen, and returns once all sessions go on and the ports accept. It is
// called once, before Open. Sessions keep their IDs, ages and policies, and what they had read and not written is written first.
// They get a worker and the slots at their gates and on their targets again, whatever the limits are: limits hold for those
// who come later. The meters of their routes have them as open sessions already. A session that cannot go on is reset. Of an
// error of ports the listening sockets concerned are closed; all else goes on. Afterwards f is empty, and its descriptors are
// the engine's. After Stop or Freeze there is nothing but an error: f is as it was, and the caller's.
func (e *Engine) Adopt(f *Frozen) (Adopted, error) {
	e.opening.Lock()
	defer e.opening.Unlock()
	if e.over {
		return Adopted{}, errStopped
	}
	for i := range f.Sessions {
		f.Sessions[i].Reenter()
		e.workers.Reenter()
		e.open.Enter()
	}
	a := e.adoptSessions(f)
	err := e.adoptPorts(f.Ports)
	*f = Frozen{}
	return a, err
}

// adoptSessions gives each loop its share of the sessions, and waits until it has taken them up.
func (e *Engine) adoptSessions(f *Frozen) (a Adopted) {
	all := make([]*FrozenSession, len(f.Sessions))
	for i := range all {
		all[i] = &f.Sessions[i]
	}
	slices.SortStableFunc(all, func(x, y *FrozenSession) int { return cmp.Compare(x.Attempts.Ticket, y.Attempts.Ticket) })
	shares := make([]adoption, len(e.loops))
	for i, x := range all {
		to := &shares[i%len(shares)]
		to.left = append(to.left, x)
	}
	width := uint64(len(e.loops))
	above := (f.LastID + width - 1) / width * width
	for n, l := range e.loops {
		x := &shares[n]
		x.lost, x.done = map[Loss]int{}, make(chan struct{})
		l.open.Add(int64(len(x.left)))
		l.reactor.Post(func() {
			l.lastID = max(l.lastID, above+uint64(l.shard))
			l.adopt(x)
		})
	}
	a.Sessions = len(f.Sessions)
	for n := range e.loops {
		<-shares[n].done // it does not end meanwhile: Stop and Freeze wait for opening
		for why, count := range shares[n].lost {
			if a.Lost == nil {
				a.Lost = map[Loss]int{}
			}
			a.Lost[why] += count
			a.Sessions -= count
		}
	}
	return a
}

// adoption is the sessions that a loop is to adopt.
type adoption struct {
	left []*FrozenSession
	lost map[Loss]int
	done chan struct{} // closed after the last
}

// adopt takes up sessions, a slice of time in each turn.
func (l *loop) adopt(x *adoption) {
	for until := l.engine.clock() + reactor.Slice; len(x.left) > 0; x.left = x.left[1:] {
		if l.engine.clock() >= until {
			l.reactor.Post(func() { l.adopt(x) })
			return
		}
		if err := l.adoptSession(x.left[0]); err != nil {
			x.lost[lossOf(err)]++
		}
	}
	close(x.done)
}

// adoptSession takes up a session. After an error it was reset on both sides.
func (l *loop) adoptSession(x *FrozenSession) error {
	s := l.sessions.take()
	c := l.cold(s)
	c.port = x.Port
	s.peerPort, s.peerZone = x.Peer.Port(), x.Zone
	if x.Peer.IsValid() {
		s.peer = x.Peer.Addr().As16()
	}
	c.Adopt(&s.State, &x.Frozen, &l.engine.events)
	route := c.Route()
	s.paced = route.Upload > 0 || route.Download > 0
	s.keepaliveSet = x.KeepaliveSet
	for i := range x.Side {
		s.side[i] = adoptSide(&x.Side[i])
	}
	if s.Phase == session.Header {
		c.held[client] = x.Header
	}
	l.adoptFlows(s, x)
	if err := l.watch(s); err != nil {
		err = fmt.Errorf("continue the session: %w", err)
		l.do(s, c.End(relay.Internal, err))
		return err
	}
	if s.Phase == session.Relaying && c.FromHere() && !s.side[target].mark.has(isUnix) {
		if local, err := linux.LocalAddr(int(s.side[target].fd)); err == nil {
			c.OnDialled(target, local)
		}
	}
	l.push(s)
	if s.Phase == session.Recounting {
		l.recount(s)
	} else {
		l.rearm(s)
	}
	return nil
}

// adoptSide is a side of which nothing is known but that which no event tells again: it may have something to read, and room.
func adoptSide(x *FrozenSide) side {
	return side{fd: int32(x.FD), mark: readable |
		finished.when(x.Finished) | passedOn.when(x.PassedOn) | broken.when(x.Broken) | readUntilEAGAIN.when(x.Urgent || x.Unix) |
		isUnix.when(x.Unix) | written.when(x.Written) | noDelay.when(x.NoDelay)}
}

// when is m if a condition holds, and otherwise nothing.
func (m marks) when(holds bool) marks {
	if holds {
		return m
	}
	return 0
}

// adoptFlows restores the flows of a session. What is pending is in memory, which may be part of a larger one and is not to
// become a buffer of the loop's: bytes of that size are copied into one.
func (l *loop) adoptFlows(s *sessionHot, x *FrozenSession) {
	c := l.cold(s)
	if s.paced && s.Phase == session.Relaying {
		c.pace = newPace(c.Route())
	}
	for d := range s.flow {
		from, f := &x.Flow[d], &s.flow[d]
		f.moved, f.metered = from.Moved, from.Moved
		if c.pace != nil {
			c.pace.flow[d].Restore(from.Pace)
		}
		if n := len(from.Pending); n > 0 {
			rest := from.Pending
			switch { // as giveBuffer does
			case cap(rest) > bufferSize:
				l.unloaded += cap(rest)
			case cap(rest) == bufferSize:
				rest = append(l.takeBuffer(), rest...)
			}
			c.held[d], f.pending = rest, int32(n)
		}
	}
}

// watch registers the sockets of an adopted session.
func (l *loop) watch(s *sessionHot) error {
	if err := l.register(s, client); err != nil {
		return err
	}
	if s.Phase != session.Relaying {
		return nil
	}
	x := &s.side[target]
	x.mark |= answered // as a side that is connected
	err := l.register(s, target)
	x.mark &^= answered
	return err
}

func lossOf(err error) Loss {
	switch {
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.EPERM):
		return LostDescriptor
	case errors.Is(err, unix.ENOMEM):
		return LostMemory
	case errors.Is(err, unix.ENOSPC):
		return LostWatches
	}
	return LostOther
}

// adoptPorts accepts again on ports.
func (e *Engine) adoptPorts(ports []FrozenPort) (err error) {
	var all []*listener
	for _, p := range ports {
		x, failed := adoptListener(p)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("port %s: %w", p.Port, failed))
			continue
		}
		all = append(all, x)
	}
	return errors.Join(err, e.openListeners(all...))
}

// adoptListener makes a listener of a frozen port, which is closed after an error.
func adoptListener(p FrozenPort) (*listener, error) {
	x := &listener{port: p.Port, fd: p.FD}
	var err error
	if x.heirs, err = relay.Inherit(p.FD, p.Port.Listener.Addr().Network() == "unix"); err != nil {
		return nil, errors.Join(err, x.close())
	}
	if !p.FailingSince.IsZero() {
		x.pause, x.since = firstPause, p.FailingSince
		x.failing.Store(true)
	}
	return x, nil
}
