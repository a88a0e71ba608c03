package loop

import (
	"tcp-proxy/internal/linux"
	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// abort ends a session with a reset of both sides.
func (l *loop) abort(s *sessionHot) {
	for _, x := range s.side[target:] {
		if x.fd >= 0 {
			linux.Abort(int(x.fd))
		}
	}
	l.cold(s).Leave(l.now)
	linux.Abort(int(s.side[client].fd))
	l.account(s)
}

// finish ends a session both sides of which have finished. The close passes the last FIN on; what is still to be sent, the
// kernel goes on sending.
func (l *loop) finish(s *sessionHot) {
	linux.CloseNow(int(s.side[target].fd))
	l.cold(s).Leave(l.now)
	linux.CloseNow(int(s.side[client].fd))
	l.account(s)
}

// account reports a session whose sockets are closed, and gives back all else that it held.
func (l *loop) account(s *sessionHot) {
	c := l.cold(s)
	switch s.Phase {
	case session.Header:
		c.held[client] = nil // which is no buffer of the loop's
	case session.Relaying:
		l.sample(s)
	}
	for d := range s.flow {
		l.pipes.drop(&s.flow[d])
		l.giveBuffer(c.held[d])
	}
	l.reactor.Disarm(s.id)

	l.record = relay.Record{
		Port: c.port.Name(), Address: c.port.Address(), Client: s.peerName(),
		Upload: s.flow[client].moved, Download: s.flow[target].moved,
	}
	c.Account(&l.record, l.engine.clock())
	l.sessions.give(s)
	l.record = relay.Record{}
	l.open.Add(-1)
	l.engine.workers.Release()
	l.engine.open.Leave()
}
