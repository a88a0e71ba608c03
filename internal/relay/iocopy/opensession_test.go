package iocopy

import (
	"context"
	"errors"
	"net"
	"testing"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// A session that has ended, and whose goroutine has not come to that yet, is not open any more.
func TestEndedSessionIsNotOpen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{sessions: map[uint64]*runner{}}
	port := relay.NewPort("port", l)
	port.Route.Store(&relay.Route{App: "web"})
	r := e.begin(port, conn.(stream))
	open := func() int { return e.Sessions(context.Background(), relay.Selection{Limit: 1}).Open }
	if n := open(); n != 1 {
		t.Errorf("%d sessions are open", n)
	}
	if err := e.EndSession(context.Background(), r.id, relay.OperatorReset); err != nil {
		t.Error(err)
	}
	if n := open(); n != 0 {
		t.Errorf("%d sessions are open after its end", n)
	}
	if err := e.EndSession(context.Background(), r.id, relay.OperatorReset); !errors.Is(err, relay.ErrNoSession) {
		t.Errorf("a second time: %v", err)
	}
	if r.decide(func(s *session.Session, _ int64) session.Action { return s.End(relay.Stopped, nil) }) != session.Abort {
		t.Error("it does not stay ended")
	}
}
