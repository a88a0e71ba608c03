package iocopy

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcp-proxy/internal/relay/session"
	"tcp-proxy/internal/testkit"
)

// The connection of an attempt that is given up is reset: its target must not take it for one that ended in good order.
func TestAttemptThatIsGivenUpIsReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, d := &runner{}, &dial{side: session.Racing}
	r.dials[1] = d
	r.discard(answer{dial: d, conn: conn.(stream)})
	if r.dials[1] != nil {
		t.Error("the attempt is not forgotten")
	}
	c.SetDeadline(time.Now().Add(testkit.Timeout))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read = %d, %v; want a reset", n, err)
	}
}
