package linux

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestASocketThatListensCanMakeRoom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String()) // it has one
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var optErr error
		err := c.Control(func(fd uintptr) { optErr = SetReusePort(int(fd)) })
		return errors.Join(err, optErr)
	}}
	if _, err := lc.Listen(context.Background(), "tcp", ":"+port); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("in the way of one that was not asked to: %v", err)
	}
	if err := Control(l, SetReusePort); err != nil {
		t.Fatal(err)
	}
	all, err := lc.Listen(context.Background(), "tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	all.Close()
}
