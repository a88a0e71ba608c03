package loop

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// A session can go on in another engine: Freeze takes it out of this one as a value, and Adopt takes it up. Every byte that was
// read is in the kernel or in the value, because a loop is frozen between two turns: its shared buffer holds nothing then, and
// what a flow could not write is known by its pending bytes. The mailbox makes that moment: the listeners are closed on all
// loops first, and with that done every accepted connection is in the mailbox of its loop, before the order to end. Readiness
// and the timers are not taken along. The new engine assumes that every socket can be read and written; epoll reports anew what
// holds when a socket is added; and deadlines follow from the times of a session.

// Freeze ends the engine and takes out its open sessions and ports. Afterwards the engine holds nothing, and only its Stop, Wait
// and what ends or counts sessions may be called, which find none. A connect that is under way is given up; the session connects
// anew once it is adopted. The descriptors are the caller's. Sessions that end while Freeze begins are reported as always. An
// error is one of closing what the loops had, and changes nothing else; after a second Freeze there is nothing to return.
//
// Until Adopt the sessions hold no slots. So the configuration must not change in between: of a target that is in no set any more,
// upstream forgets the state once it has no sessions.
func (e *Engine) Freeze() (*Frozen, error) {
	e.opening.Lock()
	defer e.opening.Unlock()
	f := &Frozen{}
	if e.over {
		return f, errStopped
	}
	e.over = true
	f.Ports = e.takePorts()
	e.endLoops()
	for _, l := range e.loops { // they have ended: what is theirs is this goroutine's now
		l.settle()
	}
	for _, l := range e.loops { // after that no session takes a slot, and those that are given back stay free
		f.LastID = max(f.LastID, l.lastID)
		l.freeze(f)
	}
	var err error
	for _, l := range e.loops { // after all slots were given back, which may still call a loop that waits for one
		err = errors.Join(err, l.free())
	}
	return f, err
}

// takePorts ends accepting on all ports, and returns them with their descriptors.
func (e *Engine) takePorts() (all []FrozenPort) {
	e.mu.Lock()
	ports := e.ports
	e.ports = map[*relay.Port]*listener{}
	e.mu.Unlock()
	e.shut(slices.Collect(maps.Values(ports))...)
	for p, x := range ports {
		all = append(all, FrozenPort{Port: p, FD: x.fd, FailingSince: x.failingSince()})
	}
	return all
}

// failingSince is when accepting began to fail; zero if it works.
func (x *listener) failingSince() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pause == 0 {
		return time.Time{}
	}
	return x.since
}

// settle takes in which connects have succeeded or failed by now, so that as few as possible are given up.
func (l *loop) settle() {
	l.now, l.attempts = l.engine.clock(), attemptsPerTurn
	for n := range int32(l.sessions.Size()) {
		if s := l.sessions.At(n); l.sessions.InUse(n) && s.Phase == session.Connecting {
			l.look(s)
		}
	}
}

// freeze takes out the sessions of a loop that has ended. The close of its epoll instance removes all that is registered there,
// whoever has duplicates of the sockets (epoll(7)).
func (l *loop) freeze(f *Frozen) {
	f.Sessions = slices.Grow(f.Sessions, int(l.open.Load()))
	for n := range int32(l.sessions.Size()) {
		if l.sessions.InUse(n) {
			f.Sessions = append(f.Sessions, l.freezeSession(l.sessions.At(n)))
		}
	}
	l.pipes.trim(0)
}

// freezeSession takes a session out, and gives back all that it held but its sockets.
func (l *loop) freezeSession(s *sessionHot) FrozenSession {
	c := l.cold(s)
	x := FrozenSession{Port: c.port, Zone: s.peerZone, KeepaliveSet: s.keepaliveSet}
	if ip := s.peerAddr(); ip.IsValid() {
		x.Peer = netip.AddrPortFrom(ip, s.peerPort)
	}
	switch s.Phase {
	case session.Header:
		x.Header, c.held[client] = c.held[client], nil
	case session.Relaying:
		l.sample(s)
		for d := range x.Flow {
			if s.paced { // a flow that waits for its rate finds out anew
				x.Flow[d].Pace = c.pace.flow[d].State()
			}
		}
	default:
		s.side[target].drop()
		s.side[racing].drop()
	}
	for d := range s.flow {
		x.Flow[d].Moved = s.flow[d].moved
		x.Flow[d].Pending = l.takePending(s, d)
		x.Side[d] = s.side[d].freeze()
	}
	x.Frozen = c.Freeze()

	l.sessions.give(s)
	l.open.Add(-1)
	l.engine.workers.Release()
	l.engine.open.Leave()
	return x
}

// takePending returns the pending bytes of a flow, and gives its pipe back. They are the caller's.
func (l *loop) takePending(s *sessionHot, d int) []byte {
	f, c := &s.flow[d], l.cold(s)
	if f.pending > 0 && f.pipe != 0 {
		l.unload(s, d)
	}
	l.pipes.drop(f)
	rest := c.held[d]
	c.held[d] = nil
	if f.pending == 0 {
		return nil
	}
	return rest[f.offset : f.offset+f.pending]
}

func (x *side) freeze() FrozenSide {
	return FrozenSide{
		FD:       int(x.fd),
		Finished: x.mark.has(finished), PassedOn: x.mark.has(passedOn), Broken: x.mark.has(broken),
		Urgent: x.mark.has(readUntilEAGAIN) && !x.mark.has(isUnix), Unix: x.mark.has(isUnix),
		Written: x.mark.has(written), NoDelay: x.mark.has(noDelay),
	}
}
