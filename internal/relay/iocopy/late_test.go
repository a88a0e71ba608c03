package iocopy

import (
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"tcp-proxy/internal/relay"
)

// What is over after this process stood still has another chance, once; what is over on time has none.
func TestAnotherChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ limit, late, chance time.Duration }{
			{3 * time.Second, 0, 0},
			{3 * time.Second, relay.StoodStill - 1, 0},
			{3 * time.Second, relay.StoodStill, time.Second},
			{3 * time.Second, time.Hour, time.Second},
			{200 * time.Millisecond, time.Hour, 200 * time.Millisecond},
		} {
			x := newTimeout(c.limit)
			time.Sleep(c.limit + c.late)
			if more := x.again(); more != c.chance {
				t.Errorf("%v late for %v: another %v, want %v", c.late, c.limit, more, c.chance)
			}
			if time.Sleep(time.Hour); c.chance > 0 && x.again() != 0 {
				t.Errorf("%v late for %v: and yet another chance", c.late, c.limit)
			}
		}
	})
}

// pair is the two ends of a connection, the first of them a side of a session.
func pair(t *testing.T) (*side, *net.UnixConn) {
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
	return newSide(one.(*net.UnixConn), relay.ClientReset, relay.ClientClosed), other.(*net.UnixConn)
}

// A session that seems to have been quiet is left to its pumps for a while, as long as there is something that they could
// move.
func TestDoubt(t *testing.T) {
	s := &session{}
	var client, to *net.UnixConn
	s.client, client = pair(t)
	s.target, to = pair(t)
	doubts := func(what string, want int) {
		t.Helper()
		s.doubts, s.expiry = 0, timeout{due: time.Now(), given: true}
		n := 0
		for s.doubt() > 0 && n <= mostDoubts {
			n++
		}
		if n != want {
			t.Errorf("%s: it is left to its pumps %d times, want %d", what, n, want)
		}
	}
	doubts("nothing has come", 0)
	if _, err := to.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	doubts("a byte has come", mostDoubts)
	s.client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for block := make([]byte, 1<<16); ; {
		if _, err := s.client.Write(block); err != nil {
			break // it is full
		}
	}
	doubts("the byte has nowhere to go", 0)
	client.CloseWrite()
	doubts("the client has finished", mostDoubts)
	s.client.finished = true
	doubts("that is known", 0)
}
