package loop

import (
	"time"

	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
)

// account is the memory of the record that a loop reports.
type account = relay.Record

// end ends a session before both sides have finished: both are reset.
func (l *loop) end(s *session, cause relay.Cause, err error) {
	for i := range s.side {
		if x := &s.side[i]; x.fd >= 0 {
			linux.Abort(int(x.fd))
		}
	}
	l.close(s, cause, err)
}

// done ends a session both sides of which have finished. The side that was told so last is told by the close; what is
// still to be sent, the kernel goes on sending.
func (l *loop) done(s *session) {
	for i := range s.side {
		linux.CloseNow(int(s.side[i].fd))
	}
	l.close(s, closed[s.first-1], nil)
}

// close accounts for a session whose sockets are closed, and gives back all that it held.
func (l *loop) close(s *session, cause relay.Cause, err error) {
	b := l.slab.besideOf(s)
	now := l.engine.clock()
	l.stopResolving(b)
	switch {
	case s.state == relaying:
		b.target.Release()
	default:
		s.connected = now
		if b.target != nil {
			b.approach.Abandoned(b.target)
		}
	}
	for d := range s.flow {
		l.pipes.drop(&s.flow[d])
		l.giveBuffer(b.held[d])
	}
	l.wheel.disarm(s)

	l.record = relay.Record{
		App: b.route.App, Port: b.port.Name, Client: s.peerName(), Target: b.approach.Last(), Attempts: b.approach.Attempts(),
		Connect: time.Duration(s.connected - s.begun), Duration: time.Duration(now - s.begun),
		Upload: s.flow[client].moved.Load(), Download: s.flow[upstream].moved.Load(),
		Cause: cause, Err: err,
	}
	l.slab.give(s)
	l.engine.events.Ended(&l.record)
	l.record = relay.Record{}
	l.open.Add(-1)
	l.engine.workers.Release()
	l.engine.open.Leave()
}

// hangUp gives up the socket of a connect that came to nothing, if there is one. Should it stand by now, it is reset.
func (l *loop) hangUp(x *side) {
	if x.fd >= 0 {
		linux.Abort(int(x.fd))
	}
	*x = side{fd: -1}
}
