package iocopy

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"tcp-proxy/internal/relay"
	"tcp-proxy/internal/relay/session"
)

// pair is the two ends of a connection, the first of them a side of a session.
func pair(t *testing.T, index int) (*side, *net.UnixConn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close() })
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return newSide(one.(*net.UnixConn), index), other.(*net.UnixConn)
}

// A time-out is not believed as long as there is something that a pump could move, up to a bound.
func TestDoubt(t *testing.T) {
	r := &runner{}
	r.session.Begin(&r.state, 1, &relay.Route{}, &relay.Events{}, 0)
	var client, to *net.UnixConn
	r.client, client = pair(t, session.Client)
	r.target, to = pair(t, session.Target)
	doubts := func(what string, want int) {
		t.Helper()
		r.doubts = 0
		n := 0
		for r.doubt(session.DueQuiet) && n <= mostDoubts {
			n++
		}
		if n != want {
			t.Errorf("%s: the time-out is doubted %d times, want %d", what, n, want)
		}
	}
	doubts("nothing has come", 0)
	if _, err := to.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	doubts("a byte has come", mostDoubts)
	r.client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for block := make([]byte, 1<<16); ; {
		if _, err := r.client.Write(block); err != nil {
			break // it is full
		}
	}
	doubts("the byte has nowhere to go", 0)
	client.CloseWrite()
	doubts("the client has finished", mostDoubts)
	r.session.OnFinished(session.Client, 1)
	doubts("that is known", 0)
}
