package peers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"tcp-proxy/tests/harness"
)

// A Session is a session with a plan.
type Session struct {
	Number uint64
	Plan   Plan
	Peer   string // the address that the client connects from, see Name
	Client string // its address, as the target is to be told of it and as the record has it

	there Side          // what the target has seen
	at    string        // which target
	met   chan struct{} // closed when the target is through with it; there and at are valid then
}

// Open makes a session known to the targets. The client calls Meet, and then Close.
func (l *Ledger) Open(plan Plan) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers++
	s := &Session{Number: l.numbers, Plan: plan, met: make(chan struct{})}
	l.sessions[s.Number] = s
	return s
}

// Close forgets a session.
func (l *Ledger) Close(s *Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, s.Number)
}

// session returns the one with that number that no target has had, and takes it for the target at that address.
func (l *Ledger) session(number uint64) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[number]
	delete(l.sessions, number)
	return s
}

// A Met is the result of a session: what each side has seen, and the address of the target.
type Met struct {
	Here, There Side
	At          string
}

// Meet plays the client's side over a connection on which nothing has been sent but a PROXY header, and waits until the
// target is through with its own. steady, if there is one, is called when the target has answered. refused reports a reset
// before that.
func (s *Session) Meet(c net.Conn, steady func()) (met Met, refused bool, err error) {
	defer c.Close()
	hello := Greeting(Play, s.Number)
	_, err = c.Write(hello)
	answer := make([]byte, len(hello))
	if err == nil {
		_, err = io.ReadFull(c, answer)
	}
	switch {
	case isReset(err):
		return met, true, err
	case err != nil:
		return met, false, fmt.Errorf("the target's greeting: %w", err)
	case !bytes.Equal(hello, answer):
		return met, false, fmt.Errorf("%w: the target's greeting is %q", errWrong, answer)
	}
	if steady != nil {
		steady()
	}
	met.Here = play(c, &s.Plan, Client, s.Number)
	select {
	case <-s.met:
		met.There, met.At = s.there, s.at
	case <-time.After(harness.Timeout):
		return met, false, fmt.Errorf("the client is through (%+v), the target is not after %v", met.Here, harness.Timeout)
	}
	switch {
	case met.Here.Err != nil:
		return met, false, fmt.Errorf("client: %w; target: %+v", met.Here.Err, met.There)
	case met.There.Err != nil:
		return met, false, fmt.Errorf("target: %w; client: %+v", met.There.Err, met.Here)
	}
	return met, false, nil
}

// Truth is the expected record of the session.
func (s *Session) Truth(app string, met Met) Truth {
	t := Truth{App: app, Peer: s.Peer, Clients: []string{s.Client}, Target: met.At, Causes: []string{"client_closed", "target_closed"}}
	up, down := met.There.Received+greetingLength, met.Here.Received+greetingLength
	t.Up, t.Down = Exactly(up), Exactly(down)
	switch {
	case s.Plan.Reset != Nobody:
		t.Causes = []string{Sides[s.Plan.Reset] + "_reset"}
		t.Up[1], t.Down[1] = met.Here.Sent+greetingLength, met.There.Sent+greetingLength
	case s.Plan.Last != Nobody:
		t.Causes = []string{Sides[1-s.Plan.Last] + "_closed"}
	}
	t.About = fmt.Sprintf("session %d: %v; client %+v, target %+v", s.Number, s.Plan, met.Here, met.There)
	return t
}
