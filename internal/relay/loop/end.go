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
	for _, x := range s.side[target:] {
		if x.fd >= 0 {
			linux.Abort(int(x.fd))
		}
	}
	l.leave(s)
	linux.Abort(int(s.side[client].fd))
	l.close(s, cause, err)
}

// done ends a session both sides of which have finished. The side that was told so last is told by the close; what is
// still to be sent, the kernel goes on sending.
func (l *loop) done(s *session) {
	linux.CloseNow(int(s.side[target].fd))
	l.leave(s)
	linux.CloseNow(int(s.side[client].fd))
	l.close(s, closed[s.first-1], nil)
}

// leave gives back the session's places before its client can see the end. Its sockets to targets are closed.
func (l *loop) leave(s *session) {
	b := l.sessions.cold(s)
	if s.state != relaying {
		s.connected = l.engine.clock()
		for _, t := range b.target {
			if t != nil {
				b.approach.Abandoned(t)
			}
		}
	}
	b.approach.Leave()
}

// close accounts for a session whose sockets are closed, and gives back all else that it held.
func (l *loop) close(s *session, cause relay.Cause, err error) {
	b := l.sessions.cold(s)
	now := l.engine.clock()
	if s.state == greeting {
		b.held[client] = nil // which is no buffer of the loop's
	}
	if s.state == relaying {
		l.sample(s)
	}
	for d := range s.flow {
		l.pipes.drop(&s.flow[d])
		l.giveBuffer(b.held[d])
	}
	l.reactor.Disarm(s.id)

	l.record = relay.Record{
		Port: b.port.Name(), Client: s.peerName(),
		Connect: time.Duration(s.connected - s.begun), Duration: time.Duration(now - s.begun),
		Upload: s.flow[client].moved.Load(), Download: s.flow[target].moved.Load(),
		Cause: cause, Err: err,
	}
	if b.header != nil {
		l.record.Peer, l.record.Client = l.record.Client, b.header.Source.String()
	}
	b.approach.Over(&l.record)
	l.sessions.give(s)
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
