package peers

import (
	"fmt"
	"net/netip"
)

// A Way is how a client with a plan connects.
type Way struct {
	App, Port, From string
	Claims          netip.AddrPort // in the header, if there is one
	Header          []byte         // what it begins with; nil: nothing
	Pieces          int            // in pieces of so many bytes
	Options         []Option
	Early           bool   // it may be reset before connect(2) returns
	Steady          func() // called when the session stands: its target has answered; nil is nobody
}

// Check runs a session with a plan and checks every byte of it. The truth is its expected record. refused reports that it
// was reset before its target had answered.
func (l *Ledger) Check(w Way, plan Plan) (t Truth, refused bool, err error) {
	options := w.Options
	if plan.Narrow[Client] {
		options = append(options, Window(16<<10))
	}
	peer, from := "", w.From
	if w.Early {
		options, from = append(options, Bound(w.From, &peer)), ""
	}
	c, err := Dial(from, w.Port, options...)
	if err != nil {
		return Truth{App: w.App, Peer: peer}, isReset(err), err
	}
	s := l.Open(plan)
	defer l.Close(s)
	s.Peer = Name(c)
	s.Client = s.Peer
	if w.Header != nil {
		s.Client = w.Claims.String()
		err = InPieces(c, w.Header, w.Pieces)
	}
	if err != nil {
		c.Close()
		return Truth{App: w.App, Peer: s.Peer}, isReset(err), err
	}
	met, refused, err := s.Meet(c, w.Steady)
	if err != nil {
		return Truth{App: w.App, Peer: s.Peer}, refused, fmt.Errorf("client %s, session %d: %w; %v", s.Client, s.Number, err, plan)
	}
	return s.Truth(w.App, met), false, nil
}
